"""Messages: what is refused when they are saved, what comes out, and that nobody gets markup in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notifier.messages.defaults import LABELS, TEXTS, UNKNOWN
from notifier.messages.model import (
    PLACES,
    Filling,
    Template,
    TemplateError,
    candidates,
    direction,
    locale_of,
    render,
    values_of,
)
from tallyport.contracts.actions import ACTIONS, VARIANTS

NASTY = "<script>alert(1)</script> **b** {user} [x](javascript:1) \u202eabc \"'&"
FILLING = Filling(
    customer=NASTY, user="ann", action="Create", old_plan="Basic", new_plan="Gold", difference=Decimal("1234.50"),
    total_after=None, currency="EUR", valid_until=datetime(2026, 3, 1, 17, 30, tzinfo=UTC),
)  # fmt: skip
ALLOWED_TAGS = {"p", "em", "strong", "ul", "ol", "li", "br", "bdi"}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.data += data

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.tags.append(f"declaration {decl}")

    def handle_pi(self, data: str) -> None:
        self.tags.append(f"instruction {data}")


def safe(html: str) -> Tags:
    found = Tags(html)
    assert set(found.tags) <= ALLOWED_TAGS, html
    # An ordered list may begin elsewhere than at one.
    assert all(name == "start" and (value or "").isdigit() for name, value in found.attributes), html
    return found


def values() -> dict[str, str]:
    return dict(values_of(FILLING, locale_of("de-AT"), "?"))


@pytest.mark.parametrize("markdown", [False, True])
def test_what_fills_a_place_is_text_and_nothing_else(markdown: bool) -> None:  # noqa: FBT001 - a parameter of the test
    found = render(Template("Hello **{customer}**", markdown), values())
    shown = "<script>alert(1)</script> **b** {user} [x](javascript:1) abc \"'&"
    assert shown in found.text
    assert shown in safe(found.html).data
    assert ("<strong>" in found.html) is markdown


PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["<script>", "<img src=x onerror=1>", "[x](javascript:alert(1))", "![i](http://x)", "<http://x>", "**", "_",
         "`", "\n\n", "\n- ", "\n1. ", "&lt;", "&#60;script&#62;", "\\<b>", "{customer}", "{user}", "    <b>",
         "\n<div>", "<!-- ", "]]>", "<?php", "\n---\n", "# ", "> ", "~~~", "http://x.y", "\x0b", "\\"]
    ),
)  # fmt: skip


@given(pieces=st.lists(PIECES, max_size=25), value=PIECES, markdown=st.booleans())
def test_nothing_brings_markup_in(pieces: list[str], value: str, markdown: bool) -> None:  # noqa: FBT001
    template = Template("".join(pieces), markdown)
    try:
        template.check()
    except TemplateError:
        return
    safe(render(template, values() | {"customer": value, "user": value}).html)


@given(name=st.text(max_size=400))
def test_a_name_is_shown_on_one_line_and_turns_nothing_around(name: str) -> None:
    shown = values_of(replace(FILLING, customer=name), locale_of("ar"), "?")["customer"]
    assert len(shown) <= 200
    assert not set(shown) & set("\n\r\t\x00\u202a\u202e\u2066\u2069\u200f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dear {custommer}", "{custommer} is not a place; there are customer, user,"),
        ("{customer.__class__}", "is not a place"),
        ("{}", "is not a place"),
        ("a { b", "a brace begins or ends"),
        ("a } b", "a brace begins or ends"),
        ("  ", "1 to 2000"),
        ("x" * 2001, "1 to 2000"),
        ("{user}" * 21, "at most 20"),
        ("a\x00b", "no control characters"),
    ],
)
def test_what_cannot_be_filled_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words.replace("{", r"\{").replace("}", r"\}")):
        Template(text).check()


def test_every_place_is_filled_in_the_readers_way_of_writing() -> None:
    found = render(Template(" | ".join(f"{{{one}}}" for one in PLACES)), values() | {"customer": "C"})
    assert found.text == "C | ann | Create | Basic | Gold | €\xa01.234,50 | ? | EUR | 1. März 2026, 17:30:00 UTC"


def test_markdown_has_paragraphs_emphasis_and_lists() -> None:
    text = "Hello *{user}*, **look**:\n\n- {old_plan}\n- {new_plan}\n\nBye\\*"
    found = render(Template(text, markdown=True), values())
    assert found.text == "Hello ann, look:\n- Basic\n- Gold\nBye*"
    assert safe(found.html).tags == ["p", "em", "bdi", "strong", "ul", "li", "bdi", "li", "bdi", "p"]


def test_languages_fall_back_to_their_base_and_then_to_the_default() -> None:
    assert candidates("de-AT", "fr", default="en") == ["de-at", "de", "fr", "en"]
    assert candidates(None, default="pt-BR") == ["pt-br", "pt"]
    assert [direction(one) for one in ("ar", "he", "en", "de-at", "xx-nothing")] == ["rtl", "rtl", "ltr", "ltr", "ltr"]


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ar"])
def test_every_language_that_comes_along_is_whole(language: str) -> None:
    Template(TEXTS[language]).check()
    assert UNKNOWN[language]
    for action in (*ACTIONS, *(f"{one}:{variant}" for one, some in VARIANTS.items() for variant in some)):
        assert LABELS[action][language]
    assert safe(render(Template(TEXTS[language]), values()).html).tags[0] == "p"
