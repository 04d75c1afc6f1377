"""The command line as an operator has it: a process of its own, and a stack found by its data folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import psutil
from tallyport_local.state import DataFolder

NOTHING: Mapping[str, str] = {}


def argv(folder: DataFolder, *arguments: str) -> list[str]:
    options = arguments.index("--") if "--" in arguments else len(arguments)
    folder_option = ("--data", str(folder.root))
    return [sys.executable, "-m", "tallyport_local", *arguments[:options], *folder_option, *arguments[options:]]


def environment(env: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Ours without what the operator of this machine may have named for himself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TALLYPORT_")} | dict(env)


def run(folder: DataFolder, *arguments: str, code: int = 0, env: Mapping[str, str] = NOTHING) -> tuple[str, str]:
    """Output and error output of a command that ends with ``code``."""
    done = subprocess.run(
        argv(folder, *arguments), capture_output=True, text=True, timeout=120, env=environment(env), check=False
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def tallyport(folder: DataFolder, *arguments: str, code: int = 0, env: Mapping[str, str] = NOTHING) -> str:
    """All that a command printed."""
    return "".join(run(folder, *arguments, code=code, env=env))


def status(folder: DataFolder, *, code: int = 0, env: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, "status", "--json", code=code, env=env)[0])
    return found


def processes_of(folder: DataFolder) -> list[psutil.Process]:
    """Every process whose command line names the folder, its private PostgreSQL folder or its services."""
    marks = (str(folder.root), f"tallyport-{folder.short_hash}")
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), process.cwd()])
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(mark in words for mark in marks):
            found.append(process)
    return found
