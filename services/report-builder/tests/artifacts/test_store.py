from __future__ import annotations

import os
import resource
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from report_builder.artifacts.model import ArtifactConflictError, file_name, folder_of, safe
from report_builder.artifacts.service import put_with_manifest
from report_builder.artifacts.store import open_store
from report_builder.settings import ObjectStoreSettings
from tallyport_local.s3_server import BUCKET, S3Server


def bucket(server: S3Server, *, virtual_host: bool) -> Any:
    """A bucket of the real S3 server; or the one of TALLYPORT_TEST_S3_URL, with TALLYPORT_TEST_S3_OPTIONS_FILE."""
    url, file = os.environ.get("TALLYPORT_TEST_S3_URL"), os.environ.get("TALLYPORT_TEST_S3_OPTIONS_FILE")
    if url:
        settings = ObjectStoreSettings(url=url, options_file=Path(file) if file else None)
        return open_store(f"{url.rstrip('/')}/{secrets.token_hex(8)}", settings.options())
    return open_store(f"s3://{BUCKET}/{secrets.token_hex(8)}", server.options(virtual_host=virtual_host))


@pytest.fixture(params=["folder", "memory", "bucket-by-path", "bucket-by-host"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    match request.param:
        case "folder":
            return open_store((tmp_path / "objects").as_uri(), {})
        case "memory":
            return open_store("memory:///", {})
        case name:
            return bucket(request.getfixturevalue("s3_server"), virtual_host=name == "bucket-by-host")


async def content(store: Any, key: str) -> bytes:
    return b"".join([block async for block in store.read(key)])


def written(tmp_path: Path, store: Any, raw: bytes) -> Path:
    path: Path = store.staging() / "made"
    if not path.parent.is_relative_to(tmp_path):
        path = tmp_path / "made"
    path.write_bytes(raw)
    return path


async def test_the_same_content_may_be_put_again(store: Any, tmp_path: Path) -> None:
    file = written(tmp_path, store, b"abc" * 1000)
    first = store.put("a/b/c.csv", file)
    file.unlink()
    second = store.put("a/b/c.csv", written(tmp_path, store, b"abc" * 1000))
    assert first == second
    assert first.size == 3000
    assert await content(store, "a/b/c.csv") == b"abc" * 1000


async def test_other_content_never_replaces_what_is_there(store: Any, tmp_path: Path) -> None:
    file = written(tmp_path, store, b"first")
    store.put("key", file)
    file.unlink()
    with pytest.raises(ArtifactConflictError, match="nothing was overwritten"):
        store.put("key", written(tmp_path, store, b"second"))
    assert await content(store, "key") == b"first"


async def test_of_several_at_once_one_is_kept(store: Any, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.part" for number in range(8)]
    for file in files:
        file.write_bytes(file.name.encode() * 1000)
    if type(store).__name__ == "FolderStore":  # it links, within its own file system
        files = [file.rename(store.staging() / file.name) for file in files]

    def put(file: Path) -> str | None:
        try:
            store.put("contended", file)
        except ArtifactConflictError:
            return None
        return file.name

    with ThreadPoolExecutor(len(files)) as threads:
        kept = [name for name in threads.map(put, files) if name]
    assert len(kept) == 1
    assert await content(store, "contended") == kept[0].encode() * 1000


async def test_an_empty_file_is_an_artifact_too(store: Any, tmp_path: Path) -> None:
    assert store.put("empty", written(tmp_path, store, b"")).size == 0


async def test_manifest_and_checksums_stand_beside(store: Any, tmp_path: Path) -> None:
    for _ in range(2):
        file = written(tmp_path, store, b"rows")
        artifact = put_with_manifest(store, "folder", "report.csv", file, {"rows": 1})
        file.unlink()
    sums = (await content(store, "folder/SHA256SUMS")).decode().splitlines()
    assert sums[0] == f"{artifact.sha256}  report.csv"
    assert b'"rows": 1' in await content(store, "folder/manifest.json")


async def test_a_folder_goes_as_a_whole_and_nothing_beside_it(store: Any, tmp_path: Path) -> None:
    for key in ("kind/2026/r-1/report.csv", "kind/2026/r-1/manifest.json", "kind/2026/r-10/report.csv"):
        file = written(tmp_path, store, key.encode())
        store.put(key, file)
        file.unlink()
    for _again in range(2):
        await store.remove_folder("kind/2026/r-1")
    for name in ("report.csv", "manifest.json"):
        with pytest.raises(FileNotFoundError):
            await content(store, f"kind/2026/r-1/{name}")
    assert await content(store, "kind/2026/r-10/report.csv") == b"kind/2026/r-10/report.csv"


async def test_a_buckets_own_url_gives_the_artifact_without_credentials(
    store: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store.put("a/b.csv", written(tmp_path, store, b"rows"))
    url = await store.signed_url("a/b.csv", 60)
    if not request.node.callspec.id.startswith("bucket"):
        assert url is None
        return
    proxy = store.client_options.get("proxy_url")
    async with httpx.AsyncClient(proxy=proxy, trust_env=False) as client:
        assert (await client.get(url)).content == b"rows"
        assert (await client.get(url.replace("b.csv", "c.csv"))).status_code == 403
        assert (await client.get(url.partition("?")[0])).status_code == 403


async def test_a_large_artifact_is_not_read_into_memory(store: Any, tmp_path: Path) -> None:
    file = written(tmp_path, store, b"")
    with file.open("wb") as stream:
        for number in range(64):
            stream.write(bytes([number]) * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    artifact = store.put("large", file)
    read = 0
    async for block in store.read("large"):
        read += len(block)
    assert read == artifact.size == 64 * 1024 * 1024
    if not isinstance(getattr(store, "_store", None), obstore.store.MemoryStore):
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown_mib < 120, "the mapped file itself counts while it is sent; a copy would be as much again"


def test_options_of_the_store_and_of_its_http_client_stand_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "options.json"
    file.write_text(
        '{"access_key_id": "k", "secret_access_key": "s", "region": "r", "allow_http": true, "timeout": "9s"}'
    )
    options = ObjectStoreSettings(url="s3://bucket", options_file=file).options()
    assert open_store("s3://bucket", options) is not None


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(obstore.exceptions.BaseError, match="colour"):
        open_store("s3://bucket/prefix", {"colour": "red"})


def test_keys_sort_by_date_and_say_what_is_inside() -> None:
    day = date(2026, 11, 21)
    assert folder_of("customer-detail", day, "r-1") == "customer-detail/2026/11/2026-11-21/r-1"
    assert file_name("customer-detail", day, day, "var-1", "csv") == ("customer-detail_2026-11-21_2026-11-21_var-1.csv")


@pytest.mark.parametrize(
    ("text", "segment"),
    [("r-1", "r-1"), ("../x", "=2E=2E=2Fx"), ("a b", "a=20b"), ("a=20b", "a=3D20b"), ("ü", "=C3=BC")],
)
def test_an_identifier_is_one_segment_of_a_key(text: str, segment: str) -> None:
    assert safe(text) == segment
