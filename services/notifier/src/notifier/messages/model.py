"""Messages with named places: checked when they are saved, filled in the reader's language; pure.

What fills a place is never read as markup or as another place. Markdown is parsed first, and values are put into the
text that is left, which the renderer escapes; of Markdown there are paragraphs, emphasis and lists, and no HTML.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency
from markdown_it import MarkdownIt
from markdown_it.token import Token

PLACES: Final = (
    "customer", "user", "action", "old_plan", "new_plan", "difference", "total_after", "currency", "valid_until",
)  # fmt: skip
MAX_TEMPLATE_CHARACTERS: Final = 2000
MAX_PLACES: Final = 20
MAX_VALUE_CHARACTERS: Final = 200

_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_MARKDOWN: Final = MarkdownIt("zero", {"html": False, "linkify": False}).enable(
    ["emphasis", "list", "escape", "newline"]
)


class TemplateError(ValueError):
    """A message that cannot be used; it says what is wrong and what there is."""


@dataclass(frozen=True, slots=True)
class Template:
    """A message before it is filled."""

    text: str
    markdown: bool = False

    def check(self) -> None:
        """Refuse what could not be filled.

        Raises:
            TemplateError: a place that there is not, a brace that is none, or too much of it.
        """
        if not self.text.strip() or len(self.text) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateError(f"a message has 1 to {MAX_TEMPLATE_CHARACTERS} characters")
        named = _PLACE.findall(self.text)
        unknown = sorted({one for one in named if one not in PLACES})
        if unknown:
            raise TemplateError(f"{{{unknown[0]}}} is not a place; there are {', '.join(PLACES)}")
        if len(named) > MAX_PLACES:
            raise TemplateError(f"a message has at most {MAX_PLACES} places")
        if set("{}") & set(_PLACE.sub("", self.text)):
            raise TemplateError("a brace begins or ends the name of a place; there is one that does neither")
        if any(unicodedata.category(one) == "Cc" and one not in "\n\t" for one in self.text):
            raise TemplateError("a message has no control characters")


@dataclass(frozen=True, slots=True)
class Filling:
    """What fills the places of one message; amounts are None where nobody can compute them."""

    customer: str
    user: str
    action: str
    old_plan: str
    new_plan: str
    difference: Decimal | None
    total_after: Decimal | None
    currency: str | None
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as text, and as HTML that can be put into a page as it is."""

    text: str
    html: str


def candidates(*wanted: str | None, default: str) -> list[str]:
    """The languages to look for words in: each as named, then its base language; at last the default."""
    found: list[str] = []
    for name in (*wanted, default):
        for one in (name, name.partition("-")[0]) if name else ():
            if one.lower() not in found:
                found.append(one.lower())
    return found


def locale_of(*names: str) -> Locale:
    """The first locale that exists, for money, dates and the direction of writing."""
    for name in names:
        try:
            return Locale.parse(name.replace("_", "-"), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def direction(language: str) -> str:
    """``rtl`` where one writes from right to left, else ``ltr``."""
    return "rtl" if locale_of(language).text_direction == "rtl" else "ltr"


def values_of(filling: Filling, locale: Locale, unknown: str) -> Mapping[str, str]:
    """The words for each place, in the reader's way of writing money and dates."""

    def money(amount: Decimal | None) -> str:
        if amount is None or filling.currency is None:
            return unknown
        return str(format_currency(amount, filling.currency, locale=locale))

    return {
        "customer": _tame(filling.customer),
        "user": _tame(filling.user),
        "action": _tame(filling.action),
        "old_plan": _tame(filling.old_plan),
        "new_plan": _tame(filling.new_plan),
        "difference": money(filling.difference),
        "total_after": money(filling.total_after),
        "currency": filling.currency or "",
        "valid_until": str(format_datetime(filling.valid_until, "long", locale=locale)),
    }


def _tame(value: str) -> str:
    """A value on one line, without control characters or marks that turn the direction of what follows."""
    shown = "".join(one for one in value if unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    return shown if len(shown) <= MAX_VALUE_CHARACTERS else f"{shown[: MAX_VALUE_CHARACTERS - 3]}..."


def render(template: Template, values: Mapping[str, str]) -> Rendered:
    """The message with its places filled, once: a customer named "{user}" stays a customer named "{user}"."""

    def filled(text: str) -> str:
        return _PLACE.sub(lambda match: values[match[1]], text)

    if not template.markdown:
        paragraphs = [one.strip("\n") for one in re.split(r"\n{2,}", template.text.strip())]
        html = "".join(f"<p>{_html(one, values)}</p>" for one in paragraphs)
        return Rendered(filled(template.text.strip()), html.replace("\n", "<br>"))
    tokens = _MARKDOWN.parse(template.text)
    text = _as_text(tokens, filled)
    for token in tokens:
        for child in token.children or ():
            if child.type in {"text", "text_special"}:
                child.type, child.content = "html_inline", _html(child.content, values)
    return Rendered(text, str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})).strip())


def _html(text: str, values: Mapping[str, str]) -> str:
    """Text as HTML, every value isolated: one written from right to left does not turn what is beside it."""
    parts = _PLACE.split(text)
    return "".join(
        f"<bdi>{escape(values[part])}</bdi>" if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _as_text(tokens: list[Token], filled: Callable[[str], str]) -> str:
    lines: list[str] = []
    for token in tokens:
        if token.type == "inline":
            parts = [
                filled(child.content) if child.type in {"text", "text_special"} else "\n" * child.type.endswith("break")
                for child in token.children or ()
            ]
            # A paragraph of a list item lies two levels deep.
            lines.append(("- " if token.level > 1 else "") + "".join(parts))
    return "\n".join(lines)
