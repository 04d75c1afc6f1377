"""Directory files: one entity a line, as it will stand on ``directory.changes``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from tallyport.contracts.directory import ENTITY, KINDS, Entity, Removal
from tallyport.usage_csv import BadLine, reason_of

MAX_LINE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class DirectoryEvent:
    """An entity, or the removal of one."""

    entity: Entity | Removal


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _entity(line: bytes) -> Entity | Removal:
    """Read one line.

    Raises:
        ValueError: saying what is wrong (pydantic's ValidationError is one).
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"{len(line)} bytes, at most {MAX_LINE_BYTES} are read")
    data = json.loads(line, object_pairs_hook=_no_duplicates)
    if not isinstance(data, dict):
        raise ValueError("a JSON object is expected")  # noqa: TRY004 - one kind of error for a line's content
    if data.get("kind") not in KINDS:
        raise ValueError(f"kind: {data.get('kind')!r} is none of {', '.join(KINDS)}")
    if data.get("deleted") is True:
        return Removal.model_validate(data, extra="ignore")
    data.pop("deleted", None)
    return ENTITY.validate_python(data)


def read_directory(lines: Iterable[bytes]) -> Iterator[DirectoryEvent | BadLine]:
    """Every entity in the file's order, and the lines that are none. Empty lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield DirectoryEvent(_entity(line))
        except ValidationError as error:
            yield BadLine(number, reason_of(error))
        except (ValueError, RecursionError) as error:
            yield BadLine(number, str(error))
