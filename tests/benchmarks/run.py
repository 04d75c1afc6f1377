"""Every benchmark, one after the other: what ``make bench`` runs. Each file has options of its own; see its --help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "bench_usage.py",
    "bench_transfer.py",
    "bench_scale.py",
    "bench_rating.py",
    "bench_reports.py",
    "bench_gate.py",
    "bench_idle.py",
)


def main() -> int:
    """Run them; the exit code is that of the first that failed."""
    here = Path(__file__).parent
    worst = 0
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        worst = worst or subprocess.run([sys.executable, str(here / name)], check=False).returncode
    return worst


if __name__ == "__main__":
    sys.exit(main())
