"""The data folder of one stack: where everything is, the state file that others find it by, and the lock on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import SystemRandom
from tempfile import mkstemp
from typing import Final, Literal

from pydantic import BaseModel, Field, ValidationError

from tallyport_local.errors import OperationFailedError
from tallyport_local.processes import Identity

# Below the range from which Linux takes the local ports of outgoing connections: a part that is restarted finds its
# port free.
PORTS: Final = range(20_000, 32_000)
_PORT_ATTEMPTS: Final = 200

PartPhase = Literal["stopped", "starting", "ready", "waiting", "failed"]
StackPhase = Literal["starting", "ready", "stopping", "stopped", "failed"]


class PartState(BaseModel):
    """One process of the stack. ``waiting``: it died and will be started again in a moment."""

    phase: PartPhase = "stopped"
    process: Identity | None = None
    restarts: int = 0
    url: str | None = None
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))
    reason: str | None = None


class State(BaseModel):
    """The state file. ``version`` rises when a field changes its meaning; fields may be added at any time."""

    version: Literal[1] = 1
    phase: StackPhase = "stopped"
    reason: str | None = None
    supervisor: Identity | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    kafka: str | None = None
    topic_prefix: str = "tallyport."
    postgres: str | None = None
    object_store: str | None = None
    parts: dict[str, PartState] = Field(default_factory=dict)


class AlreadyRunningError(OperationFailedError):
    """Another supervisor holds this data folder."""


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class DataFolder:
    """All paths of one stack, made when first needed; secrets readable by the owner only."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.state_file = self.root / "state.json"
        self.logs = self.root / "logs"
        self.secrets = self.root / "secrets"
        self.kafka = self.root / "kafka"
        self.objects = self.root / "objects"
        self.collector = self.root / "collector"
        self._lock_file = self.root / "lock"

    @property
    def short_hash(self) -> str:
        """A name for this folder, for places outside of it."""
        return sha256(os.fsencode(self.root)).hexdigest()[:16]

    def create(self) -> None:
        """Make the folders."""
        for folder in (self.root, self.logs, self.objects, self.collector):
            folder.mkdir(parents=True, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)

    def looks_like_ours(self) -> bool:
        """Whether a stack was ever started here: asked before anything is deleted."""
        return self.state_file.exists() and self.logs.is_dir()

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.logs / f"{part}.log"

    def read_state(self) -> State:
        """The state as last written; an empty one when there is none or it cannot be read any more."""
        try:
            return State.model_validate_json(self.state_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return State()

    def write_state(self, state: State) -> None:
        """Replace the state file as a whole: a reader never sees half of it."""
        temporary = self.state_file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(state.model_dump_json(indent=1), encoding="utf-8")
        temporary.replace(self.state_file)

    def secret_file(self, name: str) -> Path:
        """The file with a secret, generated when it is not there yet: whoever is first, all get the same."""
        file = self.secrets / name
        if not file.exists():
            with self._written(file, secrets.token_urlsafe(32)) as temporary, suppress(FileExistsError):
                file.hardlink_to(temporary)
        return file

    def secret(self, name: str) -> str:
        """The secret itself."""
        return self.secret_file(name).read_text(encoding="utf-8").strip()

    @property
    def tokens_file(self) -> Path:
        """The tokens the services accept; complete once ``write_tokens`` was called."""
        return self.secrets / "tokens.json"

    def write_tokens(self) -> None:
        """Enter the operator's token, as a hash, beside those that somebody else entered.

        The supervisor does so once, before any service reads them.
        """
        digest = sha256(self.secret("operator-token").encode()).hexdigest()
        file = self.tokens_file
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        others = [one for one in known if one.get("name") != "operator"]
        roles = ["provider_administrator", "provider_advanced_administrator"]
        tokens = [{"name": "operator", "sha256": digest, "roles": roles}, *others]
        with self._written(file, json.dumps(tokens, indent=1)) as temporary:
            temporary.replace(file)

    @contextmanager
    def _written(self, file: Path, text: str) -> Iterator[Path]:
        """The text in a file of its own beside ``file``, readable by the owner only; gone at the end if still there."""
        descriptor, name = mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(f"{text}\n")
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one supervisor. The kernel gives it back when the process ends, however it ends.

        Raises:
            AlreadyRunningError: when another process holds it.
        """
        with self._lock_file.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunningError(f"a stack already runs in {self.root}; see `tallyport status`") from None
            yield


def choose_port(name: str, ports: dict[str, int]) -> int:
    """The port this part had before if it is still free, else another; remembered in ``ports``."""
    known = ports.get(name)
    if known is not None and port_is_free(known):
        return known
    taken = set(ports.values())
    random = SystemRandom()
    for _attempt in range(_PORT_ATTEMPTS):
        port = random.choice(PORTS)
        if port not in taken and port_is_free(port):
            ports[name] = port
            return port
    raise OperationFailedError(f"no free port found between {PORTS.start} and {PORTS.stop}")
