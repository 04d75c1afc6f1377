"""An artifact with what belongs beside it: a manifest and the checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from report_builder.artifacts.model import Artifact
from report_builder.artifacts.store import STORE_ERRORS, ArtifactStore, open_store, staged

__all__ = ["STORE_ERRORS", "ArtifactStore", "open_store", "put_with_manifest", "staged"]


def put_with_manifest(  # noqa: PLR0917 - what, where, and what belongs beside it
    store: ArtifactStore,
    folder: str,
    name: str,
    file: Path,
    manifest: dict[str, Any],
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> Artifact:
    """Keep ``file`` in ``folder``, with the small files ``beside`` it, then ``manifest.json`` and ``SHA256SUMS``.

    All of them depend on nothing but the report, so doing it again after a crash finds the same bytes.

    Raises:
        ArtifactConflictError: something else is in the folder already.
    """
    artifact = store.put(f"{folder}/{name}", file)
    kept = {
        name: artifact,
        **{other: _put_bytes(store, f"{folder}/{other}", raw) for other, raw in beside.items()},
    }
    files = [{"name": one, "size": found.size, "sha256": found.sha256} for one, found in kept.items()]
    text = json.dumps({**manifest, "files": files}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    kept["manifest.json"] = _put_bytes(store, f"{folder}/manifest.json", text.encode())
    sums = "".join(f"{found.sha256}  {one}\n" for one, found in kept.items())
    _put_bytes(store, f"{folder}/SHA256SUMS", sums.encode())
    return artifact


def _put_bytes(store: ArtifactStore, key: str, raw: bytes) -> Artifact:
    with staged(store) as (path, file):
        file.write(raw)
        file.flush()
        return store.put(key, path)
