"""What a killed supervisor leaves behind, and how a running one is asked to stop."""

from __future__ import annotations

import shutil
import signal
from typing import Final

from tallyport_local.errors import InvalidInputError
from tallyport_local.postgres.placement import private_folder
from tallyport_local.processes import end
from tallyport_local.state import DataFolder, State

SUPERVISOR_PATIENCE_SECONDS: Final = 60.0
ORPHAN_PATIENCE_SECONDS: Final = 15.0


def end_leftovers(state: State) -> list[int]:
    """End the processes an earlier supervisor started, services first; only those that are still the very same."""
    services = [p.process for n, p in state.parts.items() if p.process and n not in {"kafka", "postgres"}]
    ended = end(services, patience_seconds=ORPHAN_PATIENCE_SECONDS)
    for name, ask in (("kafka", signal.SIGTERM), ("postgres", signal.SIGINT)):
        part = state.parts.get(name)
        if part and part.process:
            ended += end([part.process], patience_seconds=ORPHAN_PATIENCE_SECONDS, ask=ask)
    return ended


def stop_stack(folder: DataFolder) -> bool:
    """Stop the stack of this folder, whatever state it is in; False when nothing ran."""
    state = folder.read_state()
    found = bool(state.supervisor and end([state.supervisor], patience_seconds=SUPERVISOR_PATIENCE_SECONDS))
    leftovers = end_leftovers(folder.read_state())
    state = folder.read_state()
    if folder.root.exists() and state.phase != "stopped":
        state.phase = "stopped"
        state.supervisor = None
        for part in state.parts.values():
            part.phase, part.process = "stopped", None
        folder.write_state(state)
    return found or bool(leftovers)


def remove_data(folder: DataFolder) -> None:
    """Stop the stack and delete all its data, the private folder of its PostgreSQL too.

    Raises:
        InvalidInputError: when the folder holds no stack.
        AlreadyRunningError: when a supervisor is just starting in it.
    """
    stop_stack(folder)
    if not folder.root.exists():
        return
    if not folder.looks_like_ours():
        raise InvalidInputError(f"{folder.root} holds no stack: nothing was deleted")
    with folder.lock():
        private = private_folder(folder.short_hash)
        if private.is_dir() and not private.is_symlink() and private.stat().st_uid == folder.root.stat().st_uid:
            shutil.rmtree(private)
        shutil.rmtree(folder.root)
