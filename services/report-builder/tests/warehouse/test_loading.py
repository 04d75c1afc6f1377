from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import count
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_builder.warehouse import service
from report_builder.warehouse.store import UnknownBatchError
from tallyport_local.testing import Infrastructure, ServiceDatabase

_DAYS = count()


@pytest.fixture
def day() -> date:
    """A date no other test uses."""
    return date(2026, 1, 1) + timedelta(days=next(_DAYS))


def whole(make_batch: Any, make_line: Any, day: date, **named: Any) -> Any:
    made = make_batch(day, **named)
    made.chunk("organisations", [["c-1", "root", "customer", "Müller & Söhne", None, None, "de", "EUR"]])
    made.chunk("allocations", [["c-1", "HE", "HE-GOLD", "Gold", "10", "9"]])
    made.chunk("lines", [make_line(), make_line(object_id="o-2", sales_price=None, total="0.00", flags="no_price")])
    made.chunk("lines", [])
    return made


async def lines(pool: asyncpg.Pool[asyncpg.Record], day: date) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM batch_line WHERE batch_date = $1 ORDER BY revision, sequence, position", day)


async def states(pool: asyncpg.Pool[asyncpg.Record], day: date) -> list[tuple[int, str, bool]]:
    found = await service.batches(pool, day, day)  # type: ignore[arg-type]  # a pool fetches like a connection
    return [(batch.revision, batch.state, batch.current) for batch in found]


@pytest.mark.parametrize("published_first", [True, False])
async def test_a_batch_is_current_when_it_is_whole(
    warehouse: Any, make_batch: Any, make_line: Any, day: date, answer_of: Any, *, published_first: bool
) -> None:
    made = whole(make_batch, make_line, day)
    if published_first:
        assert await warehouse.publish(made.published()) is None
        await warehouse.load(*made.records[2:])
        assert await states(warehouse.pool, day) == [(1, "loading", False)]
        answer = answer_of(await warehouse.load(*made.records[:2]))
    else:
        await warehouse.load(*made.records)
        assert await states(warehouse.pool, day) == [(1, "loading", False)]
        answer = await warehouse.publish(made.published())
    assert (answer.state, answer.lines, answer.chunks, answer.sha256) == ("loaded", 2, 4, made.sha256)
    assert await states(warehouse.pool, day) == [(1, "loaded", True)]


async def test_numbers_keep_their_digits(warehouse: Any, make_batch: Any, make_line: Any, day: date) -> None:
    made = make_batch(day)
    made.chunk("lines", [make_line(quantity="1.500000000000000000000001", sales_price="0.10", cost_price=None)])
    await warehouse.keep(made)
    row = (await lines(warehouse.pool, day))[0]
    assert (str(row["quantity"]), str(row["sales_price"]), row["cost_price"]) == (
        "1.500000000000000000000001",
        "0.10",
        None,
    )


async def test_a_chunk_that_comes_again_is_dropped(warehouse: Any, make_batch: Any, make_line: Any, day: date) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.load(*made.records, made.records[2])
    again = await warehouse.load(*made.records)
    assert (again.duplicate_events, again.applied_events, again.rejected) == (4, 0, [])
    await warehouse.publish(made.published())
    assert len(await lines(warehouse.pool, day)) == 2
    after = await warehouse.load(*made.records)
    assert (after.duplicate_events, after.rejected) == (4, [])


async def test_other_content_in_the_same_place_is_a_conflict(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.load(*made.records)
    other = make_batch(day)
    other.chunk("organisations", [["c-1", "root", "customer", "Somebody else", None, None, "de", "EUR"]])
    uow = await warehouse.load(*other.records)
    assert uow.conflicting_events == 1
    assert "conflict: chunk 1 was taken in as organisations" in uow.rejected[0][1]


POISON = {
    "not JSON": (b"{", "truncated"),
    "a hash that does not match": (None, "the rows hash to"),
    "too few columns": (b'["a","b"]', "missing data for column"),
    "too many columns": (None, "extra data"),
    "not a number": (None, "invalid input syntax for type numeric"),
    "NaN": (None, "violates check constraint"),
    "NUL": (None, "invalid byte sequence"),
    "a row that is no array": (b'"a"', "each row is an array"),
}


@pytest.mark.parametrize("what", POISON)
async def test_a_bad_chunk_goes_aside_and_its_neighbours_go_in(
    *, warehouse: Any, make_batch: Any, make_line: Any, day: date, what: str
) -> None:
    made = whole(make_batch, make_line, day)
    bad = make_batch(day + timedelta(days=3000))
    rows = {
        "too many columns": [[*make_line(), "x"]],
        "not a number": [make_line(quantity="many")],
        "NaN": [make_line(quantity="NaN")],
        "NUL": [make_line(description="a\x00b")],
    }.get(what, [make_line()])
    bad.chunk("lines", rows, claimed_sha256="ab" * 32 if what == "a hash that does not match" else None)
    record = bad.records[0]
    body, reason = POISON[what]
    if what == "not JSON":
        record = msgspec.structs.replace(record, value=b"{")
    elif body is not None:
        bad = make_batch(day + timedelta(days=3000))
        import hashlib  # noqa: PLC0415

        record = bad.record(1, "lines", hashlib.sha256(body).hexdigest(), body)
    uow = await warehouse.load(*made.records[:2], record, *made.records[2:])
    assert [refused for refused, _ in uow.rejected] == [record]
    assert reason in uow.rejected[0][1]
    answer = await warehouse.publish(made.published())
    assert answer.state == "loaded"


async def test_a_chunk_for_a_loaded_batch_is_refused(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.keep(made)
    made.chunk("lines", [make_line(object_id="late")])
    uow = await warehouse.load(made.records[-1])
    assert "is loaded; nothing is added to it" in uow.rejected[0][1]
    assert len(await lines(warehouse.pool, day)) == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"lines": 3}, "lines: 3 were published, 2 are in the warehouse"),
        ({"sha256": "ab" * 32}, "hash: "),
        ({"totals": {"EUR": "1.55"}}, "totals: 1.55 EUR were published, the lines sum to 1.54 EUR"),
        ({"chunks": 3}, "hash: "),
    ],
)
async def test_a_batch_that_is_not_what_was_published_fails(
    *, warehouse: Any, make_batch: Any, make_line: Any, day: date, changed: dict[str, Any], reason: str
) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.load(*made.records)
    wrong = made.published(**changed)
    if changed == {"chunks": 3}:
        wrong = made.published(chunks=3, sha256="cd" * 32)
    answer = await warehouse.publish(wrong)
    assert answer.state == "failed"
    assert answer.reason.startswith(reason)
    assert await states(warehouse.pool, day) == [(1, "failed", False)]
    # The engine says it again, rightly this time.
    assert (await warehouse.publish(made.published())).state == "loaded"


async def test_the_chain_is_checked(warehouse: Any, make_batch: Any, make_line: Any, day: date) -> None:
    first = whole(make_batch, make_line, day)
    await warehouse.keep(first)
    second = whole(make_batch, make_line, day, revision=2, previous=first)
    await warehouse.load(*second.records)
    answer = await warehouse.publish(second.published(previous_sha256="ab" * 32))
    assert answer.reason.startswith("chain: ")
    assert (await warehouse.publish(second.published())).state == "loaded"


async def test_a_new_revision_replaces_the_old_and_both_stay_readable(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    await warehouse.keep(whole(make_batch, make_line, day))
    second = whole(make_batch, make_line, day, revision=2)
    await warehouse.load(*second.records)
    assert await states(warehouse.pool, day) == [(1, "loaded", True), (2, "loading", False)]
    assert len(await lines(warehouse.pool, day)) == 2
    await warehouse.publish(second.published())
    assert await states(warehouse.pool, day) == [(1, "loaded", False), (2, "loaded", True)]
    assert len(await lines(warehouse.pool, day)) == 4


async def test_saying_published_again_repeats_the_answer(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.keep(made)
    assert (await warehouse.publish(made.published())).state == "loaded"
    assert (await warehouse.publish(made.published(sha256="ab" * 32))).state == "failed"
    assert await states(warehouse.pool, day) == [(1, "loaded", True)]


@pytest.mark.parametrize("table", ["batch_line", "batch_chunk", "batch_organisation", "batch_allocation", "batch"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET revision = 9", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_nobody_changes_history(
    *,
    warehouse: Any,
    make_batch: Any,
    make_line: Any,
    day: date,
    report_database: ServiceDatabase,
    table: str,
    statement: str,
) -> None:
    await warehouse.keep(whole(make_batch, make_line, day))
    sql = statement.format(table)
    for who in (report_database.runtime, report_database.owner):
        if table == "batch" and who is report_database.owner and "TRUNCATE" in sql:
            continue
        connection = await asyncpg.connect(who.dsn, password=who.secret())
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)
        await connection.close()


async def test_verify_names_the_first_chunk_that_was_changed(
    *,
    warehouse: Any,
    make_batch: Any,
    make_line: Any,
    day: date,
    infrastructure: Infrastructure,
    report_database: ServiceDatabase,
) -> None:
    made = whole(make_batch, make_line, day)
    await warehouse.keep(made)
    async with warehouse.pool.acquire() as connection:
        proof = await service.verify(connection, (day, 1))
        assert (proof.ok, proof.recomputed, proof.first_difference) == (True, made.sha256, None)
    admin = await asyncpg.connect(
        infrastructure.admin_dsn, password=infrastructure.admin_password, database=report_database.name
    )
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("UPDATE batch_line SET total = 1.55 WHERE batch_date = $1 AND object_id = 'o-1'", day)
    await admin.close()
    async with warehouse.pool.acquire() as connection:
        proof = await service.verify(connection, (day, 1))
        assert not proof.ok
        assert proof.first_difference == "chunk 3 (lines): other content"
        with pytest.raises(UnknownBatchError):
            await service.verify(connection, (day, 2))


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
tricky = st.sampled_from(
    [
        "null",
        ",null,",
        "],[",
        '"],["',
        '",null,"',
        "\\",
        '\\"',
        '"',
        "\\n",
        "\n",
        "\r\n",
        "\t",
        "\\.",
        "",
        "\u2028",
        "'",
    ]
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.one_of(anything, tricky), st.one_of(anything, tricky)), min_size=1, max_size=8))
async def test_any_text_is_kept_exactly(warehouse: Any, make_batch: Any, make_line: Any, texts: list[Any]) -> None:
    made = make_batch(date(2027, 1, 1) + timedelta(days=next(_DAYS)))
    # As PostgreSQL writes JSON: what it escapes is what json.dumps escapes, but for DEL, which both leave alone.
    made.chunk("lines", [make_line(description=one, name=two) for one, two in texts])
    await warehouse.keep(made)
    found = await lines(warehouse.pool, made.day)
    assert [(row["description"], row["name"]) for row in found] == texts
    async with warehouse.pool.acquire() as connection:
        assert (await service.verify(connection, (made.day, 1))).ok, json.dumps(texts)
