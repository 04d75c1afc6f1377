"""The compose file describes the same installation as the embedded stack: services, settings, topics, secrets."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tallyport_local.containers import KAFKA_IMAGE, POSTGRES_IMAGE
from tallyport_local.kafka.broker import MAX_RECORD_BYTES
from tallyport_local.kafka.jars import locked_jars
from tallyport_local.postgres.databases import COLLECTOR_ROLE, owner_of, roles_of
from tallyport_local.postgres.placement import MAJOR
from tallyport_local.services import SERVICES, Service, Surroundings
from tallyport_local.state import DataFolder

ROOT = Path(__file__).parents[2]
ONLY_IN_COMPOSE = {"TALLYPORT_OBJECT_STORE__OPTIONS_FILE"}
WITH_DATABASE = [service for service in SERVICES if service.database]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    model: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return model


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    monkeypatch.delenv("TALLYPORT_SOURCES_FILE", raising=False)
    folder = DataFolder(tmp_path / "stack")
    folder.create()
    return Surroundings(folder, "kafka:9092", "tallyport.", "postgres:5432", "s3://tallyport/reports")


def _settings(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("TALLYPORT_")}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_service_is_there_with_every_setting(
    compose: dict[str, Any], surroundings: Surroundings, service: Service
) -> None:
    local = _settings(surroundings.environment(service, 8080))
    theirs = _settings(compose["services"][service.name]["environment"])
    assert set(theirs) - ONLY_IN_COMPOSE == set(local)
    for name in ("BOOTSTRAP_SERVERS", "TOPIC_PREFIX"):
        assert theirs[f"TALLYPORT_KAFKA__{name}"] == local[f"TALLYPORT_KAFKA__{name}"]
    assert theirs.get("TALLYPORT_DATABASE__DSN") == local.get("TALLYPORT_DATABASE__DSN")
    assert theirs.get("TALLYPORT_OBJECT_STORE__URL") == local.get("TALLYPORT_OBJECT_STORE__URL")


@pytest.mark.parametrize("service", WITH_DATABASE, ids=lambda service: service.name)
def test_every_database_is_migrated_by_its_owner_before_its_service_starts(
    compose: dict[str, Any], surroundings: Surroundings, service: Service
) -> None:
    job = compose["services"][f"{service.name}-migrate"]
    assert job["command"] == ["migrate"]
    assert job["image"] == compose["services"][service.name]["image"]
    local = surroundings.migrate(service).env
    assert job["environment"]["TALLYPORT_DATABASE__DSN"] == local["TALLYPORT_DATABASE__DSN"]
    assert owner_of(service.database or "") in job["secrets"]
    needs = compose["services"][service.name]["depends_on"]
    assert needs[f"{service.name}-migrate"] == {"condition": "service_completed_successfully"}
    assert owner_of(service.database or "") not in compose["services"][service.name]["secrets"]


def test_every_service_waits_for_the_topics_of_the_one_list(compose: dict[str, Any], dockerfile: str) -> None:
    assert compose["services"]["topics"]["command"] == ["tallyport_local.topics"]
    assert "COPY deploy/kafka deploy/kafka\n" in dockerfile, "the package links to the list"
    for service in SERVICES:
        needs = compose["services"][service.name]["depends_on"]
        assert needs["topics"] == {"condition": "service_completed_successfully"}


def test_the_job_that_makes_databases_has_every_role(compose: dict[str, Any]) -> None:
    job = compose["services"]["databases"]
    databases = [service.database for service in WITH_DATABASE if service.database]
    assert sorted(job["secrets"]) == sorted([*roles_of(databases), "postgres-admin"])
    assert COLLECTOR_ROLE in compose["services"]["usage-collector"]["secrets"]


def test_every_service_has_a_target_that_is_not_root(compose: dict[str, Any], dockerfile: str) -> None:
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    for service in SERVICES:
        (stage,) = [text for text in stages if text.splitlines()[0].endswith(f" AS {service.name}")]
        assert f'ENTRYPOINT ["python", "-m", "{service.package}"]\nCMD ["serve"]\n' in stage
        users = re.findall(r"^USER (.+)$", stage, flags=re.MULTILINE)
        assert not users or users[-1] == "10001:10001"
        assert compose["services"][service.name]["build"]["target"] == service.name
    assert "--locked" in dockerfile


def test_the_broker_is_set_up_alike(compose: dict[str, Any]) -> None:
    kafka = compose["services"]["kafka"]["environment"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert int(kafka["KAFKA_MESSAGE_MAX_BYTES"]) == MAX_RECORD_BYTES


def test_the_servers_are_of_named_releases_and_the_same_everywhere(compose: dict[str, Any]) -> None:
    foreign = {name: one["image"] for name, one in compose["services"].items() if "build" not in one}
    assert not [image for image in foreign.values() if ":" not in image or image.endswith(":latest")]
    (release,) = {
        jar.coordinates.split(":")[2] for jar in locked_jars() if jar.coordinates.startswith("org.apache.kafka:")
    }
    assert foreign["kafka"] == f"apache/kafka:{release}" == KAFKA_IMAGE
    assert foreign["postgres"] == f"postgres:{MAJOR}" == POSTGRES_IMAGE


def _secret_names(compose: dict[str, Any]) -> Iterator[str]:
    for service in compose["services"].values():
        yield from service.get("secrets", [])


def test_secrets_are_files_and_all_of_them_are_made(compose: dict[str, Any], tmp_path: Path) -> None:
    assert set(_secret_names(compose)) == set(compose["secrets"])
    script = tmp_path / "make-secrets.sh"
    shutil.copy(ROOT / "deploy/docker/make-secrets.sh", script)
    subprocess.run(["/bin/sh", str(script)], check=True, capture_output=True)
    made = {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} <= set(made)
    subprocess.run(["/bin/sh", str(script)], check=True, capture_output=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()} == made
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if name.endswith("_FILE") and value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"], name
            assert not re.search(r"(PASSWORD|TOKEN|SECRET|KEY)$", name), f"{name} holds a secret itself"


def test_only_the_loopback_interface_is_published(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
