"""Which files are whole, and where they go."""

from __future__ import annotations

import os
from pathlib import Path

from usage_collector.sources.csv_folder import Folder, place


def _names(folder: Folder) -> list[str]:
    return [file.name for file in folder.look()]


def test_a_file_is_whole_when_it_stood_still_between_two_looks(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    file = tmp_path / "a.csv"
    file.write_text("one", encoding="utf-8")
    assert _names(folder) == []
    file.write_text("one and two", encoding="utf-8")
    assert _names(folder) == []
    assert _names(folder) == ["a.csv"]


def test_what_is_unfinished_or_no_file_is_ignored(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in (".hidden.csv", "a.csv.tmp", "a.csv.part"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "taken").mkdir()
    (tmp_path / "link.csv").symlink_to("/etc/hostname")
    folder.look()
    assert _names(folder) == []


def test_the_oldest_file_comes_first(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for age, name in enumerate(("c.csv", "a.csv", "b.csv")):
        (tmp_path / name).write_text("x", encoding="utf-8")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    folder.look()
    assert _names(folder) == ["c.csv", "a.csv", "b.csv"]


def test_a_name_that_is_not_utf8_is_a_name(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")).write_text("x", encoding="utf-8")
    folder.look()
    assert _names(folder) == ["caf\\xe9.csv"]


def test_a_file_never_replaces_another_of_its_name(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    for text in ("one", "two", "one"):
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        place(tmp_path / "a.csv", target, "a.csv")
    texts = sorted(path.read_text(encoding="utf-8") for path in target.iterdir())
    assert texts == ["one", "two"]
