"""``tallyport gate check``: whether an integration does what the gate is for."""

from __future__ import annotations

from typing import Annotated

import typer
from tallyport_gate.conformance import SCENARIOS, check

from tallyport_local.cli.gate import gate
from tallyport_local.cli.root import command, out
from tallyport_local.errors import OperationFailedError


@command(gate, "check")
def check_integration(
    url: Annotated[str, typer.Argument(help="Where the integration takes its orders; see docs/gate-integration.md.")],
) -> None:
    """Put an integration through every way that a gate can answer, and say what does not conform. Needs no stack.

    Example: `tallyport gate check http://127.0.0.1:9400/`
    """
    failed = 0
    for scenario, complaints in check(url):
        failed += bool(complaints)
        out.print(f"{'FAILED' if complaints else 'ok    '}  {scenario.name}", markup=False)
        for complaint in complaints:
            out.print(f"        {complaint}", markup=False)
    out.print(f"{len(SCENARIOS) - failed} of {len(SCENARIOS)} scenarios hold")
    if failed:
        raise OperationFailedError("the integration does not conform")
