"""``billing.quantities`` and ``warehouse.transfers``: a frozen batch on its way to the warehouse."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from tallyport.contracts.base import Contract, Count, DecimalText, Sha256

LINE_COLUMNS: Final = (
    "customer_id", "service", "plan_type", "unit", "object_id", "plan", "kind", "corrects", "description", "name",
    "stock_code", "unit_code", "quantity", "sales_price", "cost_price", "total", "currency", "flags",
    "quantity_source", "price_source", "level_prices", "level_totals", "cost_total",
)  # fmt: skip
"""A line as it travels: every value a JSON string or null, in this order.

``kind`` is ``line``, ``correction`` (the difference that late usage makes to a line of the batch of ``corrects``, a
date) or ``adjustment`` (an amount entered by hand, whose ``plan_type`` and ``unit`` are ``adjustment`` and whose
object is ``adjustment-<n>``). ``plan_type`` is else ``customer_plan``, ``user_plan`` or ``application``, and ``unit``
a unit of the schema. ``flags`` are separated by spaces.

``quantity_source`` is ``status:<value>``, ``counter:<name>:<day>`` (with ``:<from>-><to>`` where the value was
converted), ``view:<name>:<version>`` or ``adjustment:<n>``. ``price_source`` is ``plan``, ``location:<id>`` or
``organisation:<id>``. A line whose price model has no single unit price has no ``sales_price``, and its source is
``<model>:<sources of its numbers>``, ``unit`` being one of them. A source may be followed by
``converted:<from>><to>:<rate>:<valid from>``. That of an adjustment is ``author:<name>``, with ``approved:<name>``
where a second person agreed.

``level_prices`` and ``level_totals`` are what the organisations between the root and the customer pay, the root's child
first, separated by spaces: the prices and the rounded totals; ``-`` where a level has no price, which the flag
``no_level_price`` says too. What the customer pays is in ``sales_price`` and ``total``. A price model without a single
unit price has no ``level_prices``. ``cost_total`` is the root's cost, quantity times ``cost_price``, rounded."""

LINE_COLUMNS_BEFORE_LEVELS: Final = LINE_COLUMNS[:20]
"""The columns of lines that were frozen before they held the levels of the tree."""

ORGANISATION_COLUMNS: Final = (
    "id", "parent", "type", "name", "billing_id", "location", "language", "currency",
)  # fmt: skip
ALLOCATION_COLUMNS: Final = ("customer_id", "service", "plan", "plan_name", "allocated", "used")


def transfer_correlation(batch_date: date, revision: int) -> str:
    """The correlation id of all that belongs to one transfer, in logs and events."""
    return f"transfer-{batch_date}-r{revision}"


class BatchChunk(Contract):
    """A run of rows of one kind, ordered; ``sha256`` is that of the UTF-8 bytes between the brackets of ``rows``.

    The key is the first customer's id. ``sequence`` counts from 1 over all kinds of the revision.
    """

    TYPE: ClassVar[str] = "tallyport.billing.quantities.v1"

    batch_date: date
    revision: Annotated[int, Field(ge=1)]
    sequence: Annotated[int, Field(ge=1)]
    kind: Literal["organisations", "allocations", "lines"]
    sha256: Sha256
    rows: list[list[str | None]]


class TransferState(Contract):
    """How far the transfer of a date is. ``published`` says what the warehouse must find, ``loaded`` what it found."""

    TYPE: ClassVar[str] = "tallyport.warehouse.transfers.v1"

    batch_date: date
    revision: Annotated[int, Field(ge=1)]
    state: Literal["started", "published", "loaded", "failed"]
    chunks: Count = 0
    lines: Count = 0
    sha256: Sha256 | None = None
    previous_date: date | None = None
    previous_revision: int | None = None
    previous_sha256: Sha256 | None = None
    totals: dict[str, DecimalText] = Field(default_factory=dict)
    completeness: dict[str, str | int | list[str]] = Field(default_factory=dict)
    reason: str | None = None
