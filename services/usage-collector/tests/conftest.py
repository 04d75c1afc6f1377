"""A collector without a broker, which is all that reading needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "collector")
    yield made
    made.database.close()
