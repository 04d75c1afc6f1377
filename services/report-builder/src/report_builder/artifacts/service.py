"""An artifact with what belongs beside it: a manifest and the checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report_builder.artifacts.model import Artifact
from report_builder.artifacts.store import STORE_ERRORS, ArtifactStore, open_store, staged

__all__ = ["STORE_ERRORS", "ArtifactStore", "open_store", "put_with_manifest", "staged"]


def put_with_manifest(store: ArtifactStore, folder: str, name: str, file: Path, manifest: dict[str, Any]) -> Artifact:
    """Keep ``file`` in ``folder``, then ``manifest.json`` and ``SHA256SUMS``.

    All three depend on nothing but the report, so doing it again after a crash finds the same bytes.

    Raises:
        ArtifactConflictError: something else is in the folder already.
    """
    artifact = store.put(f"{folder}/{name}", file)
    described = {**manifest, "files": [{"name": name, "size": artifact.size, "sha256": artifact.sha256}]}
    text = json.dumps(described, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    beside = _put_text(store, f"{folder}/manifest.json", text)
    _put_text(store, f"{folder}/SHA256SUMS", f"{artifact.sha256}  {name}\n{beside.sha256}  manifest.json\n")
    return artifact


def _put_text(store: ArtifactStore, key: str, text: str) -> Artifact:
    with staged(store) as (path, file):
        file.write(text.encode())
        file.flush()
        return store.put(key, path)
