"""Kafka's jars: nothing is used that is not exactly what the lock file names."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tallyport_local.kafka.jars import Jar, JarError, ensure_jars, locked_jars, parse_lock


def _jar(content: bytes, name: str = "thing") -> Jar:
    return Jar(f"org.example:{name}:1.0", hashlib.sha256(content).hexdigest(), len(content))


def _serve(repository: Path, jar: Jar, content: bytes) -> None:
    file = repository / jar.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Tests need no access log."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def mirror(repository: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(repository))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_missing_jars_are_fetched_once(tmp_path: Path, repository: Path, mirror: str) -> None:
    jars = [_jar(f"content {number}".encode(), f"thing{number}") for number in range(8)]
    for number, jar in enumerate(jars):
        _serve(repository, jar, f"content {number}".encode())
    received: list[int] = []
    files = ensure_jars(jars, tmp_path / "cache", mirror, lambda _total, count: received.append(count))
    assert [file.read_bytes() for file in files] == [f"content {number}".encode() for number in range(8)]
    assert sum(received) == sum(jar.size_bytes for jar in jars)
    assert ensure_jars(jars, tmp_path / "cache", "http://127.0.0.1:1", None) == files


@pytest.mark.parametrize("served", [b"conteNt", b"content and more", b"cont"])
def test_a_wrong_file_is_refused_and_not_kept(tmp_path: Path, repository: Path, mirror: str, served: bytes) -> None:
    jar = _jar(b"content")
    _serve(repository, jar, served)
    with pytest.raises(JarError, match="lock file"):
        ensure_jars([jar], tmp_path / "cache", mirror)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_changed_in_the_cache_is_replaced(tmp_path: Path, repository: Path, mirror: str) -> None:
    jar = _jar(b"content")
    _serve(repository, jar, b"content")
    (file,) = ensure_jars([jar], tmp_path / "cache", mirror)
    file.write_bytes(b"Content")
    assert ensure_jars([jar], tmp_path / "cache", mirror) == [file]
    assert file.read_bytes() == b"content"


def test_an_unreachable_repository_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(JarError, match="TALLYPORT_MAVEN_URL"):
        ensure_jars([_jar(b"content")], tmp_path / "cache", "http://127.0.0.1:1")


def test_a_missing_artifact_is_named(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(JarError, match=r"thing-1\.0\.jar: 404"):
        ensure_jars([_jar(b"content")], tmp_path / "cache", mirror)


def test_the_lock_file_is_whole() -> None:
    jars = locked_jars()
    assert "org.apache.kafka:kafka_2.13:4.4.0" in {jar.coordinates for jar in jars}
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)


def test_a_damaged_lock_file_names_the_line() -> None:
    with pytest.raises(JarError, match="line 2"):
        parse_lock("# comment\ngroup:artifact abc 12\n")
