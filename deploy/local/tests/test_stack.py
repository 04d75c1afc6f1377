"""The stack itself: what it starts, restarts and recovers from, and that nothing outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from commands import argv, processes_of, status, tallyport
from tallyport_local import part as part_module
from tallyport_local.errors import OperationFailedError
from tallyport_local.services import Service
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import AlreadyRunningError, DataFolder

SERVICES = Path(__file__).parent / "services"
WAIT_SECONDS = 60


def trivial(**env: str) -> Service:
    return Service("trivial", "trivial_service", database="notifier", env={"PYTHONPATH": str(SERVICES), **env})


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


async def test_parts_die_and_return_and_no_record_is_lost(
    stack_folder: DataFolder, stack_settings: LocalSettings
) -> None:
    async with Stack(stack_folder, stack_settings, services=[trivial()]) as stack:
        topic = stack.kafka.topic("collection.runs")
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap_servers, acks="all") as producer:
            for number in range(100):
                await producer.send_and_wait(topic, str(number).encode())
        connection = await asyncpg.connect(stack.admin_dsn, password=stack.admin_password)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
        for name in ("kafka", "postgres", "trivial"):
            before = stack.parts[name].state.process
            await stack.kill(name)
            await stack.wait_ready(name)
            assert stack.parts[name].state.process != before
            assert stack.parts[name].state.restarts == 1
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=stack.kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            values = [int((await consumer.getone()).value or b"") for _number in range(100)]
        assert values == list(range(100))
        connection = await asyncpg.connect(stack.admin_dsn, password=stack.admin_password)
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()
        await stack.stop("trivial")
        assert stack.parts["trivial"].state.phase == "stopped"
        await stack.start("trivial")
        await stack.wait_ready("trivial")
    assert processes_of(stack_folder) == []


async def test_a_service_that_cannot_start_is_named_with_its_last_words(
    stack_folder: DataFolder, stack_settings: LocalSettings
) -> None:
    with pytest.raises(OperationFailedError, match=r"trivial did not start: .*\n.*serve: told to fail"):
        async with Stack(stack_folder, stack_settings, services=[trivial(TRIVIAL_FAILS="serve")]):
            pytest.fail("it started")
    with pytest.raises(OperationFailedError, match=r"migrations of trivial failed:\n.*migrate: told to fail"):
        async with Stack(stack_folder, stack_settings, services=[trivial(TRIVIAL_FAILS="migrate")]):
            pytest.fail("it started")
    assert processes_of(stack_folder) == []


async def test_a_service_that_does_not_listen_is_killed(
    stack_folder: DataFolder, stack_settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_module, "STOP_PATIENCE_SECONDS", 0.5)
    async with Stack(stack_folder, stack_settings, services=[trivial(TRIVIAL_IS_DEAF="1")]):
        pass
    assert processes_of(stack_folder) == []


def test_up_status_and_down(stack_folder: DataFolder) -> None:
    assert "ready" in tallyport(stack_folder, "up", "--detach", "--services", "")
    first = status(stack_folder)
    assert first["healthy"] is True
    assert {part["name"]: part["health"] for part in first["parts"]} == {
        "kafka": "ready",
        "postgres": "ready",
        "object-store": "ready",
    }
    assert "already runs" in tallyport(stack_folder, "up", "--detach", "--services", "", code=1)
    assert "started" in tallyport(stack_folder, "logs", "kafka", "--lines", "1000")
    secrets = list(stack_folder.secrets.iterdir())
    assert secrets
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets)
    tallyport(stack_folder, "down")
    assert processes_of(stack_folder) == []
    assert status(stack_folder, code=1)["phase"] == "stopped"
    assert "nothing runs" in tallyport(stack_folder, "down")
    tallyport(stack_folder, "up", "--detach", "--services", "")
    again = status(stack_folder)
    assert [part["url"] for part in again["parts"]] == [part["url"] for part in first["parts"]]
    tallyport(stack_folder, "reset", "--yes")
    assert processes_of(stack_folder) == []
    assert not stack_folder.root.exists()


def test_a_killed_supervisor_takes_its_children_with_it_and_is_recovered_from(stack_folder: DataFolder) -> None:
    tallyport(stack_folder, "up", "--detach", "--services", "")
    supervisor = stack_folder.read_state().supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    until(lambda: processes_of(stack_folder) == [], "the children of a killed supervisor end")
    found = status(stack_folder, code=1)
    assert (found["phase"], found["healthy"]) == ("failed", False)
    assert "no stack runs" not in tallyport(stack_folder, "up", "--detach", "--services", "")
    assert status(stack_folder)["healthy"] is True
    tallyport(stack_folder, "down")


def test_processes_a_killed_supervisor_left_are_found_and_strangers_are_not_touched(stack_folder: DataFolder) -> None:
    tallyport(stack_folder, "up", "--detach", "--services", "")
    state = stack_folder.read_state()
    tallyport(stack_folder, "down")
    leftover = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(601)"])
    try:
        kafka, postgres = state.parts["kafka"], state.parts["postgres"]
        assert kafka.process is not None
        assert postgres.process is not None
        process = psutil.Process(leftover.pid)
        until(lambda: "time.sleep(600)" in " ".join(process.cmdline()), "the new process has its command line")
        kafka.process = kafka.process.model_copy(
            update={"pid": leftover.pid, "created": process.create_time(), "argv": tuple(process.cmdline())}
        )
        postgres.process = postgres.process.model_copy(update={"pid": stranger.pid})  # its number was given again
        stack_folder.write_state(state)
        tallyport(stack_folder, "down")
        assert leftover.wait(WAIT_SECONDS) == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        leftover.kill()
        stranger.kill()
        leftover.wait()
        stranger.wait()


def test_a_state_file_that_cannot_be_read_is_begun_anew(stack_folder: DataFolder) -> None:
    stack_folder.create()
    stack_folder.state_file.write_text('{"version": 1, "phase"', encoding="utf-8")
    tallyport(stack_folder, "up", "--detach", "--services", "")
    assert status(stack_folder)["healthy"] is True
    tallyport(stack_folder, "down")


def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    folders = [DataFolder(tmp_path / name) for name in ("one", "two")]
    try:
        for folder in folders:
            tallyport(folder, "up", "--detach", "--services", "")
        seen = [{part["url"] for part in status(folder)["parts"]} for folder in folders]
        assert not seen[0] & seen[1]
    finally:
        for folder in folders:
            tallyport(folder, "reset", "--yes")
    assert [processes_of(folder) for folder in folders] == [[], []]


def test_ctrl_c_leaves_no_process_behind(stack_folder: DataFolder) -> None:
    up_alone = argv(stack_folder, "up", "--services", "")
    with subprocess.Popen(up_alone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as up:
        until(lambda: stack_folder.read_state().phase == "ready" or up.poll() is not None, "it is ready")
        up.send_signal(signal.SIGINT)
        output, _nothing = up.communicate(timeout=WAIT_SECONDS)
    assert up.returncode == 0, output
    assert output.endswith("stopped\n")
    assert processes_of(stack_folder) == []


def test_a_stack_stopped_while_it_starts_leaves_nothing(stack_folder: DataFolder) -> None:
    up_alone = argv(stack_folder, "up", "--services", "")
    with subprocess.Popen(up_alone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as up:
        until(lambda: bool(stack_folder.read_state().parts), "a part was started")
        up.send_signal(signal.SIGTERM)
        output, _nothing = up.communicate(timeout=WAIT_SECONDS)
    assert up.returncode == 0, output
    assert processes_of(stack_folder) == []


def test_one_supervisor_holds_a_folder(stack_folder: DataFolder) -> None:
    stack_folder.create()
    with stack_folder.lock(), pytest.raises(AlreadyRunningError), stack_folder.lock():
        pytest.fail("held twice")
    shutil.rmtree(stack_folder.root)
    stack_folder.create()
    stack_folder.write_state(stack_folder.read_state())
