"""The examples are what they say: valid, complete, and made the same way every time."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from bill import EXAMPLES, Bill
from tallyport.contracts.actions import ACTIONS, ActionRequest
from tallyport.contracts.directory import ENTITY, Organisation, ProvisioningStatus, ServiceInstance, Subscription
from tallyport.money import parse_decimal
from tallyport_local.catalog_file import read_catalog
from tallyport_local.demo.provider import BY_STATUS, OLD_PRICE
from tallyport_local.directory_jsonl import DirectoryEvent, read_directory

NEWEST = date(2026, 10, 1)


def generate(folder: Path, *arguments: str) -> dict[str, bytes]:
    command = [sys.executable, str(EXAMPLES / "generate.py"), *arguments, str(folder)]
    subprocess.run(command, check=True, timeout=60)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_catalogue_is_valid_and_has_the_places_the_demo_edits() -> None:
    document = read_catalog(EXAMPLES / "catalog.yaml")
    assert {service.id for service in document.services} >= {"HE", "VOICE"}
    currencies = Counter(plan.currency for service in document.services for plan in service.plans)
    assert set(currencies) == {"EUR", "GBP", "USD"}
    text = (EXAMPLES / "catalog.yaml").read_text(encoding="utf-8")
    assert text.count(BY_STATUS) == text.count(OLD_PRICE) == 1


def test_the_directory_has_every_case() -> None:
    with (EXAMPLES / "directory.jsonl").open("rb") as stream:
        found = list(read_directory(stream))
    entities = [one.entity for one in found if isinstance(one, DirectoryEvent)]
    assert len(entities) == len(found), "a line is bad"
    assert len({entity.entity_key for entity in entities}) == len(entities)
    kinds = Counter(one.type.value for one in entities if isinstance(one, Organisation))
    assert kinds == {
        "service_provider": 1, "virtual_service_provider": 3, "value_added_reseller": 6, "customer": 40,
    }  # fmt: skip
    assert {one.imported for one in entities if isinstance(one, Organisation)} == {True, False}
    users = [one for one in entities if isinstance(one, Subscription)]
    assert {one.status for one in users} == set(ProvisioningStatus)
    assert 1400 <= len({one.user.upn for one in users}) <= 1600
    instances = [one for one in entities if isinstance(one, ServiceInstance)]
    assert "Unlimited" in {one.properties.get("storage_limit_mb") for one in instances}
    assert {one.is_billed for one in instances} == {one.reseller_service for one in instances} == {True, False}
    for entity in entities:
        ENTITY.validate_python(entity.model_dump(mode="json"))


def test_parents_and_plans_exist() -> None:
    bill = Bill()
    for organisation in bill.organisations.values():
        assert bill.chain(organisation["id"])[-1] == "aurora"
    for thing in [*bill.instances.values(), *bill.subscriptions]:
        assert thing["plan"] in bill.plans
    assert all(one["instance"] in bill.instances for one in bill.subscriptions)
    assert {bill.inherited("currency", one) for one in bill.organisations} == {"EUR", "GBP", "USD"}


def test_a_line_has_the_currency_of_its_plan() -> None:
    bill = Bill()
    for thing in [*bill.instances.values(), *bill.subscriptions]:
        instance = bill.instances[thing.get("instance", thing["id"])]
        assert bill.plans[thing["plan"]]["currency"] == bill.inherited("currency", instance["customer"]), thing


def test_the_directory_is_what_its_generator_makes() -> None:
    command = [sys.executable, "-X", "utf8", str(EXAMPLES / "generate_directory.py")]
    made = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert made == (EXAMPLES / "directory.jsonl").read_bytes()


def test_usage_is_the_same_for_the_same_newest_day(tmp_path: Path) -> None:
    first = generate(tmp_path / "a", "--newest-day", str(NEWEST))
    again = generate(tmp_path / "b", "--newest-day", str(NEWEST))
    assert first == again
    assert sorted(first) == [f"2026-09-{day:02}.csv" for day in range(1, 31)] + ["2026-10-01.csv"]
    shorter = generate(tmp_path / "c", "--newest-day", "2026-09-30", "--days", "2")
    assert shorter == {name: first[name] for name in ("2026-09-29.csv", "2026-09-30.csv")}


def test_usage_is_of_known_mailboxes_and_leaves_the_silent_customer_out(tmp_path: Path) -> None:
    (text,) = generate(tmp_path, "--newest-day", str(NEWEST), "--days", "1").values()
    rows = list(csv.DictReader(text.decode().splitlines()))
    known = {one["id"]: one for one in Bill().subscriptions}
    assert len({row["object_id"] for row in rows}) == len(rows) > 1400
    for row in rows:
        assert known[row["object_id"]]["status"] != "NotProvisioned"
        assert known[row["object_id"]]["instance"] != "he-cust-017"
        assert (row["counter"], row["day"]) == ("DiskUsageMB", str(NEWEST))
        assert parse_decimal(row["value"]) > Decimal(0)


@pytest.mark.parametrize("file", sorted((EXAMPLES / "actions").glob("*.json")), ids=lambda file: file.name)
def test_action_requests_are_of_known_customers_and_plans(file: Path) -> None:
    request = ActionRequest.model_validate_json(file.read_bytes())
    bill = Bill()
    assert request.action in ACTIONS
    assert request.customer in bill.organisations
    named = json.loads(file.read_text(encoding="utf-8"))["items"]
    plans = [item[name] for item in named for name in ("plan", "from_plan", "to_plan") if name in item]
    assert plans
    for plan in plans:
        assert bill.plans[plan]["currency"] == bill.inherited("currency", request.customer)
