"""The story: from an empty folder to confirmed actions and proven batches; what each step claims is checked."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tallyport_local.cli.root import new_table, out
from tallyport_local.demo.provider import BY_MEGABYTE, BY_STATUS, NEW_PRICE, OLD_PRICE, Provider
from tallyport_local.demo.stage import Stage, relative
from tallyport_local.errors import StillWaitingError
from tallyport_local.state import DataFolder
from tallyport_local.status import read_overview

FORMATS: Final = ("xlsx", "xls", "xml")
SETTLE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.1
QUIET_LOOKS: Final = 2
ACTION_ID: Final = "example-create-user-1"


@dataclass(frozen=True)
class Detail:
    """A customer detail that was made and fetched: the file's hash, its rows by object, its totals."""

    day: date
    file: Path
    sha256: str
    rows: dict[str, dict[str, str]]

    @property
    def totals(self) -> dict[str, Decimal]:
        """The sum of the line totals, by currency."""
        sums: dict[str, Decimal] = {}
        for row in self.rows.values():
            sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + Decimal(row["total"])
        return sums


@dataclass
class Seen:
    """What the tour has seen, for the screen at the end."""

    details: list[Detail] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    batches: list[dict[str, Any]] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    databases: list[tuple[str, str]] = field(default_factory=list)


class Story:
    """The acts, in order. ``today`` is the newest batch date; its batch bills the usage of the day before."""

    def __init__(self, stage: Stage, provider: Provider, folder: DataFolder, today: date) -> None:
        self.stage = stage
        self.provider = provider
        self.folder = folder
        self.today = today
        self.yesterday = today - timedelta(days=1)
        self.seen = Seen()
        self._user = ""
        self._measured = ""
        self._numbered = 0

    # ---- taking in

    def take_in(self) -> None:
        """Who buys what from whom, and at which prices."""
        stage, provider = self.stage, self.provider
        stage.step("Import", "who buys what from whom; prices; the rules of billing")
        imported = stage.run("directory", "import", provider.examples / "directory.jsonl")
        subscriptions = (provider.examples / "directory.jsonl").read_text(encoding="utf-8").count('"subscription"')
        stage.promise(
            f"engine and notifier have applied all {subscriptions} subscriptions",
            kept=f"{subscriptions} subscription" in imported,
            otherwise=imported,
        )
        stage.show_command(["cp", relative(provider.examples / "catalog.yaml"), relative(provider.catalog)])
        stage.run("catalog", "apply", provider.catalog, lines=3)
        for service in ("HE", "VOICE", "DB"):
            stage.run("schema", "publish", service)

    def collect(self) -> None:
        """The sizes of the databases that were just started, and a month of usage files."""
        stage, provider = self.stage, self.provider
        stage.step("Collect", "real database sizes, and a month of usage dropped into the collector's folder")
        stage.run("collect", "run", "databases")
        event = stage.run("events", "tail", "usage.samples", "--from-beginning", "--max", "1", "--full", lines=2)
        sizes = json.loads(event[event.index("{") :])
        self.seen.databases = list(zip(sizes["object_ids"], sizes["values"], strict=True))
        table = new_table("object", sizes["counter"])
        for name, size in self.seen.databases:
            table.add_row(name, size)
        out.print(table)
        stage.promise(
            "the collector measured the databases on the PostgreSQL that was started",
            kept={"db:billing_engine", "db:notifier", "db:report_builder"} <= set(sizes["object_ids"]),
            otherwise=event,
        )
        stage.show_command(["python", *(relative(Path(word)) for word in provider.generator(self.yesterday)[1:])])
        files = provider.make_usage(self.yesterday)
        inbox = self.folder.collector / "inbox"
        stage.show_line(f"cp {relative(provider.usage)}/*.csv {relative(inbox)}")
        provider.drop(files, inbox)
        stage.run("collect", "run", "dropped-files", lines=3)
        samples = provider.samples(self.yesterday)
        self._user = provider.followed(samples)
        self._measured = samples[self._user]
        self._settle()
        taken = {file.name for file in (inbox / "taken").iterdir()}
        stage.promise(
            f"all {len(files)} files were taken, and every service has read what it was sent",
            kept=taken == {file.name for file in files},
            otherwise=f"taken: {sorted(taken)}",
        )

    def _settle(self) -> None:
        """Wait until nothing waits anywhere: no spool, no outbox, no lag; twice, because records travel in between.

        Raises:
            StillWaitingError: after a minute.
        """
        deadline, quiet = time.monotonic() + SETTLE_SECONDS, 0
        while quiet < QUIET_LOOKS:
            overview = read_overview(self.folder)
            waiting = any(one.lag != 0 for one in overview.consumers)
            waiting |= any(part.outbox is not None and part.outbox.depth > 0 for part in overview.parts)
            quiet = 0 if waiting else quiet + 1
            if time.monotonic() > deadline:
                raise StillWaitingError("the services have not read everything after a minute; see `tallyport status`")
            time.sleep(LOOK_SECONDS)

    # ---- billing

    def bill(self) -> None:
        """Yesterday's batch, then today's, and a customer detail of both."""
        stage = self.stage
        stage.step("Transfer", "compute and freeze all lines of yesterday's date, then of today's")
        self._transfer(self.yesterday)
        self._transfer(self.today)
        stage.step("Report", "the customer detail of both dates, as files in the object store")
        before, now = self._detail(self.yesterday), self._detail(self.today)
        self.seen.details = [before, now]
        for document in FORMATS:
            self._report(self.yesterday, document, quiet=document != "xlsx")
        self._show_user(before, now)
        stage.promise(
            f"both dates bill {self._user} with quantity 1, by status",
            kept=before.rows[self._user]["quantity"] == now.rows[self._user]["quantity"] == "1",
            otherwise=str(now.rows[self._user]),
        )

    def switch_unit(self) -> None:
        """Bill users by megabyte: nothing frozen changes, the next transfer does it."""
        stage, provider = self.stage, self.provider
        before, now = self.seen.details
        stage.step("Bill by megabyte", "a billing unit is edited, then published as a new version")
        self._edit(BY_STATUS, BY_MEGABYTE)
        stage.run("catalog", "apply", provider.catalog)
        stage.run("schema", "publish", "HE", "--reason", "users pay for what their mailbox holds")
        again = self._detail(self.today)
        stage.promise(
            f"the report of {self.today} has not changed: same SHA-256 {again.sha256[:12]}...",
            kept=again.sha256 == now.sha256,
            otherwise=f"{again.sha256} instead of {now.sha256}",
        )
        self._transfer(self.today)
        after, past = self._detail(self.today), self._detail(self.yesterday)
        self._show_user(past, after)
        stage.promise(
            f"today bills {self._user} the {self._measured} MB that were measured",
            kept=Decimal(after.rows[self._user]["quantity"]) == Decimal(self._measured),
            otherwise=str(after.rows[self._user]),
        )
        stage.promise(
            f"yesterday still bills 1: the file is the same, SHA-256 {past.sha256[:12]}...",
            kept=past.rows[self._user]["quantity"] == "1" and past.sha256 == before.sha256,
            otherwise=str(past.rows[self._user]),
        )
        self.seen.details = [before, after]

    def raise_price(self) -> None:
        """A price rises; only later batches change."""
        stage = self.stage
        before, now = self.seen.details
        stage.step("A price rises", "prices count from the next transfer on, and never backwards")
        self._edit(OLD_PRICE, NEW_PRICE)
        stage.run("catalog", "apply", self.provider.catalog)
        again = self._detail(self.today, quiet=True)
        stage.promise("today's report has not changed", kept=again.sha256 == now.sha256, otherwise=again.sha256)
        self._transfer(self.today)
        after, past = self._detail(self.today), self._detail(self.yesterday, quiet=True)
        prices = now.rows[self._user]["sales_price"], after.rows[self._user]["sales_price"]
        stage.promise(
            f"the new revision of today bills {prices[1]} instead of {prices[0]} per MB",
            kept=[Decimal(price) for price in prices] == [Decimal("0.0015"), Decimal("0.0020")],
            otherwise=str(after.rows[self._user]),
        )
        stage.promise("yesterday's report has not", kept=past.sha256 == before.sha256, otherwise=past.sha256)
        self.seen.details = [before, after]

    # ---- the gate

    def gate(self) -> None:
        """An action that raises the bill is stopped until the customer has said yes."""
        stage, actions = self.stage, self.provider.examples / "actions"
        stage.step("Ask first", "a portal wants to create a user; that would raise the customer's bill")
        stage.run("gate", "tick", "create_user", "on")
        stage.run("gate", "tick", "change_user_bundle", "on")
        imported, new = (stage.run("gate", "switch", customer) for customer in ("cust-002", "cust-007"))
        stage.promise(
            "an imported customer is asked, a new one not until somebody says so",
            kept=imported.strip() == "cust-002: on" and new.strip() == "cust-007: off",
            otherwise=imported + new,
        )
        asked = stage.run("actions", "request", actions / "create-user.json", "--wait", "0")
        stage.promise("the action is stopped", kept="waits for confirmation" in asked, otherwise=asked)
        shown = json.loads(stage.run("confirmations", "list", "--json", quiet=True))
        stage.run("confirmations", "list")
        confirmation = next(one["confirmation_id"] for one in shown if one["request_id"] == ACTION_ID)
        stage.run("confirmations", "answer", confirmation, "--confirm")
        stage.run("actions", "show", ACTION_ID)
        self.seen.decision = json.loads(stage.run("actions", "show", ACTION_ID, "--json", quiet=True))
        stage.promise(
            "it was decided by the answer: allowed, because confirmed",
            kept=(self.seen.decision["decision"], self.seen.decision["reason"]) == ("allowed", "confirmed"),
            otherwise=str(self.seen.decision),
        )
        cheaper = stage.run("actions", "request", actions / "change-bundle-down.json")
        stage.promise("what lowers a bill asks nobody", kept="allowed (no_increase)" in cheaper, otherwise=cheaper)

    # ---- proof

    def prove(self) -> None:
        """Artifacts with sizes and hashes, the announcement, and the chain of hashes."""
        stage = self.stage
        stage.step("Prove", "artifacts, the events that announced them, and the chain of batch hashes")
        self.seen.reports = json.loads(stage.run("report", "list", "--json", quiet=True))
        announced = stage.run("events", "tail", "reports.ready", "--from-beginning", "--max", "1", lines=8)
        stage.promise("finished reports are announced", kept="reports.ready" in announced, otherwise=announced)
        stage.run("verify", lines=12)
        checks = json.loads(stage.run("verify", "--json", quiet=True))
        stage.promise(
            f"{len(checks)} checks: no line of any date was changed, in the engine or in the warehouse",
            kept=bool(checks) and all(check["ok"] for check in checks),
            otherwise=str(checks),
        )
        letters = stage.run("dead-letters", "list", quiet=True)
        stage.promise("nothing had to be set aside", kept="no dead letters" in letters, otherwise=letters)
        self.seen.batches = json.loads(stage.run("transfer", "status", "--json", quiet=True))

    # ---- what the acts are made of

    def _transfer(self, day: date) -> None:
        printed = self.stage.run("transfer", "execute", "--date", day.isoformat(), lines=8)
        self.stage.promise(
            f"the light of {day} was orange, and is green since the warehouse confirmed count and hash",
            kept="orange" in printed and "green" in printed,
            otherwise=printed,
        )

    def _report(self, day: date, document: str, *, quiet: bool = False) -> Path:
        self._numbered += 1
        file = self.provider.desk / f"detail-{day}-{self._numbered}.{document}"
        words = ("report", "create", "customer-detail", "--format", document, "--from", day.isoformat())
        self.stage.run(*words, "--output", file, quiet=quiet, lines=1)
        return file

    def _detail(self, day: date, *, quiet: bool = False) -> Detail:
        file = self._report(day, "csv", quiet=quiet)
        with file.open(encoding="utf-8", newline="") as stream:
            rows = {row["object_id"]: row for row in csv.DictReader(stream)}
        return Detail(day, file, hashlib.sha256(file.read_bytes()).hexdigest(), rows)

    def _show_user(self, *details: Detail) -> None:
        """One user's line in each of the files, as ``grep`` finds it."""
        self.stage.show_command(["grep", self._user, *(relative(detail.file) for detail in details)])
        table = new_table("batch date", "object", "name", "unit code", "quantity", "sales price", "total", "")
        for detail in details:
            row = detail.rows[self._user]
            cells = (row["name"], row["unit_code"], row["quantity"], row["sales_price"], row["total"], row["currency"])
            table.add_row(row["batch_date"], row["object_id"], *cells)
        out.print(table)

    def _edit(self, old: str, new: str) -> None:
        self.provider.edit_catalog(old, new)
        self.stage.show_command([os.environ.get("EDITOR", "vi"), relative(self.provider.catalog)])
        out.print(f"      [red]- ... {old}[/red]\n      [green]+ ... {new}[/green]")
