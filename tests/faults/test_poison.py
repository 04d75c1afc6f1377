"""Records that cannot be used are set aside with the reason and the place; their neighbours go in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from typing import Any

from tallyport.contracts.usage import UsageChunk
from yard import TODAY, YESTERDAY, Yard

COUNTER = "Poisoned"


def _chunk(object_id: str, value: Any, **changes: Any) -> bytes:
    body = {
        "counter": COUNTER,
        "day": str(YESTERDAY),
        "measured_at": datetime.combine(YESTERDAY, time(12), UTC).isoformat(),
        "object_ids": [object_id],
        "values": [value],
    }
    return json.dumps(body | changes).encode()


async def test_poison_is_set_aside_and_its_neighbours_are_applied(yard: Yard) -> None:
    name = "poison"
    objects = await yard.provider(name, 20, [COUNTER])
    bad: dict[str, tuple[bytes, str]] = {
        "truncated": (_chunk(objects[0], "1")[:-7], "Invalid JSON"),
        "nothing": (b"", "Invalid JSON"),
        "not-utf8": (b'{"counter": "\xff"}', "Invalid JSON"),
        "number-as-list": (_chunk(objects[0], ["1"]), "values.0"),
        "object-as-number": (_chunk(objects[0], "1", object_ids=[7]), "object_ids.0"),
        "fraction": (_chunk(objects[0], 0.1), "values.0"),
        "nan": (_chunk(objects[0], "NaN"), "values.0"),
        "infinity": (_chunk(objects[0], "Infinity"), "values.0"),
        "exponent": (_chunk(objects[0], "1e3"), "values.0"),
        "ten-to-400": (_chunk(objects[0], "1" + "0" * 400), "values.0"),
        "almost-a-number": (_chunk(objects[0], "1.2.3"), "values.0"),
        "array-trick": (_chunk(objects[0], "1,2"), "values.0"),
        "empty-value": (_chunk(objects[0], ""), "values.0"),
        "unequal": (_chunk(objects[0], "1", values=["1", "2"]), "1 object_ids but 2 values"),
        "no-day": (_chunk(objects[0], "1", day="yesterday"), "day"),
        "far-day": (_chunk(objects[0], "1", day="1999-12-31"), "day"),
        "no-offset": (_chunk(objects[0], "1", measured_at="2026-01-01T00:00:00"), "measured_at"),
        "nul": (_chunk("a\x00b", "1"), "object_ids.0"),
        "five-mebibytes": (_chunk(objects[0], "1", counter="x" * 5 * 1024 * 1024), "at most 1048576 are read"),
    }
    for index, (what, (value, _)) in enumerate(bad.items()):
        await yard.send("usage.samples", value, key="k", type_=UsageChunk.TYPE, event_id=what, source=f"/{name}")
        neighbour = _chunk(objects[index % len(objects)], f"{index}.5")
        await yard.send(
            "usage.samples", neighbour, key="k", type_=UsageChunk.TYPE, event_id=f"good-{index}", source=f"/{name}"
        )
    good = {objects[index]: f"{index}.5" for index in range(len(bad))}
    other_version = UsageChunk.TYPE.replace(".v1", ".v2")
    await yard.send(
        "usage.samples", _chunk(objects[0], "7"), key="k", type_=other_version, event_id="version", source=f"/{name}"
    )
    await yard.send(
        "usage.samples", _chunk(objects[1], "7"), key="k", type_=UsageChunk.TYPE, event_id="good-1", source=f"/{name}"
    )
    await yard.client.flush()
    await yard.caught_up("billing-engine")

    assert {one[0]: one[3] for one in await yard.usage(name)} == good
    dead = await yard.dead_letters("usage.samples", name)
    reasons = {value: reason for reason, value in dead}
    for what, (value, expected) in bad.items():
        assert expected in reasons.get(value, "not set aside"), what
    assert "is not known here" in reasons[_chunk(objects[0], "7")]
    assert "conflict" in reasons[_chunk(objects[1], "7")]
    assert len(dead) == len(bad) + 2
    noted = await yard.fetch("billing_engine", "SELECT topic, partition, record_offset FROM dead_letter")
    assert {row["topic"] for row in noted} == {"usage.samples"}
    status = await yard.call("GET", f"{yard.stack.url('billing-engine')}/v1/status")
    assert status["ready"], (TODAY, status)
