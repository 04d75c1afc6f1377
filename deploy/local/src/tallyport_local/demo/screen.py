"""The screen at the end: everything the tour has shown, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rich.rule import Rule

from tallyport_local.cli.root import new_table, out
from tallyport_local.demo.stage import Stage, relative
from tallyport_local.demo.story import Seen

ARTIFACTS_SHOWN: Final = 6
HASH_CHARACTERS: Final = 16
RULE_CHARACTERS: Final = 100


def _totals(totals: dict[str, Any]) -> str:
    return "  ".join(f"{amount} {currency}" for currency, amount in sorted(totals.items()))


def show(stage: Stage, seen: Seen, data: Path, seconds: float, *, left_up: bool) -> None:
    """Print the closing screen."""
    out.print()
    width = min(out.width, RULE_CHARACTERS)
    out.print(Rule("[bold]What is there now[/bold]"), width=width)
    batches = new_table("batch", "revision", "light", "lines", "totals", "sha256")
    for batch in seen.batches:
        short = batch["sha256"][:HASH_CHARACTERS]
        light = f"[green]{batch['light']}[/green]"
        batches.add_row(
            batch["batch_date"], str(batch["revision"]), light, str(batch["lines"]), _totals(batch["totals"]), short
        )
    out.print(batches)
    artifacts = new_table("artifact", "rows", "bytes", "sha256")
    by_format: dict[str, dict[str, Any]] = {}
    for report in reversed(seen.reports):
        for part in report["parts"]:
            by_format[f"{report['format']} {report['from_date']}"] = part
    for part in by_format.values():
        artifacts.add_row(part["name"], str(part["rows"]), str(part["size"]), part["sha256"][:HASH_CHARACTERS])
    out.print(artifacts)
    if seen.databases:
        sizes = "  ".join(f"{name} {size} MB" for name, size in seen.databases)
        out.print(f" measured: {sizes}", markup=False)
    decision, quote = seen.decision, seen.decision.get("quote") or {}
    out.print(
        f" action {decision['request_id']}: {decision['decision']} ({decision['reason']}),"
        f" adds {quote.get('difference')} {quote.get('currency')}",
        markup=False,
    )
    out.print(f" [green]{len(stage.kept)} promises kept[/green] in {seconds:.0f} s")
    out.print(Rule("[bold]Try next[/bold]"), width=width)
    commands = {
        f"export TALLYPORT_DATA={relative(data)}": "every command finds its stack",
        "tallyport up --detach": "the stack again, with this data",
        "tallyport status": "health, lag, the last light",
        "tallyport events tail billing.quantities --from-beginning --max 1": "",
        "tallyport report create customer-detail --format xlsx --organisation var-north -o .": "",
        "tallyport down": "stop it; the data stays",
    }
    for line, why in commands.items():
        if not (left_up and line.startswith("tallyport up")):
            out.print(f" {line:<48} {why}".rstrip(), markup=False)
