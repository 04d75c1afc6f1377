"""Object storage: put once, never overwrite."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from urllib.parse import unquote, urlsplit

import obstore

from report_builder.artifacts.model import Artifact, ArtifactConflictError

STORE_ERRORS: Final[tuple[type[Exception], ...]] = (obstore.exceptions.BaseError, OSError)
"""What reading and removing raise when the store does not do it."""

_BLOCK_BYTES: Final = 1024 * 1024
_STALE_SECONDS: Final = 24 * 3600
# What obstore's HTTP client takes, as opposed to the store; among the store's options it would panic over them.
_CLIENT_OPTIONS: Final = {
    "allow_http", "allow_invalid_certificates", "connect_timeout", "pool_idle_timeout", "pool_max_idle_per_host",
    "proxy_ca_certificate", "proxy_excludes", "proxy_url", "read_timeout", "root_certificate", "timeout", "user_agent",
}  # fmt: skip


class ArtifactStore(Protocol):
    """Where artifacts are kept."""

    def staging(self) -> Path:
        """A folder for files that are not artifacts yet."""
        ...

    def put(self, key: str, file: Path) -> Artifact:
        """Keep ``file`` under ``key``; the same content being there already is as good.

        Raises:
            ArtifactConflictError: another content is there.
        """
        ...

    def read(self, key: str) -> AsyncIterator[bytes]:
        """The artifact's bytes, in blocks."""
        ...

    async def signed_url(self, key: str, seconds: int) -> str | None:
        """A URL of the store's own that gives the artifact to whoever has it; None where there are none."""
        ...

    async def remove_folder(self, folder: str) -> None:
        """Remove all that is kept in a folder; that it is gone already is as good."""
        ...

    def sweep(self) -> None:
        """Remove what killed processes left in the staging folder long ago."""
        ...


def open_store(url: str, options: dict[str, Any]) -> ArtifactStore:
    """The store that ``url`` names."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    return CloudStore(url, options)


class FolderStore:
    """A folder. A file is made beside its place, made durable, and linked: it is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def staging(self) -> Path:
        """A folder on the same file system, so that linking works."""
        folder = self._root / ".staging"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, key: str, file: Path) -> Artifact:
        """Keep the file; see ``ArtifactStore``."""
        sha256, size = _digest(file)
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        try:
            os.link(file, target)
        except FileExistsError:
            _same(key, sha256, _digest(target)[0])
        _make_durable(target.parent)
        return Artifact(key, target.absolute().as_uri(), size, sha256)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """The artifact's bytes, in blocks."""
        with (self._root / key).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    async def signed_url(self, key: str, seconds: int) -> str | None:  # noqa: ARG002 - see ``ArtifactStore``
        """None: a folder has no URLs that others could use."""
        return None

    async def remove_folder(self, folder: str) -> None:
        """Remove the folder and its files."""
        await asyncio.to_thread(self._remove, self._root / folder)

    def _remove(self, folder: Path) -> None:
        with suppress(FileNotFoundError):
            for file in folder.iterdir():
                file.unlink(missing_ok=True)
            folder.rmdir()
            _make_durable(folder.parent)

    def sweep(self) -> None:
        """Remove what killed processes left; no render takes as long as a day."""
        oldest = time.time() - _STALE_SECONDS
        for path in self.staging().glob("*.part"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


class CloudStore:
    """A bucket: S3, Google or Azure, through obstore."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url.rstrip("/")
        self.client_options = {name: value for name, value in options.items() if name in _CLIENT_OPTIONS}
        client: Any = self.client_options or None
        rest = {name: value for name, value in options.items() if name not in _CLIENT_OPTIONS}
        self._store: Any = obstore.store.from_url(url, client_options=client, **rest)

    def staging(self) -> Path:
        """The machine's folder for temporary files."""
        return Path(tempfile.gettempdir())

    def put(self, key: str, file: Path) -> Artifact:
        """Keep the file; see ``ArtifactStore``."""
        sha256, size = _digest(file)
        try:
            with file.open("rb") as opened:
                # Mapped, not read: a conditional put is one request, and its body may be larger than memory should be.
                body = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
                obstore.put(self._store, key, body, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            found = hashlib.sha256()
            for block in obstore.get(self._store, key).stream(min_chunk_size=_BLOCK_BYTES):
                found.update(block)
            _same(key, sha256, found.hexdigest())
        return Artifact(key, f"{self._url}/{key}", size, sha256)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """The artifact's bytes, in blocks."""
        answer = await obstore.get_async(self._store, key)
        async for block in answer.stream(min_chunk_size=_BLOCK_BYTES):
            yield bytes(block)

    async def signed_url(self, key: str, seconds: int) -> str | None:
        """The bucket's own signed URL; None for a store in memory."""
        if isinstance(self._store, obstore.store.MemoryStore):
            return None
        return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds))

    async def remove_folder(self, folder: str) -> None:
        """Remove the objects below the folder's name."""
        async for found in obstore.list(self._store, prefix=f"{folder}/"):
            await obstore.delete_async(self._store, [one["path"] for one in found])

    def sweep(self) -> None:
        """The machine cleans its folder for temporary files itself."""


@contextmanager
def staged(store: ArtifactStore) -> Iterator[tuple[Path, BinaryIO]]:
    """A file to write that is gone when the block ends; what was put stays."""
    path = store.staging() / f"{secrets.token_hex(16)}.part"
    try:
        with path.open("xb", buffering=_BLOCK_BYTES) as file:
            yield path, file
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return digest, opened.tell()


def _same(key: str, sha256: str, found: str) -> None:
    if sha256 != found:
        raise ArtifactConflictError(
            f"{key} exists with the SHA-256 {found}, not {sha256}; nothing was overwritten. Ask for the report under "
            "another id"
        )


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
