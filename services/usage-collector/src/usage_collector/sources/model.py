"""What a source is: told by the sources file, checked when the collector starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: SourceName
    every_seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)]


class CsvSource(_Source):
    """A folder into which usage files are dropped; each is taken once."""

    kind: Literal["csv"]
    folder: Path


class PostgresSource(_Source):
    """A PostgreSQL server whose databases are measured. ``dsn`` holds no password."""

    kind: Literal["postgres"]
    dsn: Annotated[str, StringConstraints(pattern=r"^postgres(ql)?://")]
    password_file: Path | None = None
    object_prefix: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\s\x00-\x1f]*$")] = "db:"


Source = Annotated[CsvSource | PostgresSource, Field(discriminator="kind")]


class Sources(BaseModel):
    """The sources file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sources: list[Source]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {', '.join(twice)}")
        folders = [source.folder for source in self.sources if isinstance(source, CsvSource)]
        if len(set(folders)) != len(folders):
            raise ValueError("two sources read the same folder")
        return self
