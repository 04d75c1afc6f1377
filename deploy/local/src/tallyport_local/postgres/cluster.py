"""One PostgreSQL cluster: made once, run on a loopback port, asked whether it answers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

import asyncpg

from tallyport_local.errors import OperationFailedError
from tallyport_local.postgres.placement import MAJOR, Placement
from tallyport_local.processes import Launch, last_lines, run_to_end

ADMIN: Final = "postgres"
INITDB_TIMEOUT_SECONDS: Final = 120

# What a laptop can spare. Commits are durable: fsync and synchronous_commit stay on.
_SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "maintenance_work_mem": "128MB",
    "jit": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "max_locks_per_transaction": "256",
    "bgwriter_delay": "1s",
    "wal_writer_delay": "500ms",
    "autovacuum_naptime": "60s",
}


class ClusterError(OperationFailedError):
    """The cluster could not be made, or is of another PostgreSQL release."""


class Cluster:
    """The embedded server."""

    def __init__(self, placement: Placement, *, port: int, password_file: Path, log: Path) -> None:
        self._placement = placement
        self._port = port
        self._password_file = password_file
        self._log = log

    async def prepare(self) -> Launch:
        """Make the cluster if there is none yet, and say how to start the server.

        Raises:
            ClusterError: when it cannot be made.
        """
        version_file = self._placement.cluster / "PG_VERSION"
        if not await asyncio.to_thread(version_file.exists):
            await self._make()
        found = (await asyncio.to_thread(version_file.read_text)).strip()
        if found != str(MAJOR):
            raise ClusterError(f"{self._placement.cluster} was made by PostgreSQL {found}, this is {MAJOR}")
        options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        return self._launch(
            "postgres", "-D", str(self._placement.cluster), "-p", str(self._port), "-clisten_addresses=127.0.0.1",
            *options,
        )  # fmt: skip

    async def _make(self) -> None:
        """Run initdb into a folder beside the final one, so that a half-made cluster is never taken for a whole one."""
        password_copy, partial = await asyncio.to_thread(self._make_folders)
        launch = self._launch(
            "initdb", "-D", str(partial), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={password_copy}",
            "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        )  # fmt: skip
        try:
            code = await run_to_end(launch, INITDB_TIMEOUT_SECONDS)
        finally:
            password_copy.unlink()
        if code != 0:
            raise ClusterError(f"initdb failed:\n{last_lines(self._log)}")
        partial.rename(self._placement.cluster)

    def _make_folders(self) -> tuple[Path, Path]:
        """The folder to fill, and a copy of the password that the server's user can read while initdb runs."""
        final = self._placement.cluster
        workshop = final.with_name(f"{final.name}.new")
        workshop.mkdir(mode=0o700, exist_ok=True)
        password_copy = final.with_name(f".{final.name}-password")
        password_copy.unlink(missing_ok=True)
        descriptor = os.open(password_copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self._password_file.read_text(encoding="utf-8"))
        account = self._placement.account
        if account:
            os.chown(workshop, account.uid, account.gid)
            os.chown(password_copy, account.uid, account.gid)
        return password_copy, workshop

    def _launch(self, program: str, *arguments: str) -> Launch:
        env = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        return Launch(
            argv=(str(self._placement.programs / program), *arguments),
            env={**env, "LC_ALL": "C", "TZ": "UTC"},
            log=self._log,
            cwd=Path("/"),
            account=self._placement.account,
            stop_signal=signal.SIGINT,  # the fast shutdown: sessions are ended, nothing needs recovery
        )


async def answers(dsn: str, password: str | None) -> bool:
    """Whether the server lets the administrator in now."""
    try:
        connection = await asyncpg.connect(dsn, password=password, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True
