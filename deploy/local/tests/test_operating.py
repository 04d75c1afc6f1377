"""What an operator does by command, with servers that are others'; in the order of a day's work."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import commands
import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from operating import Operated
from tallyport.contracts.billing import transfer_correlation
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings
from tallyport_local.kafka.broker import answers

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
ENGINE, NOTIFIER, BUILDER = "billing-engine", "notifier", "report-builder"

CATALOG = """services:
  - id: HE
    name: Hosted Exchange
    counters: [{name: DiskUsageMB, unit: MB, aggregation: last}]
    plans:
      - {id: GOLD, type: user_plan, name: Gold, currency: EUR, properties: {price_per_mb: "0.50"}}
    billing_units:
      - {id: he-mb, plan_type: user_plan, unit: user, quantity: {counter: DiskUsageMB}, price: price_per_mb}
"""


def organisation(name: str, parent: str | None = None, kind: str = "customer") -> dict[str, Any]:
    found = {"kind": "organisation", "id": name, "type": kind, "name": name}
    return found | ({"parent": parent} if parent else {"currency": "EUR"})


def user(name: str) -> dict[str, Any]:
    return {"kind": "subscription", "id": name, "instance": "acme-he", "plan": "GOLD", "status": "Provisioned",
            "user": {"upn": f"{name}@acme.example", "name": name}}  # fmt: skip


DIRECTORY = [
    organisation("sp", kind="service_provider"),
    organisation("acme", "sp"),
    {"kind": "service_instance", "id": "acme-he", "customer": "acme", "service": "HE", "status": "Provisioned"},
    user("ann"),
    user("bob"),
]


def jsonl(*entities: dict[str, Any]) -> list[str]:
    return [json.dumps(entity) for entity in entities]


@pytest.fixture(scope="module")
def settings(operated: Operated) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=operated.env["TALLYPORT_KAFKA__BOOTSTRAP_SERVERS"],
        topic_prefix=operated.env["TALLYPORT_KAFKA__TOPIC_PREFIX"],
    )


# ---- parts that run already


def test_status_says_which_parts_are_others(operated: Operated) -> None:
    found = commands.status(operated.folder, env=operated.env)
    parts = {part["name"]: part for part in found["parts"]}
    store = "ready" if operated.env["TALLYPORT_OBJECT_STORE__URL"].startswith("file:") else "external"
    assert {name: parts[name]["health"] for name in ("kafka", "postgres", "object-store")} == {
        "kafka": "external",
        "postgres": "external",
        "object-store": store,
    }
    assert parts["kafka"]["url"] == operated.env["TALLYPORT_KAFKA__BOOTSTRAP_SERVERS"]
    assert parts["object-store"]["url"] == operated.env["TALLYPORT_OBJECT_STORE__URL"]
    assert {part["health"] for part in parts.values() if part["pid"]} == {"ready"}
    programs = [" ".join(process.cmdline()) for process in commands.processes_of(operated.folder)]
    assert len(programs) == 5, "the supervisor and four services"
    assert not (Path(operated.env["TALLYPORT_CACHE"]) / "kafka").exists()
    kept = operated.folder.state_file.read_text(encoding="utf-8")
    assert operated.env["TALLYPORT_POSTGRES_ADMIN_DSN"] not in kept


def test_usage_becomes_a_report_in_anothers_store(operated: Operated) -> None:
    operated.tallyport("directory", "import", operated.written("directory.jsonl", *jsonl(*DIRECTORY)))
    operated.tallyport("catalog", "apply", operated.written("catalog.yaml", CATALOG))
    operated.tallyport("schema", "publish", "HE")
    rows = [f"{name},DiskUsageMB,{YESTERDAY},{value}" for name, value in (("ann", "3.5"), ("bob", "0"))]
    file = operated.written("usage.csv", "object_id,counter,day,value", *rows)
    operated.tallyport("usage", "import", file, "--source", "mail")
    assert "green" in operated.tallyport("transfer", "execute")
    report = operated.json(
        "report", "create", "customer-detail", "--format", "csv", "--from", str(TODAY), "-o", str(operated.desk / "out")
    )
    store = operated.env["TALLYPORT_OBJECT_STORE__URL"]
    assert [part["uri"].startswith(f"{store.rstrip('/')}/") for part in report["parts"]] == [True]
    lines = csv.DictReader(io.StringIO((operated.desk / "out").read_text(encoding="utf-8"), newline=""))
    assert [(one["object_id"], one["quantity"], one["total"]) for one in lines] == [
        ("ann", "3.5", "1.75"),
        ("bob", "0", "0.00"),
    ]
    assert [one["ok"] for one in operated.json("verify", "--from", str(TODAY), "--to", str(TODAY))] == [True, True]
    assert operated.json("verify", "--to", str(YESTERDAY)) == []


# ---- exit codes


def test_a_report_is_given_out_by_link_and_a_finished_one_is_not_cancelled(operated: Operated) -> None:
    report = operated.json("report", "create", "customer-detail", "--format", "csv", "--from", str(TODAY))
    url = operated.tallyport("report", "link", report["report_id"], "--valid", "60").split()[0]
    if url.startswith("http://127.0.0.1"):  # a bucket's own links are its server's business
        assert httpx.get(url).headers["etag"] == f'"{report["parts"][0]["sha256"]}"'
    said = operated.tallyport("report", "cancel", report["report_id"], code=1)
    assert "is ready already" in said


def test_schedules_by_command(operated: Operated) -> None:
    said = operated.tallyport("schedule", "set", "daily", "--format", "csv", "--at", "06:00", "--zone", "Europe/Berlin")
    assert "every day at 06:00 Europe/Berlin, next " in said
    assert [one["name"] for one in operated.json("schedule", "list")] == ["daily"]
    assert operated.json("schedule", "runs", "daily") == []
    wrong = operated.tallyport("schedule", "set", "x", "--format", "csv", "--at", "06:00", "--zone", "Mars", code=2)
    assert "zone: 'Mars' is not a time zone" in wrong
    operated.tallyport("schedule", "remove", "daily")
    operated.tallyport("schedule", "remove", "daily", code=2)


def test_an_import_that_nobody_applies_says_who_it_waits_for(operated: Operated) -> None:
    file = operated.written("late.jsonl", *jsonl(organisation("late", "sp")))
    with operated.held(NOTIFIER):
        said = operated.tallyport("directory", "import", file, "--timeout", "1", code=3)
    assert "published, but not applied after 1 s" in said
    assert "notifier.directory has 1 records to read" in said
    assert "billing-engine.directory has" not in said
    operated.tallyport("directory", "import", file)


def test_a_transfer_that_takes_too_long_goes_on_by_itself(operated: Operated) -> None:
    with operated.held(BUILDER):
        said = operated.tallyport("transfer", "execute", "--timeout", "2", code=3)
    assert "the light is still orange at step await-warehouse" in said

    def green() -> bool:
        return bool(operated.json("transfer", "status", "--date", str(TODAY))["light"] == "green")

    operated.until(green, "the light is green without another command")


def test_input_that_cannot_be_used_is_exit_code_2(operated: Operated) -> None:
    file = operated.written("partly.jsonl", *jsonl(organisation("good", "sp")), '{"kind": "galaxy", "id": "x"}')
    said = operated.tallyport("directory", "import", file, code=2)
    assert f"{file}:2: " in said
    assert "imported and applied: 1 organisation" in said
    bad_catalog = operated.written("bad.yaml", CATALOG.replace("unit: user", "unit: planet"))
    for arguments in (
        ("usage", "import", operated.written("other.csv", "a,b"), "--source", "x"),
        ("catalog", "apply", bad_catalog),
        ("transfer", "execute", "--from-step", "nowhere"),
        ("report", "create", "customer-detail", "--format", "csv", "--language", "xx"),
        ("dead-letters", "replay", "--all"),
        ("collect", "run", "no-such-source"),
        ("logs", "nobody"),
    ):
        assert "error:" in operated.tallyport(*arguments, code=2), arguments


def test_what_fails_is_exit_code_1(operated: Operated, tmp_path: Path) -> None:
    assert "future" in operated.tallyport("transfer", "execute", "--date", str(TODAY + timedelta(days=3)), code=1)
    nowhere = commands.DataFolder(tmp_path / "nowhere")
    assert "no stack runs" in commands.tallyport(nowhere, "transfer", "status", code=1)
    away = {"TALLYPORT_BILLING_ENGINE_URL": "http://127.0.0.1:9", "TALLYPORT_TOKEN": "x"}
    assert "does not answer" in commands.tallyport(nowhere, "transfer", "status", code=1, env=away)


# ---- dead letters


async def _send(settings: KafkaSettings, topic: str, value: bytes, event_id: str, kind: str) -> None:
    headers = list(Envelope(event_id, "/foreign", kind, datetime.now(UTC)).headers())
    async with producer(settings, "foreign") as client:
        await client.send_and_wait(settings.topic(topic), key=b"the key", value=value, headers=headers)


def _letters(operated: Operated, topic: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = operated.json("dead-letters", "list", "--topic", topic)
        return len(found) >= count

    operated.until(there, f"{count} dead letters of {topic}")
    return found


def _duplicates(operated: Operated, topic: str) -> float:
    url = operated.folder.read_state().parts[ENGINE].url
    for line in httpx.get(f"{url}/metrics", trust_env=False).text.splitlines():
        if line.startswith("tallyport_events_duplicate_total{") and f'topic="{topic}"' in line:
            return float(line.rpartition(" ")[2])
    return 0


async def _organisation(operated: Operated, name: str) -> tuple[str, str]:
    """Its name and its parent, as the engine has them."""
    dsn = operated.env["TALLYPORT_POSTGRES_ADMIN_DSN"].rpartition("/")[0] + "/billing_engine"
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow("SELECT name, parent FROM organisation WHERE id = $1", name)
    finally:
        await connection.close()
    assert row is not None
    return row["name"], row["parent"]


async def test_a_record_that_cannot_be_used_is_shown_as_it_came(operated: Operated, settings: KafkaSettings) -> None:
    broken = b'{"counter": "DiskUsageMB", "day": '
    await _send(settings, "usage.samples", broken, "broken-1", UsageChunk.TYPE)
    (letter,) = _letters(operated, "usage.samples", 1)
    assert (letter["topic"], letter["consumer"], letter["key"]) == ("usage.samples", f"{ENGINE}.usage", "the key")
    assert letter["size_bytes"] == len(broken)
    assert "Invalid JSON" in letter["reason"]

    shown = operated.json("dead-letters", "show", letter["place"])
    assert shown["value"].encode() == broken
    assert (shown["headers"]["ce_id"], shown["headers"]["ce_source"]) == ("broken-1", "/foreign")
    assert (shown["reason"], shown["partition"], shown["offset"]) == (
        letter["reason"],
        letter["partition"],
        letter["offset"],
    )
    printed = operated.tallyport("dead-letters", "show", letter["place"])
    assert letter["reason"] in printed
    assert f"usage.samples partition {letter['partition']} offset {letter['offset']}" in printed
    assert letter["place"] in operated.tallyport("dead-letters", "list")

    async with AIOKafkaConsumer(
        settings.topic("usage.samples.dead-letters"),
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
    ) as consumer:
        record = await consumer.getone()
    assert record.value == broken

    operated.tallyport("dead-letters", "replay", letter["place"])
    again = _letters(operated, "usage.samples", 2)
    assert [one["reason"] for one in again] == [letter["reason"]] * 2
    assert len({(one["partition"], one["offset"]) for one in again}) == 2, "each says where it stood itself"


async def test_a_record_that_has_become_usable_is_applied_once_however_often_it_is_replayed(
    operated: Operated, settings: KafkaSettings
) -> None:
    above, below = organisation("above", "sp", "value_added_reseller"), organisation("below", "above")
    operated.tallyport("directory", "import", operated.written("two.jsonl", *jsonl(above, below)))
    circle = json.dumps(above | {"parent": "below", "name": "moved"}).encode()
    await _send(settings, "directory.changes", circle, "circle-1", DIRECTORY_TYPE)
    (letter,) = _letters(operated, "directory.changes", 1)

    operated.tallyport("directory", "import", operated.written("mended.jsonl", *jsonl(below | {"parent": "sp"})))
    before = _duplicates(operated, "directory.changes")
    operated.tallyport("dead-letters", "replay", letter["place"])
    operated.tallyport("dead-letters", "replay", "--all", "--topic", "directory.changes")
    operated.until(lambda: _duplicates(operated, "directory.changes") == before + 1, "the second replay is a duplicate")
    assert len(_letters(operated, "directory.changes", 1)) == 1
    assert await _organisation(operated, "above") == ("moved", "below")


# ---- collecting, logs


def test_sources_are_read_by_command(operated: Operated) -> None:
    assert [one["name"] for one in operated.json("collect", "sources")] == ["dropped-files", "databases"]
    assert "dropped-files" in operated.tallyport("collect", "sources")
    (run,) = operated.json("collect", "run", "databases")
    assert (run["source"], run["state"]) == ("databases", "succeeded")
    assert run["samples"] >= 3
    assert run["run_id"] in operated.tallyport("collect", "runs")
    assert run["run_id"] in [one["run_id"] for one in operated.json("collect", "runs", "--limit", "1000")]


def test_a_source_that_cannot_be_read_is_named(operated: Operated) -> None:
    inbox = operated.folder.collector / "inbox"
    aside = inbox.rename(inbox.with_name("aside"))
    inbox.write_text("no folder", encoding="utf-8")
    try:
        said = operated.tallyport("collect", "run", "dropped-files", code=1)
    finally:
        inbox.unlink()
        aside.rename(inbox)
    assert "could not be read: dropped-files" in said


def test_logs_of_one_part_and_of_all(operated: Operated) -> None:
    last = operated.tallyport("logs", ENGINE, "--lines", "1")
    assert json.loads(last)["service"] == ENGINE
    everything = operated.tallyport("logs", "--lines", "2")
    assert {line.split(maxsplit=1)[0] for line in everything.splitlines()} >= {ENGINE, NOTIFIER, "supervisor"}


def test_log_lines_say_what_they_belong_to(operated: Operated) -> None:
    def belongs_to(service: str, event: str) -> set[str]:
        lines = [json.loads(line) for line in operated.tallyport("logs", service, "--lines", "1000").splitlines()]
        return {line["correlation_id"] for line in lines if line["event"] == event}

    assert "broken-1" in belongs_to(ENGINE, "record_set_aside")
    assert transfer_correlation(TODAY, 1) in belongs_to(ENGINE, "transfer_step_done") & belongs_to(
        BUILDER, "batch_loaded"
    )
    assert belongs_to(BUILDER, "report_ready")


def test_logs_are_followed_until_ctrl_c(operated: Operated) -> None:
    log = operated.folder.log("followed")
    log.write_text("first\nsecond\n", encoding="utf-8")
    follow = commands.argv(operated.folder, "logs", "followed", "--follow", "--lines", "1")
    env = commands.environment(operated.env) | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "second\n"
        with log.open("a", encoding="utf-8") as stream:
            stream.write("third\n")
        assert process.stdout.readline() == "third\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    log.unlink()


# ---- late usage, adjustments, explanations


def test_usage_that_came_late_waits_and_says_so(operated: Operated) -> None:
    operated.tallyport("transfer", "execute")
    assert _late(operated)["waiting"] == 0
    rows = [f"{name},DiskUsageMB,{YESTERDAY},{value}" for name, value in (("ann", "4.5"), ("bob", "2"))]
    file = operated.written("late.csv", "object_id,counter,day,value", *rows)
    operated.tallyport("usage", "import", file, "--source", "late")
    assert _late(operated) == {"waiting": 2, "batches": 1, "oldest_batch": str(TODAY)}
    assert operated.json("transfer", "status", "--date", str(TODAY))["late_waiting"] == 2
    assert f"2 values wait for the next batch, the oldest of batch {TODAY}" in operated.tallyport("status")
    assert "late usage: 2 values wait for the next batch" in operated.tallyport("transfer", "status")


def _late(operated: Operated) -> dict[str, Any]:
    parts = {part["name"]: part for part in operated.json("status")["parts"]}
    found: dict[str, Any] = parts[ENGINE]["late_usage"]
    return found


def _create(operated: Operated, customer: str, amount: str, currency: str, code: int = 0) -> str:
    said = ("--description", "Outage", "--reason", "goodwill", "--", customer, amount, currency)
    return operated.tallyport("adjustment", "create", *said, code=code)


def test_adjustments_by_command(operated: Operated) -> None:
    created = _create(operated, "acme", "-0.50", "EUR")
    assert "adjustment 1: -0.50 EUR for acme, approved (goodwill: Outage; by operator)" in created
    _create(operated, "acme", "3", "EUR")
    assert "withdrawn" in operated.tallyport("adjustment", "withdraw", "2")
    assert "there is no customer 'nobody'" in _create(operated, "nobody", "1", "EUR", code=2)
    assert "currency" in _create(operated, "acme", "1", "euro", code=2)
    assert "amount" in _create(operated, "acme", "much", "EUR", code=2)
    assert "0.505 has more than the 2 decimals of EUR" in _create(operated, "acme", "0.505", "EUR", code=1)
    assert "adjustment 1 is approved" in operated.tallyport("adjustment", "approve", "1", code=1)
    assert "adjustment 2 is withdrawn" in operated.tallyport("adjustment", "withdraw", "2", code=1)
    for verb in ("approve", "withdraw"):
        assert "99" in operated.tallyport("adjustment", verb, "99", code=2)
    operated.tallyport("transfer", "execute")
    assert f"adjustment 1 is billed with {TODAY}" in operated.tallyport("adjustment", "withdraw", "1", code=1)
    listed = operated.json("adjustment", "list", "--customer", "acme")
    assert [(one["id"], one["amount"], one["state"], one["batch_date"]) for one in listed] == [
        (2, "3", "withdrawn", None),
        (1, "-0.50", "billed", str(TODAY)),
    ]
    assert "Outage" in operated.tallyport("adjustment", "list")
    assert operated.json("adjustment", "list", "--customer", "nobody") == []


def test_a_line_is_explained_by_command(operated: Operated) -> None:
    said = operated.tallyport("explain", f"{TODAY}/acme/he-mb/ann")
    for part in ("x 0.50 =", "rule      HE version 1, unit he-mb", "measured  DiskUsageMB", "price     price_per_mb"):
        assert part in said
    (adjusted,) = operated.json("explain", f"{TODAY}/acme/adjustment/adjustment-1")
    assert (adjusted["line"]["total"], adjusted["adjustment"]["author"]) == ("-0.50", "operator")
    assert "is not DATE/CUSTOMER/UNIT/OBJECT" in operated.tallyport("explain", f"{TODAY}/acme", code=2)
    assert "has no line of customer 'acme'" in operated.tallyport("explain", f"{TODAY}/acme/he-mb/nobody", code=2)
    assert "no finished batch" in operated.tallyport("explain", "2001-01-01/acme/he-mb/ann", code=2)
    operated.tallyport("explain", "yesterday/acme/he-mb/ann", code=2)


# ---- the end of the day


async def test_down_leaves_others_servers_alone(operated: Operated) -> None:
    operated.tallyport("down")
    assert commands.processes_of(operated.folder) == []
    connection = await operated.infrastructure.admin()
    assert await connection.fetchval("SELECT true FROM pg_database WHERE datname = 'billing_engine'")
    await connection.close()
    assert await answers(operated.env["TALLYPORT_KAFKA__BOOTSTRAP_SERVERS"])
    assert commands.status(operated.folder, code=1, env=operated.env)["phase"] == "stopped"
