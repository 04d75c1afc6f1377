"""The sales tree stays a tree, whatever is said in one poll."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from billing_engine.directory.service import DirectoryService
from engine_bench import Bench
from tallyport.contracts.directory import DIRECTORY_TYPE, Organisation
from tallyport.messaging.record import Event, Record
from tallyport.messaging.unit_of_work import UnitOfWork

_OFFSETS = count()


def organisation(name: str, parent: str | None) -> Event[Any]:
    said = {"id": name, "type": "value_added_reseller" if parent else "service_provider", "name": name}
    return Event(
        id=f"{name}-{next(_OFFSETS)}",
        source="/test",
        type=DIRECTORY_TYPE,
        time=datetime.now(UTC),
        subject=None,
        correlation_id="",
        data=Organisation.model_validate({**said, "parent": parent}),
        record=Record("directory.changes", 0, next(_OFFSETS), f"organisation:{name}".encode(), b"{}", (), 0),
    )


async def nothing_new(_uow: UnitOfWork, _objects: Sequence[str]) -> None:
    """Organisations are no objects."""


@pytest.mark.parametrize(
    ("poll", "refused", "tree"),
    [
        ([("a", "b"), ("b", "a")], ["parent: 'a' is below 'b' already; a tree has no cycles"], "a>b b>root c>b"),
        ([("b", "a"), ("a", "c")], ["parent: 'c' is below 'a' already; a tree has no cycles"], "a>root b>a c>b"),
        ([("b", "c")], ["parent: 'c' is below 'b' already; a tree has no cycles"], "a>root b>root c>b"),
        ([("new", "new")], ["parent: 'new' is its own; a tree has no cycles"], "a>root b>root c>b"),
        ([("c", "root"), ("b", "c")], [], "a>root b>c c>root"),
    ],
)
async def test_a_circle_goes_to_the_dead_letters(
    bench: Bench, poll: list[tuple[str, str]], refused: list[str], tree: str
) -> None:
    service = DirectoryService(nothing_new)
    before = [organisation("root", None), organisation("a", "root"), organisation("b", "root"), organisation("c", "b")]
    async with bench.engine.messaging.unit_of_work() as uow:
        await service.apply(uow, before)
    async with bench.engine.messaging.unit_of_work() as uow:
        await service.apply(uow, [organisation(*one) for one in poll])
        assert [reason for _, reason in uow.rejected] == refused
    rows = await bench.fetch("SELECT id, parent FROM organisation WHERE parent IS NOT NULL ORDER BY id")
    assert " ".join(f"{row['id']}>{row['parent']}" for row in rows) == tree
