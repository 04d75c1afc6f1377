"""The images are built and started: what they hold, and that an installation of them bills."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime

import pytest
from docker_engine import ROOT, TARGETS, Installation, base_image, docker, image
from tallyport.testing.waiting import until
from tallyport_local.services import SERVICES

pytestmark = pytest.mark.docker

USER = "10001:10001"
MAX_MEBIBYTES = {"tools": 200}
MAX_SERVICE_MEBIBYTES = 150
HEALTHY_SECONDS = 90

LIST_PACKAGES = """
import importlib.metadata, json
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions(path=[PATH])}))
"""


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_without_root_and_holds_locked_packages_only(target: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image(target)))
    (base,) = json.loads(docker("image", "inspect", base_image()))
    assert found["Config"]["User"] == USER
    assert found["Size"] - base["Size"] < MAX_MEBIBYTES.get(target, MAX_SERVICE_MEBIBYTES) * 2**20

    python = ("run", "--rm", "--entrypoint", "python", image(target), "-c")
    where = docker(*python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    installed = json.loads(docker(*python, f"PATH = {where!r}\n{LIST_PACKAGES}"))
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {package["name"]: package["version"] for package in lock["package"]}
    assert installed
    assert {name: locked.get(name) for name in installed} == installed
    assert not {"pytest", "ruff", "mypy", "testcontainers"} & set(installed)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_no_secret_and_no_source(target: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image(target)))
    told = [*found["Config"]["Env"], docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image(target))]
    assert not [line for line in told for word in ("PASSWORD", "TOKEN=", "SECRET", "_KEY=") if word in line.upper()]
    files = docker("run", "--rm", "--entrypoint", "ls", image(target), "-A", "/app")
    assert files.split() == [".venv"]


@pytest.mark.usefixtures("images")
def test_settings_that_are_missing_are_named() -> None:
    for service in SERVICES:
        assert "TALLYPORT_KAFKA: Field required" in docker("run", "--rm", image(service.name), code=2)


async def _healthy(installation: Installation) -> None:
    async def healthy() -> bool:
        return {installation.inspect(name, "{{.State.Health.Status}}") for name in installation.containers} == {
            "healthy"
        }

    try:
        await until(healthy, seconds=HEALTHY_SECONDS, what="every container to be healthy")
    except AssertionError as error:
        pytest.fail(f"{error}\n{installation.logs()}")


async def _ready(installation: Installation) -> None:
    async def ready() -> bool:
        for name in installation.containers:
            url = installation.env[f"TALLYPORT_{name.upper().replace('-', '_')}_URL"]
            ask = f"import urllib.request; urllib.request.urlopen('{url}/health/ready', timeout=3); print('ready')"
            assert installation.inspect(name, "{{.State.Running}}") == "true", installation.logs()
            if docker("exec", installation.containers[name], "python", "-c", ask, code=None) != "ready":
                return False
        return True

    try:
        await until(ready, seconds=HEALTHY_SECONDS, what="every service to be ready")
    except AssertionError as error:
        pytest.fail(f"{error}\n{installation.logs()}")


def _bills(installation: Installation) -> None:
    """Directory and catalogue in, a collecting run, a transfer, a report, the proof."""
    day = str(datetime.now(UTC).date())
    installation.tallyport("directory", "import", "/examples/directory.jsonl")
    installation.tallyport("catalog", "apply", "/examples/catalog.yaml")
    for service in ("HE", "VOICE"):
        installation.tallyport("schema", "publish", service)
    (run,) = installation.json("collect", "run", "databases")
    assert run["state"] == "succeeded"
    assert run["samples"] > 0
    assert "green" in installation.tallyport("transfer", "execute", "--date", day)
    report = installation.json(
        "report",
        "create",
        "customer-detail",
        "--format",
        "xlsx",
        "--from",
        day,
        "--output",
        "/tmp/detail.xlsx",  # noqa: S108 - the container's own
    )
    transfer = installation.json("transfer", "status", "--date", day)
    assert transfer["lines"] > 1000
    assert [part["rows"] for part in report["parts"]] == [transfer["lines"]]
    assert report["totals"] == transfer["totals"]
    proofs = installation.json("verify")
    assert {proof["service"] for proof in proofs} == {"billing-engine", "report-builder"}
    assert all(proof["ok"] for proof in proofs)


def _stops(installation: Installation) -> None:
    """SIGTERM ends every service in time, by itself."""
    docker("stop", "--time", "15", *installation.containers.values())
    codes = {name: installation.inspect(name, "{{.State.ExitCode}}") for name in installation.containers}
    assert codes == dict.fromkeys(installation.containers, "0"), installation.logs()


async def test_the_images_bill_beside_servers_that_are_no_containers(beside_servers: Installation) -> None:
    await _ready(beside_servers)
    _bills(beside_servers)
    _stops(beside_servers)


async def test_the_compose_file_bills_as_a_whole(composed: Installation) -> None:
    await _healthy(composed)
    _bills(composed)
    _stops(composed)
