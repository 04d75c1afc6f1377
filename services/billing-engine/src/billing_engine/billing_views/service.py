"""Registering views, and running them for the lines of a transfer or a preview."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import asyncpg
from tallyport.contracts.catalog import BillingUnit
from tallyport.contracts.units import ColumnQuantity, ViewUnit
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.audit import service as audit
from billing_engine.audit.model import Author, Change
from billing_engine.billing_views import store
from billing_engine.billing_views.checking import checked
from billing_engine.billing_views.model import (
    Dates,
    Definition,
    RegisteredView,
    Row,
    ViewFailedError,
    ViewRefusedError,
    ViewWork,
)
from billing_engine.billing_views.running import ViewRunner

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
_SUBJECTS: Final = {"customer_plan": "instance", "user_plan": "user", "application": "application"}
_THINGS: Final = {"instance": "service instance", "user": "subscription", "application": "application"}


Named = dict[tuple[str, int | None], RegisteredView | None]


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering a view did. ``changed`` is False when its newest version says the same."""

    view: RegisteredView
    rows: int
    changed: bool
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a view about a customer's ``objects``, and for which units."""

    work: ViewWork
    units: list[ViewWork]
    sql: str
    column: str
    objects: list[str]


async def register(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: UnitOfWorkFactory,
    runner: ViewRunner,
    given: Definition,
    *,
    dates: Dates,
    by: str,
) -> Registered:
    """Check a view by looking at it and by running it, and keep it as a new version.

    Raises:
        ViewRefusedError: it is not one query on ``olm`` and ``dbo``, or the service is unknown.
        ViewFailedError: what it gives is not what a billing unit needs.
    """
    sql = checked(given.sql, given.dialect)
    async with pool.acquire() as connection:
        rows, warnings = await _try(connection, runner, given, sql, dates)
    async with unit_of_work() as uow:
        await store.lock(uow.connection, given.name)
        newest = await store.version(uow.connection, given.name, None)
        if newest is not None and _same(newest, given, sql):
            return Registered(newest, rows, changed=False, warnings=warnings)
        number = newest.version + 1 if newest is not None else 1
        view = await store.put(uow.connection, given, number, sql=sql, at=uow.now(), by=by)
        before, after = (_said(one) if one is not None else None for one in (newest, view))
        await audit.record(uow, Author(by), [Change("registered", f"billing_view:{given.name}", before, after)])
    return Registered(view, rows, changed=True, warnings=warnings)


async def _try(connection: Any, runner: ViewRunner, given: Definition, sql: str, dates: Dates) -> tuple[int, list[str]]:
    async with connection.transaction(isolation="repeatable_read"):
        if not await store.service_exists(connection, given.service):
            message = f"there is no service {given.service!r}; apply a catalogue that has it"
            raise ViewRefusedError([message], "service")
        await store.create_work(connection)
        work = ViewWork(0, given.service, _SUBJECTS[given.plan_type], given.name, None, given.quantity_column)
        rows = await _load(runner, [connection], work, sql=sql, quantity_column=given.quantity_column, dates=dates)
        unpriced = await store.unpriced_rows(connection, given.service, _PRICED_BY[given.plan_type])
    if not unpriced:
        return rows, []
    kind = _PRICED_BY[given.plan_type]
    return rows, [
        f"{unpriced} of {rows} rows name no {kind} of {given.service}; such a line has the total 0 and no_price"
    ]


_PRICED_BY: Final = {"customer_plan": "customer_plan", "user_plan": "user_plan", "application": "user_plan"}


def _said(view: RegisteredView) -> dict[str, Any]:
    names = ("version", "service", "plan_type", "label", "quantity_column", "dialect", "source_sql")
    return {name: getattr(view, name) for name in names}


def _same(view: RegisteredView, given: Definition, sql: str) -> bool:
    before = Definition(
        name=view.name,
        service=view.service,
        plan_type=view.plan_type,
        label=view.label,
        quantity_column=view.quantity_column,
        sql=view.source_sql,
        dialect=view.dialect,
    )
    return before == given and view.sql == sql


async def create_work(connection: Any) -> None:
    """Have the table for the rows of views, which is empty again when the transaction ends."""
    await store.create_work(connection)


async def export_snapshot(connection: Any) -> str:
    """Let views see what this transaction sees, until it ends; not from within a savepoint, where it is refused."""
    return await store.export_snapshot(connection)


async def fill(
    runner: ViewRunner,
    lanes: Sequence[Any],
    works: Sequence[ViewWork],
    dates: Dates,
    *,
    snapshot: str | None = None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run the views of some units on the snapshot of the first lane, and make their rows lines on every lane.

    The lanes are transactions on one snapshot, with the tables that ``create_work`` makes; ``snapshot`` is what
    ``export_snapshot`` gave for it, if it did. ``meanwhile`` is done on the lanes while the first view computes; it may
    make their tables.

    Raises:
        ViewFailedError: a view does not give what it has to; nothing is billed by half of a view.
    """
    for work, units in _alike(works):
        view = await _found(lanes[0], work)
        column = work.column or view.quantity_column
        await _load(
            runner, lanes, work, sql=view.sql, quantity_column=column, dates=dates, snapshot=snapshot,
            meanwhile=meanwhile,
        )  # fmt: skip
        meanwhile = None
        numbers = [unit.unit_no for unit in units]
        await asyncio.gather(*(_make_lines(lane, work, numbers) for lane in lanes))
    if meanwhile is not None:
        await meanwhile()


async def _make_lines(lane: Any, work: ViewWork, units: Sequence[int]) -> None:
    await store.analyse_rows(lane)
    await store.fill_lines(lane, work, units)
    await store.clear_rows(lane)


async def questions(connection: Any, works: Sequence[ViewWork], customer: str) -> list[Question]:
    """What to ask the views of some units about one customer.

    Raises:
        ViewFailedError: there is no such view.
    """
    asked: list[Question] = []
    for work, units in _alike(works):
        view = await _found(connection, work)
        objects = await store.objects_of(connection, work.service, work.subject, customer)
        if objects:
            asked.append(Question(work, units, view.sql, work.column or view.quantity_column, objects))
    return asked


async def answers(
    runner: ViewRunner, asked: Sequence[Question], dates: Dates, *, snapshot: str
) -> list[tuple[Question, list[Row]]]:
    """What the views say of the objects: exactly what they say in a transfer, and mostly sooner.

    What they say of others is not looked at, so a fault there is not found.

    Raises:
        ViewFailedError: a view does not give what it has to.
    """
    ask = partial(runner.run_for, snapshot=snapshot, dates=dates)
    return [(one, await ask(one.work.view, one.sql, one.column, objects=one.objects)) for one in asked]


async def take_answers(connection: Any, said: Sequence[tuple[Question, list[Row]]], customer_no: int) -> None:
    """Make what views said of one customer lines in its working set.

    Raises:
        ViewFailedError: a view has several rows for one object.
    """
    for one, rows in said:
        await store.put_rows(connection, rows)
        await _refuse_twice(connection, one.work)
        await store.fill_lines(connection, one.work, [unit.unit_no for unit in one.units], customer_no)
        await store.clear_rows(connection)


def _alike(works: Sequence[ViewWork]) -> list[tuple[ViewWork, list[ViewWork]]]:
    """Units that read the same column of the same view, which runs once for all of them."""
    found: dict[ViewWork, list[ViewWork]] = {}
    for work in works:
        found.setdefault(replace(work, unit_no=0), []).append(work)
    return list(found.items())


async def _found(connection: Any, work: ViewWork) -> RegisteredView:
    view = await store.version(connection, work.view, work.version)
    if view is None:
        raise ViewFailedError(work.view, f"there is no version {work.version}")
    return view


async def fill_what_works(
    runner: ViewRunner, lane: Any, works: Sequence[ViewWork], dates: Dates, *, snapshot: str
) -> dict[ViewWork, str]:
    """As ``fill`` on one lane, but a view that fails makes no lines; those units and why."""
    failed: dict[ViewWork, str] = {}
    for work in works:
        try:
            await fill(runner, [lane], [work], dates, snapshot=snapshot)
        except ViewFailedError as error:
            failed[work] = str(error)
            await store.clear_rows(lane)
    return failed


async def _load(
    runner: ViewRunner,
    lanes: Sequence[Any],
    work: ViewWork,
    *,
    sql: str,
    quantity_column: str,
    dates: Dates,
    snapshot: str | None = None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Run a view, keep its rows on every lane, and look at them."""
    first, *_ = lanes
    objects = await store.count_objects(first, work.service, work.subject)
    snapshot = snapshot or await store.export_snapshot(first)
    async with _beside(meanwhile) as until_done:

        async def take(rows: Sequence[Row]) -> None:
            await until_done()
            await asyncio.gather(*(store.put_rows(lane, rows) for lane in lanes))

        rows = await runner.run(
            work.view, sql, quantity_column, snapshot=snapshot, dates=dates, max_rows=objects, take=take
        )
        await until_done()
    await store.analyse_rows(first)
    await _refuse_twice(first, work)
    if unknown := await store.objects_unknown(first, work.service, work.subject):
        said = ", ".join(repr(name) for name in unknown)
        raise ViewFailedError(work.view, f"not a {_THINGS[work.subject]} of service {work.service!r}: {said}")
    return rows


@asynccontextmanager
async def _beside(
    meanwhile: Callable[[], Awaitable[None]] | None,
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Do something beside the block, which may wait until it is done; it does not outlast the block."""
    task = asyncio.ensure_future(meanwhile()) if meanwhile is not None else None

    async def until_done() -> None:
        if task is not None:
            await task

    try:
        yield until_done
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _refuse_twice(connection: Any, work: ViewWork) -> None:
    if twice := await store.objects_twice(connection):
        said = ", ".join(f"{name!r} ({count} times)" for name, count in twice)
        raise ViewFailedError(work.view, f"it has several rows for one object: {said}")


async def newest(connection: Any) -> dict[str, RegisteredView]:
    """The newest version of every view, by name."""
    return {view.name: view for view in await store.newest(connection)}


async def listing(connection: Any, *, after: str | None, limit: int) -> list[RegisteredView]:
    """The newest version of so many views by name, from behind the name ``after`` on."""
    return await store.newest(connection, after=after, limit=limit)


async def named(connection: Any, units: Sequence[BillingUnit]) -> Named:
    """The views that units name, each with the version they name; None where nobody registered it."""
    wanted = {(unit.unit.view, unit.unit.version) for unit in units if isinstance(unit.unit, ViewUnit)}
    return {key: await find(connection, *key) for key in sorted(wanted, key=str)}


async def versions(connection: Any, name: str) -> list[RegisteredView]:
    """All versions of a view, newest first; empty for one that nobody registered."""
    return await store.versions(connection, name)


async def find(connection: Any, name: str, version: int | None) -> RegisteredView | None:
    """One version of a view, the newest for None."""
    return await store.version(connection, name, version)


async def pinned(connection: Any, units: Sequence[BillingUnit]) -> list[BillingUnit]:
    """``units`` with the version and the column of each view written out: what a published schema says for ever."""
    found: list[BillingUnit] = []
    for unit in units:
        view = await find(connection, unit.unit.view, unit.unit.version) if isinstance(unit.unit, ViewUnit) else None
        if view is None or not isinstance(unit.quantity, ColumnQuantity):
            found.append(unit)
            continue
        fixed = {
            "unit": ViewUnit(view=view.name, version=view.version),
            "quantity": ColumnQuantity(column=unit.quantity.column or view.quantity_column),
        }
        found.append(unit.model_copy(update=fixed))
    return found
