"""Explaining a frozen line: which rule, which measurement, which price, and where it is frozen."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from billing_engine.adjustments import service as adjustments
from billing_engine.transfers.corrections.model import Line
from billing_engine.transfers.explanations import store
from billing_engine.transfers.explanations.store import Facts, Placed


class UnknownLineError(LookupError):
    """There is no such line; the message says where to look."""


async def explain(connection: Any, batch_date: date, customer: str, unit: str, object_id: str) -> list[Facts]:
    """Every line of a batch about a customer, unit and object, each with where its numbers come from.

    Raises:
        UnknownLineError: no batch of that date, or no such line in it.
    """
    batch = await store.newest_done(connection, batch_date)
    if batch is None:
        raise UnknownLineError(f"there is no finished batch of {batch_date}; `tallyport transfer status` lists them")
    found = await store.find(connection, batch_date, batch["revision"], (customer, unit, object_id))
    if not found:
        raise UnknownLineError(
            f"the batch of {batch_date} revision {batch['revision']} has no line of customer {customer!r}, "
            f"unit {unit!r} and object {object_id!r}; the customer detail report has these three columns for each line"
        )
    return [await _explained(connection, batch, one) for one in found]


async def _explained(connection: Any, batch: Facts, placed: Placed) -> Facts:
    line = placed.line
    told: Facts = {
        "line": line._asdict(),
        "batch": {name: batch[name] for name in ("batch_date", "revision", "sha256", "frozen_at", "requested_by")}
        | {"chunk": placed.chunk, "chunk_sha256": placed.chunk_sha256},
    }
    if line.kind == "adjustment":
        number = int(line.object_id.removeprefix("adjustment-"))
        return told | {"adjustment": await adjustments.facts(connection, number)}
    moment = batch["moment"]
    if line.kind == "correction":
        corrected = date.fromisoformat(line.corrects or "")
        original = await store.newest_done(connection, corrected)
        if original is not None:
            moment = original["moment"]
            key = (line.customer_id, line.unit, line.object_id)
            before = await store.find(connection, corrected, original["revision"], key)
            told["corrects"] = [
                {
                    "batch_date": corrected,
                    "revision": original["revision"],
                    "chunk": one.chunk,
                    "line": one.line._asdict(),
                }
                for one in before
                if one.line.kind == "line"
            ]
    return told | await _sources(connection, line, moment)


async def _sources(connection: Any, line: Line, moment: datetime) -> Facts:
    """The rule, the quantity, the price and the reason not to charge, as they were at ``moment``."""
    schema = await store.unit_at(connection, line.service, line.unit, moment)
    told: Facts = {"state_of": moment, "schema": schema}
    kind, _, said = (line.quantity_source or "").partition(":")
    if kind == "status":
        told["quantity"] = {"status": said, "known": await store.status_at(connection, line.object_id, moment)}
    elif kind == "counter" and schema is not None and isinstance(schema["unit"].get("quantity"), dict):
        counter = schema["unit"]["quantity"]["counter"]
        day = date.fromisoformat(said.removeprefix(f"{counter}:").partition(":")[0])
        told["quantity"] = {
            "counter": counter, "day": day, "samples": await store.samples(connection, line.object_id, counter, day),
        }  # fmt: skip
    if schema is not None:
        told["price"] = {
            "property": schema["unit"].get("price"),
            "source": line.price_source,
            "value": line.sales_price,
        }
    reasons = [flag.removeprefix("reason:") for flag in line.flags.split() if flag.startswith("reason:")]
    told["rules"] = [rule for reason in reasons for rule in await store.rules_at(connection, reason, moment)]
    return told
