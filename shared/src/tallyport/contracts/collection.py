"""``collection.requests`` and ``collection.runs``: when a collector reads its sources, and what came of it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tallyport.contracts.base import Contract, Count, Identifier, Instant


class CollectionRequest(Contract):
    """Somebody wants the sources read now; no ``sources`` means all of them."""

    TYPE: ClassVar[str] = "tallyport.collection.requests.v1"

    run_id: Identifier
    sources: list[Identifier] = Field(default_factory=list)


class CollectionFailure(Contract):
    """One thing that could not be read, and where."""

    TYPE: ClassVar[str] = "tallyport.collection.runs.v1"

    place: str
    reason: str


class CollectionRun(Contract):
    """One reading of one source: of its usage, or of its inventory, which says whose it could read and whose not."""

    TYPE: ClassVar[str] = "tallyport.collection.runs.v1"

    run_id: Identifier
    source: Identifier
    state: Literal["succeeded", "partial", "failed"]
    started_at: Instant
    finished_at: Instant
    samples: Count
    objects: Count
    failures: Annotated[list[CollectionFailure], Field(max_length=100)] = Field(default_factory=list)
    failure_count: Count = 0
    kind: Literal["usage", "inventory"] = "usage"
    customers_reached: Count = 0
    customers_not_reached: Annotated[list[Identifier], Field(max_length=100)] = Field(default_factory=list)
    customers_not_reached_count: Count = 0
