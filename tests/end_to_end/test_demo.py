"""The demo keeps its promises, and its figures are those of an independent model of the examples."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from bill import Bill, Line
from tallyport_local.demo.stage import PromiseBrokenError, Stage
from tallyport_local.recovery import remove_data
from tallyport_local.state import DataFolder

MAX_SECONDS = 240


@dataclass(frozen=True)
class Told:
    """A demo that was run: what it printed, its data folder, and the newest batch date."""

    printed: str
    folder: Path
    today: date

    @property
    def yesterday(self) -> date:
        return self.today - timedelta(days=1)


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TALLYPORT_")}
    return subprocess.run(
        [sys.executable, "-m", "tallyport_local", "demo", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=MAX_SECONDS,
        env=env | {"PYTHONUTF8": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("demo") / "stack"
    try:
        done = run_demo("--data", str(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        newest = max(file.stem[len("detail-") :][:10] for file in (folder / "desk").glob("detail-*.csv"))
        yield Told(done.stdout, folder, date.fromisoformat(newest))
    finally:
        remove_data(DataFolder(folder))


@pytest.fixture(scope="module")
def expected() -> dict[str, Line]:
    return Bill().lines()


def details(told: Told, day: date) -> list[list[dict[str, str]]]:
    """The customer details of a date the demo fetched, in the order it did."""
    files = sorted((told.folder / "desk").glob(f"detail-{day}-*.csv"), key=lambda file: int(file.stem.split("-")[-1]))
    found = []
    for file in files:
        with file.open(encoding="utf-8", newline="") as stream:
            found.append(list(csv.DictReader(stream)))
    return found


def test_yesterdays_batch_is_what_the_model_says(told: Told, expected: dict[str, Line]) -> None:
    rows = details(told, told.yesterday)[0]
    found = {
        row["object_id"]: Line(
            customer=row["customer_id"],
            unit=row["unit"],
            name=row["name"],
            description=row["description"],
            stock_code=row["stock_code"],
            quantity=Decimal(row["quantity"]),
            price=Decimal(row["sales_price"]) if row["sales_price"] else None,
            total=Decimal(row["total"]),
            currency=row["currency"],
            flags=row["flags"],
            # The customer's document tells nothing of what the organisations above it pay.
            source=None,
            level_prices=None,
            level_totals="",
            cost=None,
        )
        for row in rows
    }
    unseen = {"source": None, "level_prices": None, "level_totals": "", "cost": None}
    assert len(found) == len(rows)
    assert found == {name: dataclasses.replace(line, **unseen) for name, line in expected.items()}


def test_the_printed_totals_are_the_sums_of_the_lines(told: Told, expected: dict[str, Line]) -> None:
    sums: dict[str, Decimal] = {}
    for line in expected.values():
        sums[line.currency] = sums.get(line.currency, Decimal(0)) + line.total
    totals = ", ".join(f"{amount} {currency}" for currency, amount in sorted(sums.items()))
    assert f"{len(expected)} lines, total {totals}, sha256 " in told.printed


def test_only_later_batches_changed(told: Told) -> None:
    past = details(told, told.yesterday)
    assert len(past) > 1
    assert all(rows == past[0] for rows in past)
    by_unit_code = [Counter(row["unit_code"] for row in rows) for rows in details(told, told.today)]
    assert by_unit_code[0] == by_unit_code[1], "the edit alone changed a report"
    assert by_unit_code[0]["HE-U"] == by_unit_code[-1]["HE-MB"] > 0
    first, last = details(told, told.today)[0], details(told, told.today)[-1]
    telephony = [[row for row in rows if row["service"] == "VOICE"] for rows in (first, last)]
    assert telephony[0] == telephony[1], "only the other service was switched"


def test_todays_batch_bills_what_was_measured(told: Told) -> None:
    with (told.folder / "desk" / "usage" / f"{told.yesterday}.csv").open(encoding="utf-8", newline="") as stream:
        measured = {row["object_id"]: Decimal(row["value"]) for row in csv.DictReader(stream)}
    rows = [row for row in details(told, told.today)[-1] if row["unit"] == "he-user"]
    for row in rows:
        value = measured.get(row["object_id"])
        assert Decimal(row["quantity"]) == (value or 0), row
        assert ("no_data" in row["flags"]) == (value is None), row
    silent = [row for row in rows if row["customer_id"] == "cust-017"]
    assert silent
    assert all(row["flags"] == "no_data" for row in silent)


def test_it_shows_the_gate_and_the_proofs(told: Told) -> None:
    assert "waits for confirmation" in told.printed
    assert "example-create-user-1: allowed (confirmed)" in told.printed
    assert "no line of any date was changed" in told.printed
    kept = re.search(r"(\d+) promises kept in (\d+) s", told.printed)
    assert kept is not None
    assert int(kept.group(1)) == len(re.findall(r"^ +ok ", told.printed, re.MULTILINE))
    assert int(kept.group(2)) < MAX_SECONDS
    assert "Try next" in told.printed


def test_it_leaves_no_process_behind(told: Told) -> None:
    left = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), process.cwd()])
        except psutil.Error:
            continue
        if str(told.folder) in words:
            left.append(words)
    assert left == []


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("mine", encoding="utf-8")
    done = run_demo("--data", str(tmp_path))
    assert done.returncode == 2
    assert "no demo made" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_a_promise_that_is_not_kept_is_an_error() -> None:
    stage = Stage()
    with pytest.raises(PromiseBrokenError, match="not as told: two is three; it is two"):
        stage.promise("two is three", kept=False, otherwise="it is two")
    assert stage.kept == []
