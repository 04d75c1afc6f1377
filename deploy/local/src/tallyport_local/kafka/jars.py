"""Kafka's jars: named by a lock file, fetched once into the user's cache, verified before every use."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import certifi
import httpx

from tallyport_local.errors import OperationFailedError

LOCK_NAME: Final = "kafka-jars.lock"
MAX_PARALLEL_DOWNLOADS: Final = 6
DOWNLOAD_ATTEMPTS: Final = 3
_LOCK_COLUMNS: Final = 3


class JarError(OperationFailedError):
    """A jar could not be fetched, or is not the one the lock file names."""


@dataclass(frozen=True)
class Jar:
    """One locked artifact: Maven coordinates ``group:artifact:version[:classifier]``, SHA-256 and size."""

    coordinates: str
    sha256: str
    size_bytes: int

    @property
    def path(self) -> str:
        """The path inside a Maven repository."""
        group, artifact, version, *classifier = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{'-'.join([artifact, version, *classifier])}.jar"

    @property
    def file_name(self) -> str:
        """The name in the cache: the group is part of it, as artifact names alone may collide."""
        group, artifact, version, *classifier = self.coordinates.split(":")
        return f"{group}.{'-'.join([artifact, version, *classifier])}.jar"

    def matches(self, file: Path) -> bool:
        """Whether the file is exactly this jar. The size is compared first, because it costs nothing."""
        try:
            if file.stat().st_size != self.size_bytes:
                return False
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Read a lock file: ``group:artifact:version sha256 size`` a line, ``#`` begins a comment.

    Raises:
        JarError: naming the line that is not of this form.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != _LOCK_COLUMNS or fields[0].count(":") != _LOCK_COLUMNS - 1 or not fields[2].isdecimal():
            raise JarError(f"{LOCK_NAME}, line {number}: expected 'group:artifact:version sha256 size'")
        jars.append(Jar(fields[0], fields[1], int(fields[2])))
    return tuple(jars)


def locked_jars() -> tuple[Jar, ...]:
    """The jars this release was tested with."""
    return parse_lock(files("tallyport_local").joinpath(LOCK_NAME).read_text(encoding="utf-8"))


def _trust() -> ssl.SSLContext:
    """What the machine trusts, because many a network has a certificate of its own, and the public authorities."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _download(client: httpx.Client, url: str, jar: Jar, target: Path, advance: Callable[[int], None]) -> None:
    """Fetch into a temporary file beside the target and rename it only when it is the right one."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as partial:
        temporary = Path(partial.name)
        try:
            received = 0
            with client.stream("GET", url) as response:
                response.raise_for_status()
                for block in response.iter_bytes():
                    received += len(block)
                    if received > jar.size_bytes:
                        raise JarError(f"{url} is longer than the {jar.size_bytes} bytes of the lock file")
                    partial.write(block)
                    advance(len(block))
            partial.flush()
            os.fsync(partial.fileno())
            if not jar.matches(temporary):
                raise JarError(f"{url} is not the file of the lock file (SHA-256 {jar.sha256}); nothing was kept")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _fetch(client: httpx.Client, base: str, jar: Jar, folder: Path, advance: Callable[[int], None]) -> None:
    url = f"{base.rstrip('/')}/{jar.path}"
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            _download(client, url, jar, folder / jar.file_name, advance)
        except httpx.HTTPStatusError as error:
            raise JarError(f"{url}: {error.response.status_code} {error.response.reason_phrase}") from error
        except httpx.TransportError as error:
            if attempt == DOWNLOAD_ATTEMPTS:
                raise JarError(f"{url} cannot be reached ({error}); set TALLYPORT_MAVEN_URL to a mirror") from error
        else:
            return


Progress = Callable[[int, int], None]
"""Called with (bytes to fetch in all, bytes just received); from several threads."""


def ensure_jars(jars: Sequence[Jar], folder: Path, maven_url: str, progress: Progress | None = None) -> list[Path]:
    """Every jar in ``folder``, verified; those missing or wrong are fetched, several at once.

    Raises:
        JarError: when one cannot be fetched or is not the locked file. A wrong file is never used nor kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(MAX_PARALLEL_DOWNLOADS) as threads:
        good = list(threads.map(lambda jar: jar.matches(folder / jar.file_name), jars))
        missing = [jar for jar, matches in zip(jars, good, strict=True) if not matches]
        if missing:
            total = sum(jar.size_bytes for jar in missing)
            with httpx.Client(timeout=60, follow_redirects=True, verify=_trust()) as client:
                downloads = [
                    threads.submit(
                        _fetch, client, maven_url, jar, folder, lambda n: progress(total, n) if progress else None
                    )
                    for jar in missing
                ]
                for download in downloads:
                    download.result()
    return [folder / jar.file_name for jar in jars]
