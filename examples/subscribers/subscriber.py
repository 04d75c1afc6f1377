"""A billing system that listens on Kafka: every customer detail that is ready is fetched, checked and imported once.

    python examples/subscribers/subscriber.py --kafka 127.0.0.1:9092 --reports http://127.0.0.1:8083 \
        --token-file token --into lines.sqlite

It stands for whatever keeps your invoices: here a SQLite file. Delivery is at least once, so the import notes each
report's id in the same transaction as its lines; the offset is committed after that. Needs aiokafka and httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import json
import logging
import sqlite3
import tempfile
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord

log = logging.getLogger("subscriber")

TYPE = b"tallyport.reports.ready.v1"
SCHEMA = """
CREATE TABLE IF NOT EXISTS imported (report_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS line (
    report_id TEXT, batch_date TEXT, customer_id TEXT, object_id TEXT, total TEXT, currency TEXT
);
"""


class NotWhatWasAnnouncedError(Exception):
    """What came is not what the event told of."""


def fetch(client: httpx.Client, report_id: str, number: int, part: dict[str, Any], target: Path) -> None:
    """Fetch a part, and see that it is the one that was announced."""
    digest, size = hashlib.sha256(), 0
    with client.stream("GET", f"/v1/reports/{report_id}/parts/{number}") as answer, target.open("wb") as file:
        answer.raise_for_status()
        for block in answer.iter_bytes():
            digest.update(block)
            size += len(block)
            file.write(block)
    if (digest.hexdigest(), size) != (part["sha256"], part["size"]):
        raise NotWhatWasAnnouncedError(f"part {number} of {report_id}")


def import_lines(database: sqlite3.Connection, event: dict[str, Any], files: list[Path]) -> bool:
    """All lines of a report in one transaction; False when it was imported before."""
    report_id, sums = event["report_id"], {}
    with database:
        if not database.execute("INSERT OR IGNORE INTO imported VALUES (?)", (report_id,)).rowcount:
            return False
        for file in files:
            with file.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + Decimal(row["total"])
                    values = [row[name] for name in ("batch_date", "customer_id", "object_id", "total", "currency")]
                    database.execute("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?)", (report_id, *values))
        if sums != {currency: Decimal(total) for currency, total in event["totals"].items()}:
            raise NotWhatWasAnnouncedError(f"{report_id}: the lines do not add up to the totals")
    return True


def take(record: ConsumerRecord[bytes, bytes], client: httpx.Client, database: sqlite3.Connection) -> None:
    """Import what an event tells of, if it is ours."""
    if dict(record.headers).get("ce_type") != TYPE or not record.value:
        return
    event = json.loads(record.value)
    if (event["kind"], event["format"]) != ("customer-detail", "csv"):
        return
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, part in enumerate(event["parts"], start=1):
            name = PurePosixPath(part["uri"]).name
            if not name.endswith(".completeness.csv"):
                files.append(Path(folder) / str(number))
                fetch(client, event["report_id"], number, part, files[-1])
        new = import_lines(database, event, files)
    log.info("%s: %s, %s", event["report_id"], "imported" if new else "known", event["totals"])


async def listen(options: argparse.Namespace) -> None:
    """Until somebody presses Ctrl-C."""
    database = sqlite3.connect(options.into)
    database.executescript(SCHEMA)
    token = options.token_file.read_text(encoding="utf-8").strip()
    consumer = AIOKafkaConsumer(
        f"{options.topic_prefix}reports.ready",
        bootstrap_servers=options.kafka,
        group_id="example-billing-system",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        with httpx.Client(base_url=options.reports, headers={"authorization": f"Bearer {token}"}) as client:
            async for record in consumer:
                take(record, client, database)
                await consumer.commit()
    finally:
        await consumer.stop()
        database.close()


def main() -> None:
    """Read the options and listen."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kafka", required=True, help="bootstrap servers, host:port")
    options.add_argument("--topic-prefix", default="tallyport.")
    options.add_argument("--reports", required=True, help="URL of the report builder")
    options.add_argument("--token-file", required=True, type=Path)
    options.add_argument("--into", required=True, type=Path, help="the SQLite file")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(listen(options.parse_args()))


if __name__ == "__main__":
    main()
