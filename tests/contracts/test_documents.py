"""The documents say what the code says, where that can be compared."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tallyport.contracts import actions, base, billing, catalog, collection, directory, reports, usage

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_topics_is_the_list_they_are_created_from() -> None:
    topics = yaml.safe_load((ROOT / "deploy" / "kafka" / "topics.yaml").read_text(encoding="utf-8"))
    wanted = []
    for topic in topics["topics"]:
        cleanup, partitions = (topic.get(name, topics["defaults"][name]) for name in ("cleanup", "partitions"))
        written, read = ", ".join(topic["written_by"]), ", ".join(topic["read_by"])
        wanted.append(f"| `{topic['name']}` | {topic['key']} | {cleanup} | {partitions} | {written} | {read} |")
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    table = text.split("## Topics")[1].split("## Envelope")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == wanted


def test_every_event_type_is_described() -> None:
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    named = set()
    for first, more in re.findall(r"`(tallyport\.[a-z.-]+\.v\d)`((?:, `\.[a-z]+\.v\d`)*)", text):
        stem = first.rsplit(".", 2)[0]
        named |= {first} | {f"{stem}{suffix}" for suffix in re.findall(r"`(\.[a-z]+\.v\d)`", more)}
    modules = (actions, billing, catalog, collection, directory, reports, usage)
    models = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    types = {m.TYPE for m in models if issubclass(m, base.Contract) and m is not base.Contract and hasattr(m, "TYPE")}
    assert types <= named


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            assert "://" in target or (document.parent / target).exists(), f"{document}: {target}"
