"""The data folder under many hands, and what is said when the supervision itself fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE
from threading import Barrier

import pytest
from tallyport.access.tokens import TokenStore
from tallyport_local.part import Part, PartFailedError
from tallyport_local.processes import Launch
from tallyport_local.state import DataFolder

HANDS = 8
ROUNDS = 30


def test_all_who_ask_for_a_secret_at_once_get_the_same(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    together = Barrier(HANDS)

    def ask(name: str) -> str:
        together.wait()
        return folder.secret(name)

    with ThreadPoolExecutor(HANDS) as hands:
        for number in range(ROUNDS):
            assert len(set(hands.map(ask, [f"role-{number}"] * HANDS))) == 1
    assert {S_IMODE(file.stat().st_mode) for file in folder.secrets.iterdir()} == {0o600}
    assert len(list(folder.secrets.iterdir())) == ROUNDS, "nothing half written is left"


def test_tokens_are_whole_while_they_are_written_again(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    folder.write_tokens()
    together = Barrier(HANDS)

    def write_and_read(_number: int) -> None:
        together.wait()
        folder.write_tokens()
        TokenStore.from_file(folder.tokens_file)

    with ThreadPoolExecutor(HANDS) as hands:
        for _round in range(ROUNDS):
            list(hands.map(write_and_read, range(HANDS)))


async def test_a_supervision_that_fails_is_said_at_once() -> None:
    async def prepare() -> Launch:
        raise ValueError("no such thing")

    async def ready() -> bool:
        return False

    part = Part("broken", prepare=prepare, ready=ready, changed=lambda _name: None)
    await part.start()
    with pytest.raises(PartFailedError, match="broken did not start: ValueError: no such thing"):
        await part.wait_ready(30)
    await part.stop()
    assert part.state.phase == "stopped"
