"""The command ``tallyport``, also as ``python -m tallyport_local``."""

from __future__ import annotations

import io
import sys

from tallyport_local.cli.commands import app


def main() -> None:
    """The console script's entry point."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shall not end a command
    app(prog_name="tallyport")


if __name__ == "__main__":
    main()
