"""``tallyport explain``."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tallyport_local.cli.catalog import ENGINE
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, out
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import Installation

PARTS = 4


@command(app, "explain")
def explain(
    line: Annotated[str, typer.Argument(help="DATE/CUSTOMER/UNIT/OBJECT, as a report's columns name them.")],
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Say where the numbers of a billing line come from: rule, measurements, price, and where it is frozen.

    Example: `tallyport explain 2026-10-01/cust-002/he-user/sub-0007`
    """
    parts = line.split("/", PARTS - 1)
    if len(parts) != PARTS or not all(parts):
        raise InvalidInputError(f"{line!r} is not DATE/CUSTOMER/UNIT/OBJECT, e.g. 2026-10-01/cust-002/he-user/sub-0007")
    path = "/".join(quote(part, safe="") for part in parts)
    found = Installation(data_folder(data)).call(ENGINE, "GET", f"/v1/lines/{path}")
    if as_json:
        out.print_json(data=found)
        return
    for one in found:
        for text in _told(one):
            out.print(text, markup=False)


def _told(one: dict[str, Any]) -> list[str]:
    line, batch = one["line"], one["batch"]
    about = f" for {line['corrects']}" if line["corrects"] else ""
    amount = f"{line['quantity']} x {line['sales_price'] or '(by model)'} = {line['total']} {line['currency']}"
    told = [
        f"{line['kind']}{about}: {amount}  {line['flags']}",
        f"  frozen    {_place(batch)} {batch['chunk_sha256']}",
    ]
    if (made := one.get("adjustment")) is not None:
        approved = f", approved by {made['approved_by']}" if made["approved_by"] else ""
        said = f"{made['reason']}: {made['description']} (by {made['author']} at {made['created_at']}{approved})"
        return [*told, f"  by hand   {said}"]
    for before in one.get("corrects") or []:
        was = f"{before['line']['quantity']} = {before['line']['total']} {before['line']['currency']}"
        told.append(f"  corrects  {_place(before)}: {was}")
    if (schema := one.get("schema")) is not None:
        told.append(f"  rule      {line['service']} version {schema['version']}, unit {schema['unit']['id']}")
    quantity = one.get("quantity") or {}
    if "status" in quantity:
        known = quantity["known"] or {}
        told.append(f"  status    {quantity['status']}, known since {known.get('since') or 'the beginning'}")
    for sample in quantity.get("samples", []):
        late = f", late since {sample['late_since']}" if sample["late_since"] else ""
        said = f"{sample['measured_at']} by {sample['source']}, said {sample['stated_at']}{late}"
        told.append(f"  measured  {quantity['counter']} {sample['value']} at {said}")
    if (price := one.get("price")) is not None:
        told.append(f"  price     {price['property']} from {price['source'] or 'nowhere'}")
    told += [f"  free      {rule['reason']}: rule {rule['id']}" for rule in one.get("rules") or []]
    return told


def _place(chunk: dict[str, Any]) -> str:
    return f"{chunk['batch_date']} revision {chunk['revision']}, chunk {chunk['chunk']}"
