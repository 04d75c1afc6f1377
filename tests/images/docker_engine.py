"""The Docker engine as the tests use it, and an installation of containers on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tallyport_local.services import SERVICES

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
TARGETS = (*(service.name for service in SERVICES), "tools")
TAG = "test"
BUILD_SECONDS = 900
TOKEN = "operator-of-the-test"  # noqa: S105 - it opens nothing but this test


def image(target: str) -> str:
    """The name of a target's image, as the compose file has it."""
    return f"tallyport-{target}:{TAG}"


def docker(*arguments: str, code: int | None = 0, seconds: float = 120, **env: str) -> str:
    """Call Docker's command line; what it printed, and what it complained of when it failed."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "DOCKER_BUILDKIT": "1", **env},
        check=False,
    )
    assert code is None or done.returncode == code, f"docker {arguments}\n{done.stdout[-5000:]}{done.stderr[-5000:]}"
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()


def works(*arguments: str) -> str | None:
    """Why a Docker command does not work here; None when it does."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        return "there is no docker command"
    except subprocess.TimeoutExpired:
        return "it does not answer"
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1]


def missing_image(name: str) -> str | None:
    """Why an image is neither here nor can be had; None when it is here now."""
    return None if works("image", "inspect", name) is None else works("pull", "--quiet", name)


def base_image() -> str:
    """The image to build on: TALLYPORT_TEST_BASE_IMAGE, else the Dockerfile's own."""
    (default,) = [
        line.removeprefix("ARG BASE_IMAGE=")
        for line in DOCKERFILE.read_text(encoding="utf-8").splitlines()
        if line.startswith("ARG BASE_IMAGE=")
    ]
    return os.environ.get("TALLYPORT_TEST_BASE_IMAGE", default)


def build_all() -> None:
    """Build every target, or skip with the reason why that cannot be tried."""
    if trouble := works("version", "--format", "{{.Server.Version}}"):
        pytest.skip(f"no Docker engine answers: {trouble}")
    base = base_image()
    if trouble := missing_image(base):
        pytest.skip(f"the base image {base} cannot be had; TALLYPORT_TEST_BASE_IMAGE names another: {trouble}")
    for target in TARGETS:
        docker(
            "build", "--file", str(DOCKERFILE), "--target", target, "--tag", image(target),
            "--build-arg", f"BASE_IMAGE={base}", str(ROOT), seconds=BUILD_SECONDS,
        )  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """Running containers, and how the operator's command line reaches them."""

    network: str
    env: dict[str, str]
    containers: dict[str, str]

    def tallyport(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the operator in the tools image; the examples are in /examples."""
        said = [word for name, value in self.env.items() for word in ("--env", f"{name}={value}")]
        examples = f"{ROOT / 'examples' / 'provider'}:/examples:ro"
        return docker(
            "run", "--rm", "--network", self.network, *said, "--volume", examples,
            image("tools"), "tallyport_local", *arguments, code=code, seconds=300,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        """The same, of a command that prints JSON."""
        return json.loads(self.tallyport(*arguments, "--json"))

    def inspect(self, service: str, template: str) -> str:
        """One field of a service's container."""
        return docker("inspect", "--format", template, self.containers[service])

    def logs(self, services: Sequence[str] = ()) -> str:
        """The end of the containers' logs, for a failure's message."""
        ends = []
        for service in services or self.containers:
            done = subprocess.run(
                ["docker", "logs", "--tail", "20", self.containers[service]],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            ends.append(f"--- {service}\n{done.stdout}")
        return "\n".join(ends)
