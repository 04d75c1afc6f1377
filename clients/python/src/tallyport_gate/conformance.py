"""Whether an integration does what the gate is for: ``python -m tallyport_gate.conformance URL``.

The integration serves one URL for the test. It takes ``{"gate_url", "token", "action", "wait_seconds",
"patience_seconds", "fail"}``, does what it always does with such an action (asks the gate there, performs it if it is
allowed; with ``fail`` the action itself fails), and answers ``{"performed": true}`` or ``{"performed": false}``. The
gate that it meets is one that follows a script.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx

TOKEN: Final = "the token of the conformance kit"  # noqa: S105 - it opens nothing
WAIT_SECONDS: Final = 3
PATIENCE_SECONDS: Final = 3
AT_ONCE: Final = 6
"""How many scenarios are tried side by side; each has a gate of its own."""
INTEGRATION_SECONDS: Final = 60.0
_RETRY_AFTER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What the scripted gate says once. ``drop`` closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    drop: bool = False


def _decided(decision: str | None, **changed: Any) -> dict[str, Any]:
    state = "open" if decision is None else "decided"
    said = {"request_id": "{id}", "state": state, "decision": decision, "reason": "not_ticked", "quote": None}
    return {**said, "confirmation_id": "c-1" if decision is None else None, **changed}


ALLOWED: Final = Answer(200, _decided("allowed"))
DECLINED: Final = Answer(200, _decided("declined", reason="declined"))
OPEN: Final = Answer(202, _decided(None))
_BUSY: Final = Answer(503, {"title": "busy", "detail": "later"})


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the gate says, and the outcome it must be told: none where the action may not be performed.

    The last answer is repeated for ever.
    """

    name: str
    answers: tuple[Answer, ...]
    outcome: Literal["performed", "failed"] | None = None
    outcome_answers: tuple[Answer, ...] = (Answer(200, {}),)
    least_seconds: float = 0.0


SCENARIOS: Final = (
    Scenario("allowed at once: it is performed, and the gate is told", (ALLOWED,), "performed"),
    Scenario("declined: it is not performed", (DECLINED,)),
    Scenario("confirmed after a while: it is performed then", (OPEN, OPEN, ALLOWED), "performed"),
    Scenario("declined after a while: it is not performed", (OPEN, DECLINED)),
    Scenario("nobody answers: it is not performed", (OPEN,)),
    Scenario("the gate breaks the connection: it is not performed", (Answer(drop=True),)),
    Scenario("the gate answers 500 for ever: it is not performed", (Answer(500, {}),)),
    Scenario(
        "the gate is busy for a moment: it is asked again, as the same request",
        (_BUSY, Answer(drop=True), ALLOWED),
        "performed",
    ),
    Scenario(
        "the gate says when to come back: it is not asked before",
        (Answer(429, {}, (("Retry-After", str(_RETRY_AFTER_SECONDS)),)), ALLOWED),
        "performed",
        least_seconds=_RETRY_AFTER_SECONDS,
    ),
    Scenario("an answer that is no JSON allows nothing", (Answer(200, "<html>allowed</html>"),)),
    Scenario("an unknown word allows nothing", (Answer(200, _decided("maybe")),)),
    Scenario(
        "a decision about another request allows nothing", (Answer(200, _decided("allowed", request_id="another")),)
    ),
    Scenario("a redirect is not followed", (Answer(302, {}, (("Location", "{gate}/elsewhere"),)),)),
    Scenario("the id was used for something else: it is not performed", (Answer(409, {"title": "conflict"}),)),
    Scenario("the token is refused: it is not performed", (Answer(401, {"title": "who are you"}),)),
    Scenario("a field is wrong: it is not performed", (Answer(422, {"title": "invalid", "errors": []}),)),
    Scenario("the action itself fails: the gate is told", (ALLOWED,), "failed"),
    Scenario(
        "the outcome is lost on its way: it is told again",
        (ALLOWED,),
        "performed",
        outcome_answers=(_BUSY, Answer(200, {})),
    ),
)


@dataclass
class ScriptedGate:
    """A gate that says what the scenario says, and keeps what it heard."""

    scenario: Scenario
    action: dict[str, Any]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, method: str, target: str, token: str | None, body: Any) -> Answer:
        """Take a request; the answer to it."""
        path = unquote(urlsplit(target).path)
        place = f"/v1/billable-actions/{self.action['id']}"
        with self.lock:
            if token != f"Bearer {TOKEN}":
                self.faults.append(f"{method} {path} came without the token")
            if (method, path) == ("POST", "/v1/billable-actions"):
                self.asked.append(body)
                return self._next(self.scenario.answers)
            if (method, path) == ("GET", place):
                return self._next(self.scenario.answers)
            if (method, path) == ("POST", f"{place}/outcome"):
                self.outcomes.append(body)
                answers = self.scenario.outcome_answers
                return answers[min(len(self.outcomes), len(answers)) - 1]
            self.faults.append(f"{method} {path} is nothing that a gate serves")
            return Answer(404, {})

    def _next(self, answers: Sequence[Answer]) -> Answer:
        self.asked_at.append(time.monotonic())
        return answers[min(len(self.asked_at), len(answers)) - 1]

    def complaints(self, performed: Any) -> list[str]:
        """What was not as it must be; nothing if the integration conforms."""
        scenario, found = self.scenario, list(self.faults)
        if performed is not (scenario.outcome == "performed"):
            found.append(f'answered {{"performed": {json.dumps(performed)}}}')
        if not self.asked:
            found.append("the gate was not asked")
        if any(one != self.action for one in self.asked):
            found.append("what the gate was asked is not the action, or changed when it was asked again")
        told = [one.get("outcome") if isinstance(one, dict) else one for one in self.outcomes]
        least = len(scenario.outcome_answers) if scenario.outcome else 0
        if set(told) != ({scenario.outcome} if scenario.outcome else set()) or len(told) < least:
            found.append(f"told the outcomes {told}, expected {scenario.outcome or 'none'}")
        if len(self.asked_at) > 1 and self.asked_at[1] - self.asked_at[0] < scenario.least_seconds:
            found.append(f"asked again after {self.asked_at[1] - self.asked_at[0]:.1f} s")
        return found


def _handler(gate: ScriptedGate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                body = json.loads(raw) if raw else None
            except ValueError:
                body = raw.decode(errors="replace")
            answer = gate.hear(self.command, self.path, self.headers.get("authorization"), body)
            if answer.drop:
                self.close_connection = True
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            content = text.replace("{id}", gate.action["id"]).encode()
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value.replace("{gate}", gate.url))
            self.send_header("Content-Type", "text/html" if isinstance(answer.body, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that the class looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving(gate: ScriptedGate) -> Iterator[None]:
    """The gate answers on a free port of this machine while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(gate))
    gate.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def try_scenario(url: str, scenario: Scenario) -> list[str]:
    """Put the integration through one scenario; what was not as it must be."""
    action = {
        "id": f"conformance/{uuid4()}",
        "action": "create_user",
        "customer": "cust-conformance",
        "actor": {"id": "ann@example.org", "role": "customer_administrator", "language": "de"},
        "items": [{"plan": "HE-GOLD", "quantity_delta": "1"}],
        "payload": {"upn": "bob@example.org"},
    }
    gate = ScriptedGate(scenario, action)
    with serving(gate):
        order = {
            "gate_url": gate.url,
            "token": TOKEN,
            "action": action,
            "wait_seconds": WAIT_SECONDS,
            "patience_seconds": PATIENCE_SECONDS,
            "fail": scenario.outcome == "failed",
        }
        try:
            answer = httpx.post(url, json=order, timeout=INTEGRATION_SECONDS, trust_env=False)
            answer.raise_for_status()
            performed = answer.json()["performed"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return [f"the integration did not answer as it should: {type(error).__name__}: {error}"]
    return gate.complaints(performed)


def check(url: str, scenarios: Sequence[Scenario] = SCENARIOS) -> Iterator[tuple[Scenario, list[str]]]:
    """Try the integration at ``url`` in each scenario; yields what was not as it must be, nothing where it conforms."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from zip(scenarios, threads.map(lambda scenario: try_scenario(url, scenario), scenarios), strict=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try an integration and print what came of it; 0 if it conforms."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", help="where the integration takes its orders")
    failed = 0
    for scenario, complaints in check(options.parse_args(arguments).url):
        failed += bool(complaints)
        print(f"{'FAILED' if complaints else 'ok    '}  {scenario.name}")  # noqa: T201 - it is what this prints
        for complaint in complaints:
            print(f"        {complaint}")  # noqa: T201
    print(f"{len(SCENARIOS) - failed} of {len(SCENARIOS)} scenarios hold")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
