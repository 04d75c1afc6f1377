"""The confirmation dialog in a real browser, embedded by a panel of another origin under a strict content policy."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

playwright = pytest.importorskip("playwright.async_api", reason="the group `browser` is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

SCRIPT = Path(__file__).parents[2] / "clients" / "browser" / "tallyport-confirmation.js"
TOKEN = "one-confirmation-token"  # noqa: S105
QUOTE = {
    "currency": "EUR",
    "lines": [{"plan": "HE-GOLD", "quantity": "2", "unit_price": "4.50", "difference": "9.00"}],
    "difference": "9.00",
    "sha256": "a" * 64,
}
QUESTION = {
    "confirmation_id": "c-1",
    "state": "open",
    "customer": "acme",
    "action": "create_user",
    "action_label": "Create a user",
    "language": "en",
    "direction": "ltr",
    "message_text": "Two users",
    "message_html": "<p>Create <strong>two</strong> users?</p>",
    "quote": QUOTE,
    "expires_at": "2026-11-23T12:00:00Z",
}


@dataclass
class Served:
    """What the panel and the gate serve, and what the gate heard."""

    questions: list[dict[str, Any]] = field(default_factory=lambda: [QUESTION])
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=lambda: [(200, {"decision": "allowed"})])
    heard: list[tuple[str, str, str | None, Any]] = field(default_factory=list)
    panel: str = ""
    gate: str = ""

    def page(self) -> bytes:
        element = f'<tallyport-confirmation api="{self.gate}" token="{TOKEN}"></tallyport-confirmation>'
        return (
            f"<!doctype html><html lang=en><title>Panel</title><body><button>of the panel</button>{element}"
            '<script src="/record.js"></script><script src="/tallyport-confirmation.js"></script>'
        ).encode()

    def next(self, kept: list[Any]) -> Any:
        return kept.pop(0) if len(kept) > 1 else kept[0]


RECORD = b"""window.told = []; window.injected = 0;
for (const name of ["tallyport-decided", "tallyport-closed", "tallyport-error"])
  document.addEventListener(name, (event) => told.push([name, event.detail.decision ?? null]));"""


def panel_of(served: Served) -> type[BaseHTTPRequestHandler]:
    class Panel(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages = {
                "/": ("text/html", served.page()),
                "/record.js": ("text/javascript", RECORD),
                "/tallyport-confirmation.js": ("text/javascript", SCRIPT.read_bytes()),
            }
            kind, body = pages.get(self.path, ("text/plain", b""))
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            policy = f"default-src 'none'; script-src 'self'; connect-src {served.gate}"
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Panel


def gate_of(served: Served) -> type[BaseHTTPRequestHandler]:
    class Gate(BaseHTTPRequestHandler):
        def _send(self, status: int, said: Any) -> None:
            if status == 0:
                self.close_connection = True
                return
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", served.panel)
            self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_OPTIONS(self) -> None:
            self._send(200, {})

        def do_GET(self) -> None:
            served.heard.append(("GET", self.path, self.headers.get("authorization"), None))
            question = served.next(served.questions)
            self._send(question.get("status", 200), question)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            served.heard.append(("POST", self.path, self.headers.get("authorization"), body))
            self._send(*served.next(served.answers))

        def log_message(self, *_: Any) -> None:
            pass

    return Gate


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), make(found)) for make in (panel_of, gate_of)]
    found.panel, found.gate = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}) for server in servers]
    for thread in threads:
        thread.start()
    yield found
    for server in servers:
        server.shutdown()
    for thread in threads:
        thread.join()
    for server in servers:
        server.server_close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    async with playwright.async_playwright() as tools:
        # --no-sandbox: tests may run as root, where Chromium has no sandbox.
        found = await tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Any) -> AsyncIterator[Any]:
    context = await browser.new_context(locale="en-GB", timezone_id="UTC")
    found = await context.new_page()
    found.set_default_timeout(10_000)
    found.requested, found.complaints = [], []
    found.on("request", lambda request: found.requested.append(request.url))
    found.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    await context.close()


async def told(page: Any) -> list[list[Any]]:
    found: list[list[Any]] = await page.evaluate("told")
    return found


async def test_a_customer_reads_confirms_and_the_panel_is_told(page: Any, served: Served) -> None:
    await page.goto(served.panel)
    dialog = page.get_by_role("dialog", name="Please confirm: Create a user")
    await dialog.wait_for()
    assert "Create two users?" in await dialog.inner_text()
    assert [await cell.inner_text() for cell in await dialog.get_by_role("cell").all()] == [
        "HE-GOLD",
        "2",
        "€4.50",
        "€9.00",
    ]
    assert "This adds to your bill: €9.00 per billing period" in await dialog.inner_text()
    assert "November 23, 2026" in await dialog.inner_text()
    await dialog.get_by_role("button", name="Confirm").click()
    await page.get_by_text("Confirmed. Thank you.").wait_for()
    assert await told(page) == [["tallyport-decided", "allowed"]]
    assert served.heard == [
        ("GET", "/v1/confirmation", f"Bearer {TOKEN}", None),
        ("POST", "/v1/confirmation/answer", f"Bearer {TOKEN}", {"answer": "confirm", "quote_sha256": "a" * 64}),
    ]
    assert page.complaints == []
    assert {url.removeprefix(served.panel).removeprefix(served.gate) for url in page.requested} <= {
        "/", "/record.js", "/tallyport-confirmation.js", "/favicon.ico", "/v1/confirmation", "/v1/confirmation/answer",
    }  # fmt: skip


async def test_the_keyboard_is_enough_and_enter_alone_buys_nothing(page: Any, served: Served) -> None:
    await page.goto(served.panel)
    await page.get_by_role("button", name="Decline").wait_for()
    focused = "document.querySelector('tallyport-confirmation').shadowRoot.activeElement?.textContent"
    assert await page.evaluate(focused) == "Decline"
    await page.keyboard.press("Tab")
    assert await page.evaluate(focused) == "Confirm"
    await page.keyboard.press("Shift+Tab")
    served.answers[:] = [(200, {"decision": "declined"})]
    await page.keyboard.press("Enter")
    await page.get_by_text("Declined. Nothing will be changed.").wait_for()
    assert served.heard[-1][3]["answer"] == "decline"
    # The panel behind is out of reach until the dialog is closed.
    await page.keyboard.press("Escape")
    assert (
        await page.evaluate("document.querySelector('tallyport-confirmation').shadowRoot.querySelector('dialog').open")
        is False
    )


async def test_closing_decides_nothing(page: Any, served: Served) -> None:
    await page.goto(served.panel)
    await page.get_by_role("button", name="Decline").wait_for()
    await page.keyboard.press("Escape")
    await page.wait_for_function("told.length")
    assert await told(page) == [["tallyport-closed", None]]
    assert [method for method, *_ in served.heard] == ["GET"]


@pytest.mark.parametrize(
    ("language", "direction", "title", "sum_"),
    [
        ("de", "ltr", "Bitte bestätigen", "9,00\u00a0€"),
        ("fr-CA", "ltr", "Veuillez confirmer", "9,00"),
        ("ar", "rtl", "يرجى التأكيد", "9"),
        ("tlh", "ltr", "Please confirm", "€9.00"),
    ],
)
async def test_it_speaks_the_customers_language_in_its_direction(
    *, page: Any, served: Served, language: str, direction: str, title: str, sum_: str
) -> None:
    served.questions[:] = [{**QUESTION, "language": language, "direction": direction}]
    await page.goto(served.panel)
    dialog = page.get_by_role("dialog", name=title)
    await dialog.get_by_role("table").wait_for()
    assert await dialog.get_attribute("dir") == direction
    assert sum_ in await dialog.inner_text()
    boxes = [await button.bounding_box() for button in await dialog.get_by_role("button").all()]
    assert (boxes[0]["x"] < boxes[1]["x"]) == (direction == "ltr"), "decline comes first in reading order"


async def test_a_message_brings_nothing_with_it_but_text(page: Any, served: Served) -> None:
    hostile = (
        "<p onclick='injected++'>kept<img src=x onerror='injected++'><script>injected++</script></p>"
        "<a href='javascript:injected++'>gone</a><iframe src='/x'></iframe><style>*{display:none}</style>"
        "<strong>too</strong>"
    )
    served.questions[:] = [{**QUESTION, "message_html": hostile, "action_label": "<b>bold</b>"}]
    await page.goto(served.panel)
    await page.get_by_role("table").wait_for()
    inside = "document.querySelector('tallyport-confirmation').shadowRoot.querySelector('#message').innerHTML"
    assert await page.evaluate(inside) == "<p>kept</p><strong>too</strong>"
    assert "<b>bold</b>" in await page.get_by_role("dialog").inner_text()
    assert await page.evaluate("injected") == 0
    assert not [url for url in page.requested if url.endswith("/x")]


async def test_a_price_that_moved_is_shown_before_it_is_agreed_to(page: Any, served: Served) -> None:
    dearer = {**QUOTE, "difference": "12.00", "sha256": "b" * 64}
    served.questions[:] = [QUESTION, {**QUESTION, "quote": dearer}]
    served.answers[:] = [(409, {"title": "the price moved"}), (200, {"decision": "allowed"})]
    await page.goto(served.panel)
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text("The price has changed meanwhile.").wait_for()
    assert "€12.00" in await page.get_by_role("dialog").inner_text()
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text("Confirmed.").wait_for()
    assert [body["quote_sha256"][0] for method, _, _, body in served.heard if method == "POST"] == ["a", "b"]


async def test_what_cannot_be_computed_is_said(page: Any, served: Served) -> None:
    unknown = {"currency": None, "lines": [], "difference": None, "sha256": "c" * 64}
    served.questions[:] = [{**QUESTION, "quote": unknown}]
    await page.goto(served.panel)
    await page.get_by_text("What this costs cannot be computed").wait_for()


async def test_an_amount_is_shown_to_its_last_digit(page: Any, served: Served) -> None:
    exact = {**QUOTE, "difference": "12345678901234567.89"}
    served.questions[:] = [{**QUESTION, "quote": exact}]
    await page.goto(served.panel)
    await page.get_by_text("€12,345,678,901,234,567.89").wait_for()


async def test_a_gate_that_fails_can_be_asked_again(page: Any, served: Served) -> None:
    served.questions[:] = [{"status": 503}, QUESTION]
    served.answers[:] = [(0, {}), (200, {"decision": "allowed"})]
    await page.goto(served.panel)
    await page.get_by_role("button", name="Try again").click()
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text("This did not work. Please look again.").wait_for()
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text("Confirmed.").wait_for()


@pytest.mark.parametrize("answer", [{"status": 404}, {"status": 401}, {**QUESTION, "state": "expired"}])
async def test_a_question_that_is_closed_is_not_asked(page: Any, served: Served, answer: dict[str, Any]) -> None:
    served.questions[:] = [answer]
    await page.goto(served.panel)
    await page.get_by_text("This question is closed.").wait_for()
    assert await page.get_by_role("button", name="Confirm").count() == 0


async def test_a_panel_gives_it_its_colours(page: Any, served: Served) -> None:
    await page.goto(served.panel)
    button = page.get_by_role("button", name="Confirm")
    await button.wait_for()
    await page.evaluate("document.documentElement.style.setProperty('--tallyport-accent', 'rgb(1, 2, 3)')")
    assert await button.evaluate("element => getComputedStyle(element).backgroundColor") == "rgb(1, 2, 3)"
