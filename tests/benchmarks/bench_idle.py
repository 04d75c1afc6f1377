"""What a stack costs that has nothing to do: processor time of one core, and memory."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import psutil
from harness import run, say
from tallyport_local.recovery import remove_data
from tallyport_local.services import SERVICES
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder

CPU_LIMIT_PERCENT = 2.0
MEMORY_LIMIT_MB = 1200
MEGABYTE = 1024 * 1024


def _processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {}
    for name, part in stack.state.parts.items():
        if part.process is not None:
            parent = psutil.Process(part.process.pid)
            found[name] = [parent, *parent.children(recursive=True)]
    return found


def _seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes if process.is_running()]
    return sum(one.user + one.system for one in times)


def _memory_mb(processes: list[psutil.Process]) -> float:
    # Proportional set size: memory that PostgreSQL's processes share is counted once.
    return sum(process.memory_full_info().pss for process in processes if process.is_running()) / MEGABYTE


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--settle-seconds", type=int, default=120, help="until the broker has compiled what it runs")
    options.add_argument("--seconds", type=int, default=60)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
        Path(name).chmod(0o755)
        folder = DataFolder(Path(name) / "stack")
        try:
            async with Stack(folder, LocalSettings(), services=SERVICES) as stack:
                say(f"settling for {chosen.settle_seconds} s")
                await asyncio.sleep(chosen.settle_seconds)
                before = {part: _seconds(found) for part, found in _processes(stack).items()}
                await asyncio.sleep(chosen.seconds)
                found = _processes(stack)
                print("idle stack".ljust(24) + "% of a core    MB")
                cpu_total = memory_total = 0.0
                for part, processes in sorted(found.items()):
                    cpu = 100 * (_seconds(processes) - before[part]) / chosen.seconds
                    memory = _memory_mb(processes)
                    cpu_total += cpu
                    memory_total += memory
                    print(f"{part:<24}{cpu:>11.2f}{memory:>7.0f}")
                print(f"{'all':<24}{cpu_total:>11.2f}{memory_total:>7.0f}")
                print(f"{'wanted, less than':<24}{CPU_LIMIT_PERCENT:>11.2f}{MEMORY_LIMIT_MB:>7.0f}")
        finally:
            remove_data(folder)


if __name__ == "__main__":
    run(main)
