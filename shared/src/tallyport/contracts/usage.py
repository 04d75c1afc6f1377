"""``usage.samples``: measured values, in columns."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from tallyport.contracts.base import Contract, DecimalText, Identifier, Instant

MAX_SAMPLES_PER_CHUNK: Final = 1000


class UsageChunk(Contract):
    """One counter of up to 1,000 objects, measured at one moment for one day. A single sample is a chunk of one."""

    TYPE: ClassVar[str] = "tallyport.usage.samples.v1"

    counter: Identifier
    day: date
    measured_at: Instant
    object_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_SAMPLES_PER_CHUNK)]
    values: Annotated[list[DecimalText], Field(min_length=1, max_length=MAX_SAMPLES_PER_CHUNK)]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.object_ids) != len(self.values):
            raise ValueError(f"{len(self.object_ids)} object_ids but {len(self.values)} values")
        return self
