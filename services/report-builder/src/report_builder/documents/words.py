"""The reader's language: words from the catalogues, dates and numbers as Babel knows them."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from functools import cached_property
from importlib.resources import files
from typing import Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal
from tallyport.money import minor_digits

from report_builder.documents.model import DocumentError

_NAME: Final = re.compile(r"[a-z]{2}")
# English is read on both sides of the Atlantic, which write the same date differently: ISO's way is never misread.
_DATES: Final = {"en": "yyyy-MM-dd"}
_WORDS: Final = ("no_price", "no_data", "late_usage", "unknown_cost", "unknown_sales", "last_period_no_data",
                 "period_incomplete")  # fmt: skip


class Words:
    """One language."""

    def __init__(self, language: str) -> None:
        """Read its catalogue.

        Raises:
            DocumentError: there is none.
        """
        catalogue = files("report_builder.documents.languages").joinpath(f"{language}.json")
        if not _NAME.fullmatch(language) or not catalogue.is_file():
            raise DocumentError(f"there is no catalogue of the language {language!r}")
        self._texts: dict[str, str] = json.loads(catalogue.read_text(encoding="utf-8"))
        self._locale = Locale.parse(language)

    def __call__(self, key: str, **values: str) -> str:
        """A text; values take the places it names."""
        return self._texts[key].format(**values) if values else self._texts[key]

    def known(self, key: str, otherwise: str) -> str:
        """A text that may not be there, such as that of a fact the engine learned to say later."""
        return self._texts.get(key, otherwise)

    def day(self, day: date) -> str:
        """A date, all digits, the year with four."""
        return format_date(day, self._date_pattern, locale=self._locale)

    def number(self, number: Decimal | int) -> str:
        """A number in running text."""
        return format_decimal(number, locale=self._locale, decimal_quantization=False)

    @cached_property
    def date_format(self) -> str:
        """How cells show dates."""
        return self._date_pattern.lower()

    def money_format(self, currency: str) -> str:
        """How cells show amounts of a currency: the language's grouping, the currency's decimals."""
        pattern = self._locale.decimal_formats[None].pattern.partition(".")[0]
        digits = minor_digits(currency)
        return f"{pattern}.{'0' * digits}" if digits else str(pattern)

    def remark(self, kind: str, flags: str, corrects: date | None) -> str:
        """What is special about a line."""
        said: list[str] = []
        if kind == "correction":
            said.append(
                self("remark.correction_of", date=self.day(corrects)) if corrects else self("remark.correction")
            )
        elif kind == "adjustment":
            said.append(self("remark.adjustment"))
        tokens = flags.split()
        # An adjustment's reason is a sentence, a rule's is a code among other flags.
        coded = next((token.partition(":")[2] for token in tokens if token.startswith("reason:")), "")
        reason = flags.partition("reason:")[2] if kind == "adjustment" else coded
        if "non_billable" in tokens:
            said.append(self("remark.non_billable"))
        if reason and said:
            said[-1] += f" ({reason})"
        if kind != "adjustment":
            said += [self(f"remark.{token}") for token in tokens if token in _WORDS]
        return "; ".join(said)

    @cached_property
    def _date_pattern(self) -> str:
        pattern = _DATES.get(self._locale.language) or str(self._locale.date_formats["short"].pattern)
        return re.sub("y+", "yyyy", pattern)
