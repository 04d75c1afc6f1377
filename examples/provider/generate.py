"""Writes a month of usage files for the example provider: one CSV a day, the same bytes for the same newest day.

    python examples/provider/generate.py --newest-day 2026-10-01 usage/

Usage has to be of recent days to be billed, so it is made rather than kept. Values are drawn from hashes of object and
day in whole hundredths; no binary floating-point number is involved, and no random generator that could change.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

COUNTER = "DiskUsageMB"
DIRECTORY = Path(__file__).with_name("directory.jsonl")
SILENT_INSTANCE = "he-cust-017"
"""The customer whose servers never report."""
SMALLEST_MB = 150
SPREAD_MB = 6000
DAILY_GROWTH_HUNDREDTHS = 900
MISSED_ONE_IN = 150
"""How seldom a mailbox could not be read on a day."""


def draw(what: str, count: int) -> int:
    """One of ``count`` numbers from 0, always the same one for the same ``what``."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big") % count


def mailboxes() -> list[str]:
    """The ids of the Hosted Exchange users who have a mailbox, as the directory lists them."""
    found = []
    for line in DIRECTORY.read_text(encoding="utf-8").splitlines():
        entity = json.loads(line)
        if entity["kind"] != "subscription" or not entity["instance"].startswith("he-"):
            continue
        if entity["instance"] != SILENT_INSTANCE and entity["status"] != "NotProvisioned":
            found.append(entity["id"])
    return found


def used_hundredths(mailbox: str, day: date) -> int:
    """What a mailbox holds at the end of a day, in hundredths of a megabyte: a start, steady growth, a little noise."""
    start = (SMALLEST_MB + draw(f"{mailbox} size", SPREAD_MB)) * 100
    growth = draw(f"{mailbox} growth", DAILY_GROWTH_HUNDREDTHS) * (day.toordinal() % 365)
    return start + growth + draw(f"{mailbox} {day}", 1000)


def rows(boxes: list[str], day: date) -> Iterator[tuple[str, str, str, str]]:
    """The samples of a day."""
    for mailbox in boxes:
        if draw(f"{mailbox} {day} missed", MISSED_ONE_IN):
            hundredths = used_hundredths(mailbox, day)
            yield mailbox, COUNTER, day.isoformat(), f"{hundredths // 100}.{hundredths % 100:02}"


def write_usage(folder: Path, newest: date, days: int) -> list[Path]:
    """Write one file for each of ``days`` days up to and including ``newest``; gives the files, oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    boxes, files = mailboxes(), []
    for back in range(days - 1, -1, -1):
        day = newest - timedelta(days=back)
        file = folder / f"{day}.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("object_id", "counter", "day", "value"))
            writer.writerows(rows(boxes, day))
        files.append(file)
    return files


def main() -> None:
    """Read the options and write the files."""
    parser = argparse.ArgumentParser(description="Write a month of usage files for the example provider.")
    parser.add_argument("--newest-day", type=date.fromisoformat, required=True, help="the last day, YYYY-MM-DD")
    parser.add_argument("--days", type=int, default=31, help="how many days (default 31)")
    parser.add_argument("folder", type=Path, help="where the files go, one a day")
    options = parser.parse_args()
    write_usage(options.folder, options.newest_day, options.days)


if __name__ == "__main__":
    main()
