"""Rating alone, in the database, against CloudKitty's HashMap on the same points: the same sum, to the cent.

Rated is by the engine's own expressions, cut out of the statement that computes lines; the points are a table.
CloudKitty comes from PyPI into an environment of its own, kept in the user's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Final

import asyncpg
from billing_engine.transfers.lines.store import load_queries
from harness import PASSWORD, median, run, say, servers, timed
from tallyport_local.postgres.databases import create_database, ensure_roles, roles_of

WANTED: Final = 10
PEER: Final = "cloudkitty==25.0.0"
ENVIRONMENT: Final = Path.home() / ".cache" / "tallyport" / "cloudkitty-25"

POINTS: Final = """
CREATE TABLE point AS
SELECT 'plan-' || n % 20 AS plan, (n % 250)::numeric AS quantity FROM generate_series(0, $1::int - 1) n
"""
# What resolving makes of volume tiers: up to 9 at the price, up to 99 at nine tenths of it, then at eight.
RATES: Final = """
CREATE TABLE rate AS
SELECT 'plan-' || n AS plan, ARRAY[-99, -9]::numeric[] AS ceilings, ARRAY[0, 0, 0]::numeric[] AS floors,
       ARRAY[0, 0, 0]::numeric[] AS feet, ARRAY[(n + 1) * 0.1, (n + 1) * 0.09, (n + 1) * 0.08] AS prices
FROM generate_series(0, 19) n
"""
GIVEN: Final = """
WITH measured AS (
    SELECT p.quantity, r.*, NULL::numeric AS package_size, NULL::numeric AS minimum, NULL::numeric AS maximum,
           2 AS digits, NULL::numeric AS sales, false AS no_price, false AS no_data, NULL::text AS exempt, '' AS flags,
           '' AS flags_without_data
    FROM point p JOIN rate r USING (plan)
)
"""


def rating_statement() -> str:
    """The engine's ``modelled`` and ``totalled``, over the points."""
    computing = load_queries("billing_engine.transfers.lines")["compute_lines"]
    begin, end = computing.index(", modelled AS ("), computing.index(", line AS MATERIALIZED (")
    return f"{GIVEN}{computing[begin:end]} SELECT sum(total) FROM totalled"  # noqa: S608 - all of it is the engine's


def peer() -> Path:
    """A Python that has CloudKitty."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "ready").exists():
        say(f"installing {PEER}")
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=True)
        (ENVIRONMENT / "ready").touch()
    return python


async def theirs(python: Path, points: int) -> tuple[float, Decimal]:
    """Seconds and sum of CloudKitty."""
    process = await asyncio.create_subprocess_exec(
        str(python), "-W", "ignore", str(Path(__file__).with_name("rating_peer.py")), str(points),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    told, _ = await process.communicate()
    seconds, total = told.split()
    return float(seconds), Decimal(total.decode())


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=200_000)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    python = peer()
    statement = rating_statement()
    async with servers() as found:
        admin = await found.admin()
        await ensure_roles(admin, ["billing_engine"], dict.fromkeys(roles_of(["billing_engine"]), PASSWORD))
        await create_database(admin, "billing_engine", service_database="billing_engine")
        await admin.close()
        database = await found.admin("billing_engine")
        await database.execute(POINTS, chosen.points)
        await database.execute(RATES)
        for table in ("point", "rate"):
            await database.execute(f"VACUUM ANALYZE {table}")
        mine, cloudkitty = await _measure(database, statement, python, chosen)
        await database.close()
    print(f"rating {chosen.points:,} points".ljust(46) + "seconds     ratio   wanted")
    print(f"{'CloudKitty 25, HashMap.process':<44}{cloudkitty:>9.2f}")
    print(f"{'in the database':<44}{mine:>9.3f}{cloudkitty / mine:>8.1f} x   {WANTED}")


async def _measure(
    database: asyncpg.Connection[asyncpg.Record], statement: str, python: Path, chosen: argparse.Namespace
) -> tuple[float, float]:
    ours: list[float] = []
    peers: list[float] = []
    for number in range(chosen.runs):
        say(f"run {number + 1} of {chosen.runs}")
        sums: list[Decimal] = []

        async def rate(sums: list[Decimal] = sums) -> None:
            # Not fetchval: it asks for one row, and of a limited result PostgreSQL computes nothing in parallel.
            sums.extend(row["sum"] for row in await database.fetch(statement))

        ours.append(await timed(rate))
        seconds, total = await theirs(python, chosen.points)
        peers.append(seconds)
        assert sums == [total.quantize(Decimal("0.01"))], (sums, total)
    return median(ours), median(peers)


if __name__ == "__main__":
    run(main)
