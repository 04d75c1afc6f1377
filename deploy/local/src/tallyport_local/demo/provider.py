"""The example provider as the tour uses it: a copy of the catalogue to edit, and one user to follow."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tallyport_local.errors import InvalidInputError, OperationFailedError

FOLLOWED_PLAN: Final = "HE-GOLD"
FOLLOWED_INSTANCES: Final = "he-cust-"
COUNTER: Final = "DiskUsageMB"

BY_STATUS: Final = "quantity: status, price: sales_price, cost: cost_price, stock_code: stock_code, unit_code: HE-U}"
BY_MEGABYTE: Final = (
    f"quantity: {{counter: {COUNTER}}}, price: price_per_mb, cost: cost_per_mb, stock_code: stock_code, "
    "unit_code: HE-MB}"
)
OLD_PRICE: Final = 'stock_code: HE-G, price_per_mb: "0.0015"'
NEW_PRICE: Final = 'stock_code: HE-G, price_per_mb: "0.0020"'


def find_examples() -> Path:
    """The example provider's folder: that of this source tree, else ``examples/provider`` here.

    Raises:
        InvalidInputError: when it is nowhere.
    """
    for root in (Path(__file__).resolve().parents[5], Path.cwd()):
        folder = root / "examples" / "provider"
        if (folder / "directory.jsonl").is_file():
            return folder
    raise InvalidInputError("examples/provider is not here; run the demo in a clone of the repository")


@dataclass(frozen=True)
class Provider:
    """The examples, and the folder in which the tour keeps what it edits and fetches."""

    examples: Path
    desk: Path

    @property
    def catalog(self) -> Path:
        """The catalogue the tour edits."""
        return self.desk / "catalog.yaml"

    @property
    def usage(self) -> Path:
        """Where the usage files are made."""
        return self.desk / "usage"

    def prepare(self) -> None:
        """Make the desk, with a copy of the catalogue on it."""
        self.desk.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.examples / "catalog.yaml", self.catalog)

    def generator(self, newest: date) -> list[str]:
        """The command that makes a month of usage files up to ``newest``."""
        return [sys.executable, str(self.examples / "generate.py"), "--newest-day", newest.isoformat(), str(self.usage)]

    def make_usage(self, newest: date) -> list[Path]:
        """Run the generator; gives the files, oldest first.

        Raises:
            OperationFailedError: with what it said.
        """
        done = subprocess.run(self.generator(newest), capture_output=True, text=True, check=False)
        if done.returncode:
            raise OperationFailedError(f"{self.examples / 'generate.py'} failed:\n{done.stderr}")
        return sorted(self.usage.glob("*.csv"))

    def drop(self, files: list[Path], inbox: Path) -> None:
        """Copy files into a watched folder; the rename at the end shows each whole or not at all."""
        for file in files:
            hidden = inbox / f".{file.name}"
            shutil.copyfile(file, hidden)
            hidden.rename(inbox / file.name)

    def edit_catalog(self, old: str, new: str) -> None:
        """Replace one place of the catalogue, as an administrator would in an editor.

        Raises:
            OperationFailedError: when the place is not there exactly once.
        """
        text = self.catalog.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise OperationFailedError(f"{self.catalog}: {old!r} is there {text.count(old)} times, not once")
        self.catalog.write_text(text.replace(old, new), encoding="utf-8")

    def samples(self, day: date) -> dict[str, str]:
        """What the usage file of a day says, by object."""
        with (self.usage / f"{day}.csv").open(encoding="utf-8", newline="") as stream:
            return {row["object_id"]: row["value"] for row in csv.DictReader(stream)}

    def followed(self, measured: dict[str, str]) -> str:
        """The user the tour looks at: the first provisioned one of the followed plan whose mailbox was measured.

        Raises:
            InvalidInputError: when there is none.
        """
        for line in (self.examples / "directory.jsonl").read_text(encoding="utf-8").splitlines():
            entity = json.loads(line)
            wanted = entity.get("plan") == FOLLOWED_PLAN and entity["status"] == "Provisioned"
            if wanted and entity["instance"].startswith(FOLLOWED_INSTANCES) and entity["id"] in measured:
                return str(entity["id"])
        raise InvalidInputError(f"no provisioned user of {FOLLOWED_PLAN} has usage in {self.usage}")
