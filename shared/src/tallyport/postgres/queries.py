"""SQL as first-class files: each statement has a name and a line that says what it is for.

A file holds statements, each introduced by ``-- name: the_name`` and a comment line with its purpose. Statements are
static: values go in as parameters, so nothing a user types is ever part of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Queries:
    """The statements of one file, by name: ``queries["insert_line"]``."""

    statements: MappingProxyType[str, str]

    def __getitem__(self, name: str) -> str:
        """The statement's text.

        Raises:
            KeyError: with the names there are.
        """
        try:
            return self.statements[name]
        except KeyError:
            raise KeyError(f"no statement {name!r}; there are {', '.join(sorted(self.statements))}") from None


def parse_queries(text: str) -> Queries:
    """Split a file into its statements.

    Raises:
        ValueError: a name twice, or a statement without a purpose line.
    """
    parts = _NAME.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"statement {name!r} is there twice")
        if not body.lstrip("\n").startswith("-- "):
            raise ValueError(f"statement {name!r} does not say what it is for")
        statements[name] = f"-- {name}{body.rstrip()}\n"
    return Queries(MappingProxyType(statements))


def load_queries(package: str, name: str = "queries.sql") -> Queries:
    """The statements of ``name`` inside ``package``."""
    return parse_queries(files(package).joinpath(name).read_text(encoding="utf-8"))
