"""Running the tour's commands: each is printed as it would be typed, run in this process, and its output shown."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.text import Text

from tallyport_local.cli.root import app, out
from tallyport_local.errors import OperationFailedError

SHOWN_LINES: Final = 6
SHOWN_CHARACTERS: Final = 140
PROMPT: Final = "$"
INTERRUPTED: Final = 130


class PromiseBrokenError(OperationFailedError):
    """The tour claims something that was not so."""


@dataclass(frozen=True)
class Promise:
    """Something the tour claimed and found to be so, and in which step."""

    step: int
    claim: str


def relative(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


class Stage:
    """Where the tour happens: numbered steps, commands, promises, and how long each step took."""

    def __init__(self) -> None:
        self.kept: list[Promise] = []
        self.began = time.monotonic()
        self._step = 0
        self._step_began = self.began

    def step(self, title: str, why: str) -> None:
        """Begin a step."""
        self._end_step()
        self._step += 1
        self._step_began = time.monotonic()
        out.print(f"\n[bold cyan]{self._step:>2}  {escape(title)}[/bold cyan]  [dim]{escape(why)}[/dim]")

    def end(self) -> float:
        """End the last step; gives the seconds the whole tour took."""
        self._end_step()
        return time.monotonic() - self.began

    def _end_step(self) -> None:
        if self._step:
            out.print(f"    [dim]{time.monotonic() - self._step_began:.1f} s[/dim]")

    def show_command(self, words: Sequence[str]) -> None:
        """Print a command as it would be typed."""
        self.show_line(shlex.join(words))

    @staticmethod
    def show_line(line: str) -> None:
        """Print a line as it would be typed into a shell."""
        out.print(f"    [bold]{PROMPT} {escape(line)}[/bold]")

    def run(self, *arguments: str | Path, live: bool = False, lines: int = SHOWN_LINES, quiet: bool = False) -> str:
        """Run ``tallyport`` with these arguments, in this process; gives what it printed, without colours.

        ``live`` prints as the command does; else the first ``lines`` lines are shown. ``quiet`` shows nothing.

        Raises:
            OperationFailedError: when the command failed; it has printed why.
        """
        words = [relative(word) if isinstance(word, Path) else word for word in arguments]
        if not quiet:
            self.show_command(["tallyport", *words])
        if live:
            self._call(words)
            return ""
        with out.capture() as captured:
            failed = self._attempt(words)
        text = captured.get()
        if failed or not quiet:
            self._show(text, 10**6 if failed else lines)
        if failed:
            raise failed
        return Text.from_ansi(text).plain

    def _attempt(self, words: list[str]) -> OperationFailedError | None:
        try:
            self._call(words)
        except OperationFailedError as error:
            return error
        return None

    @staticmethod
    def _call(words: list[str]) -> None:
        code = app(words, prog_name="tallyport", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise OperationFailedError(f"`tallyport {shlex.join(words)}` ended with exit code {code}")

    @staticmethod
    def _show(text: str, lines: int) -> None:
        printed = [line for line in text.splitlines() if line.strip()]
        for line in printed[:lines]:
            shown = Text.from_ansi(line.rstrip())
            shown.truncate(SHOWN_CHARACTERS, overflow="ellipsis")
            out.print(Text("      ").append_text(shown), soft_wrap=True)
        if len(printed) > lines:
            out.print(f"      [dim]... {len(printed) - lines} more lines[/dim]")

    def promise(self, claim: str, *, kept: bool, otherwise: str) -> None:
        """Claim something, after it was looked at.

        Raises:
            PromiseBrokenError: when it is not so, with what was seen ``otherwise``.
        """
        if not kept:
            raise PromiseBrokenError(f"not as told: {claim}; {otherwise}")
        self.kept.append(Promise(self._step, claim))
        out.print(f"    [green]ok[/green] {escape(claim)}")
