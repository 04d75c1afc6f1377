"""``tallyport demo``: the tour, on a stack of its own."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from tallyport_local.cli.root import app, command, out
from tallyport_local.demo import screen
from tallyport_local.demo.provider import Provider, find_examples
from tallyport_local.demo.stage import Stage, relative
from tallyport_local.demo.story import Story
from tallyport_local.errors import InvalidInputError
from tallyport_local.recovery import stop_stack
from tallyport_local.state import DataFolder

DEFAULT_DATA: Final = Path(".data/demo")


@command(app, "demo")
def demo(
    data: Annotated[
        Path, typer.Option("--data", help="The tour's own data folder; what an earlier tour left there is deleted.")
    ] = DEFAULT_DATA,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running at the end.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show everything once, on real Kafka and PostgreSQL: import, bills, reports, a stopped action, proofs.

    Each step prints the command it runs, and checks what it claims; the exit code is 1 when something is not so.

    Example: `tallyport demo --keep`
    """
    folder = DataFolder(data)
    provider = Provider(find_examples(), folder.root / "desk")
    named = os.environ.get("TALLYPORT_DATA")
    os.environ["TALLYPORT_DATA"] = str(folder.root)
    try:
        _tell(folder, provider, keep=keep)
    finally:
        if not keep:
            stop_stack(folder)
        if named is None:
            del os.environ["TALLYPORT_DATA"]
        else:
            os.environ["TALLYPORT_DATA"] = named


def _tell(folder: DataFolder, provider: Provider, *, keep: bool) -> None:
    stage = Stage()
    story = Story(stage, provider, folder, datetime.now(UTC).date())
    out.print(f"[bold]$ export TALLYPORT_DATA={relative(folder.root)}[/bold]  [dim]every command finds its stack[/dim]")
    stage.step("Start", "a real Kafka, a real PostgreSQL, and the services as processes")
    _clear(stage, folder, provider)
    provider.prepare()
    stage.run("up", "--detach", live=True)
    story.take_in()
    story.collect()
    story.bill()
    story.switch_unit()
    story.raise_price()
    story.gate()
    story.prove()
    if not keep:
        stage.step("Stop", "with --keep the stack stays up")
        stage.run("down")
    screen.show(stage, story.seen, folder.root, stage.end(), left_up=keep)


def _clear(stage: Stage, folder: DataFolder, provider: Provider) -> None:
    """Delete what an earlier tour left.

    Raises:
        InvalidInputError: when the folder holds something else.
    """
    if not folder.root.exists() or not any(folder.root.iterdir()):
        return
    if not provider.catalog.exists():
        raise InvalidInputError(f"{folder.root} holds something that no demo made; name another folder with --data")
    if folder.looks_like_ours():
        stage.run("reset", "--yes")
