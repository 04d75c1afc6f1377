"""An integration as `tallyport gate check` tries it, with the client library: the handful of lines that yours has, too.

python examples/gate/python/adapter.py 9400 &
tallyport gate check http://127.0.0.1:9400/
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tallyport_gate import Action, Actor, Gate, GateError, PlanAdded


class ProvisioningError(Exception):
    """The action itself did not work."""


def create_user(payload: dict[str, Any], *, fail: bool) -> None:
    """Stand for what your service does."""
    if fail:
        raise ProvisioningError(f"{payload['upn']} exists already")


def handle(order: dict[str, Any]) -> bool:
    """Ask, and perform the action only if it is allowed; whether it was performed."""
    asked = order["action"]
    action = Action(
        id=asked["id"],
        action=asked["action"],
        customer=asked["customer"],
        actor=Actor(**asked["actor"]),
        items=[PlanAdded(one["plan"], int(one["quantity_delta"])) for one in asked["items"]],
        payload=asked["payload"],
    )
    try:
        with (
            Gate(order["gate_url"], order["token"], patience_seconds=order["patience_seconds"]) as gate,
            gate.ask(action, wait_seconds=order["wait_seconds"]),
        ):
            create_user(asked["payload"], fail=order["fail"])
    except (GateError, ProvisioningError):
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    """The one URL that the kit calls."""

    def do_POST(self) -> None:
        """Take an order."""
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = json.dumps({"performed": handle(order)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
