"""A panel that embeds the dialog, and a gate that answers as told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "clients" / "browser" / "tallyport-confirmation.js"
TOKEN = "one-confirmation-token"  # noqa: S105 - it opens nothing
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
    token: str = TOKEN

    def page(self) -> bytes:
        element = f'<tallyport-confirmation api="{self.gate}" token="{self.token}"></tallyport-confirmation>'
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
