"""The root of the command line, and how errors become messages and exit codes."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from tallyport_local.errors import TallyportError
from tallyport_local.settings import LocalSettings
from tallyport_local.state import DataFolder

PIPE_COLUMNS: Final = 240
"""The width of tables that no terminal shows."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The stack's data folder (TALLYPORT_DATA, default ./.data).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable; fields are only ever added.")]

ReasonOption = Annotated[str, typer.Option(help="Why; kept in the audit log.")]


def because(reason: str) -> dict[str, str]:
    """The header field that says why; header fields are not made for every letter."""
    return {"tallyport-reason": quote(reason)} if reason else {}


def data_folder(data: Path | None) -> DataFolder:
    """The folder of the option, else of the environment."""
    return DataFolder(data or LocalSettings().data)


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command, sync or async, whose errors are printed and end the process with their exit code."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> None:
            try:
                result = function(*arguments, **named)
                if inspect.iscoroutine(result):
                    asyncio.run(_awaited(result))
            except TallyportError as error:
                err.print(f"[red]error:[/red] {_escaped(str(error))}")
                raise typer.Exit(error.exit_code) from None
            except ValidationError as error:
                err.print(f"[red]error:[/red] {_escaped(str(error))}")
                raise typer.Exit(2) from None
            except (KafkaError, OSError) as error:
                err.print(f"[red]error:[/red] {_escaped(f'{type(error).__name__}: {error}')}")
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                raise typer.Exit(130) from None

        app.command(name, **options)(run)
        return function

    return register


async def _awaited(coroutine: Coroutine[Any, Any, None]) -> None:
    await coroutine


def _escaped(text: str) -> str:
    """Text as it is: rich takes square brackets for its markup."""
    return text.replace("[", r"\[")


def new_table(*headers: str) -> Table:
    """A table in the one style of this command line; what is long is folded, never cut: ids are copied."""
    table = Table(box=None, header_style="dim")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def new_app(help_text: str) -> typer.Typer:
    """A group of commands, in the one style of this command line."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
    )


app = typer.Typer(
    help="""Tallyport: what hosted services consume, as billing lines, reports and confirmed actions.

Every command finds the running stack by its data folder (`--data` or `TALLYPORT_DATA`).
Exit codes: 0 done, 1 the operation failed, 2 the input is invalid, 3 the time was over while still waiting.

A first look:

    tallyport up --detach

    tallyport directory import examples/provider/directory.jsonl

    tallyport status
""",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
