"""The confirmation dialog in a real browser, embedded by a panel of another origin under a strict content policy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from panels import QUESTION, QUOTE, TOKEN, Served, gate_of, panel_of

pytestmark = pytest.mark.browser


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
