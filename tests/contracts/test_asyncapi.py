"""The AsyncAPI document says of every topic what travels on it, and holds together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tallyport.contracts.base import Contract
from tallyport_local.asyncapi import CONTRACTS, document
from tallyport_local.topics import load_topics


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document("mine.", "kafka:9092")))
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_topic_is_described_with_what_it_carries(written: dict[str, Any]) -> None:
    topics = {topic.name: topic for topic in load_topics().topics}
    assert written["channels"].keys() == topics.keys() == CONTRACTS.keys()
    for name, channel in written["channels"].items():
        assert channel["address"] == f"mine.{name}"
        assert topics[name].key in channel["description"]
        assert [*channel["messages"]] == [CONTRACTS[name][0]]


def test_every_type_of_an_event_is_in_it(written: dict[str, Any]) -> None:
    def contracts(of: type[Contract]) -> Iterator[type[Contract]]:
        for one in of.__subclasses__():
            yield one
            yield from contracts(one)

    types = {
        one.TYPE
        for one in contracts(Contract)
        if one.__module__.startswith("tallyport.contracts") and "TYPE" in vars(one)
    }
    assert {type_ for type_ in types if type_.startswith("tallyport.")} == written["components"]["messages"].keys()


def test_every_reference_leads_somewhere(written: dict[str, Any]) -> None:
    found = set(references(written))
    assert found
    for reference in found:
        part: Any = written
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_the_services_own_operations_are_named(written: dict[str, Any]) -> None:
    operations = written["operations"]
    assert operations["receive-usage.samples"]["summary"] == "billing-engine: receive usage.samples"
    assert operations["send-reports.ready"]["action"] == "send"
    assert "send-reports.requested" not in operations


def test_the_command_writes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tallyport_local", "events", "asyncapi", "--prefix", "mine.", "-o"]
    subprocess.run([*command, str(tmp_path / "a.json")], check=True)
    assert json.loads((tmp_path / "a.json").read_text())["asyncapi"] == "3.0.0"
    refused = subprocess.run([*command, str(tmp_path / "no" / "a.json")], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "No such file" in refused.stderr
