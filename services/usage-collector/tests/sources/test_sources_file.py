"""The sources file, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from usage_collector.sources.file import SourcesFileError, read_sources
from usage_collector.sources.model import CsvSource, PostgresSource

GOOD = """\
sources:
  - name: files
    kind: csv
    folder: /data/inbox
    every_seconds: 5
  - name: databases
    kind: postgres
    dsn: postgresql://reader@db.example.org/postgres
    password_file: /run/secrets/reader
    every_seconds: 3600
"""


def _write(folder: Path, text: str) -> Path:
    file = folder / "sources.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_both_kinds_are_read(tmp_path: Path) -> None:
    files, databases = read_sources(_write(tmp_path, GOOD))
    assert isinstance(files, CsvSource)
    assert isinstance(databases, PostgresSource)
    assert databases.object_prefix == "db:"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("every_seconds: 3600", "every_seconds: 0", ":10: sources[1].every_seconds: "),
        ("kind: postgres", "kind: mysql", ":6: sources[1]: "),
        ("    folder: /data/inbox\n", "", ":2: sources[0].folder: Field required"),
        ("folder: /data", "colour: red\n    folder: /data", ":4: sources[0].colour: Extra inputs"),
        ("name: databases", "name: files", ":1: document: two sources are named files"),
        ("name: databases", "name: 'a b'", ":6: sources[1].name: "),
        ("sources:", "sources: [", ":2: "),
        ("sources:", "source:", ":1: sources: Field required"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = _write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SourcesFileError) as caught:
        read_sources(file)
    assert f"{file}{words}" in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourcesFileError, match="No such file"):
        read_sources(tmp_path / "nowhere.yaml")
