"""Every worked line in the comments of ``examples/catalogs`` is what the engine computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from engine_bench import Bench
from tallyport.contracts.catalog import BillingUnit
from tallyport.contracts.units import CounterQuantity
from tallyport_local.catalog_file import read_catalog

DAY = datetime.now(UTC).date() - timedelta(days=1)
MORNING = datetime.combine(DAY, time(6), UTC)
FOLDER = Path(__file__).resolve().parents[4] / "examples" / "catalogs"
FILES = sorted(FOLDER.glob("*.yaml"))
_WORKED = re.compile(
    r"^# worked line: (?P<unit>\S+) of (?P<plan>\S+), (?:measured (?P<measured>[\d.+ ]+)|(?P<status>\w+)) -> "
    r"quantity (?P<quantity>\S+), total (?P<total>\S+) (?P<currency>[A-Z]{3})(?:, (?P<flags>.+))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Worked:
    """A line of the comments, and the object that stands for it."""

    object_id: str
    said: dict[str, str | None]
    unit: BillingUnit
    service: str

    @property
    def entities(self) -> list[dict[str, Any]]:
        """An instance, or a user in one."""
        company = self.unit.unit == "instance"
        chosen = {"id": self.object_id, "plan": self.said["plan"], "status": self.said["status"] or "Provisioned"}
        instance = {"kind": "service_instance", "customer": "company", "service": self.service}
        if company:
            return [instance | chosen]
        user = {"upn": f"{self.object_id}@company.example", "name": self.object_id}
        home = f"{self.object_id}-home"
        return [
            instance | {"id": home, "status": "Provisioned"},
            {"kind": "subscription", "instance": home, "user": user} | chosen,
        ]


def _worked(file: Path) -> list[Worked]:
    units = {unit.id: (service.id, unit) for service in read_catalog(file).services for unit in service.billing_units}
    found = []
    for number, match in enumerate(_WORKED.finditer(file.read_text(encoding="utf-8"))):
        said = match.groupdict()
        service, unit = units[str(said["unit"])]
        found.append(Worked(f"{file.stem}-{number}", said, unit, service))
    return found


def test_every_worked_line_can_be_read() -> None:
    assert len(FILES) >= 4
    for file in FILES:
        assert len(_worked(file)) == file.read_text(encoding="utf-8").count("worked line") > 0, file


async def test_worked_lines_are_right(bench: Bench) -> None:
    worked = [one for file in FILES for one in _worked(file)]
    company = {"kind": "organisation", "id": "company", "type": "customer", "name": "Company", "currency": "EUR"}
    await bench.directory(company, *(entity for one in worked for entity in one.entities))
    await bench.caught_up()
    for file in FILES:
        await bench.catalog(read_catalog(file).model_dump(mode="json"))
    for one in worked:
        if isinstance(one.unit.quantity, CounterQuantity):
            for hour, value in enumerate(str(one.said["measured"]).split("+")):
                at = MORNING + timedelta(hours=hour)
                await bench.usage(one.unit.quantity.counter, DAY, {one.object_id: value.strip()}, measured_at=at)
    await bench.caught_up()
    lines = {(line["object_id"], line["unit"]): line for line in await bench.transfer()}
    names = ("quantity", "total", "currency", "flags")
    for one in worked:
        line = lines[one.object_id, one.unit.id]
        assert tuple(line[name] for name in names) == tuple(one.said[name] or "" for name in names), one.said
