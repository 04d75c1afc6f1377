# ruff: noqa: INP001 - run by path before anything is installed
"""Put uv into a folder, with nothing but Python's standard library: ``python install_uv.py FOLDER``.

A uv on the PATH that is new enough is linked. Otherwise it is installed with pip in an environment of its own; where
Python has neither (Debian without python3-venv), the wheel is fetched from the package index and its SHA-256 checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

MINIMUM = (0, 9)
VERSION = "0.13.9"
TIMEOUT_SECONDS = 120
JSON_INDEX = "application/vnd.pypi.simple.v1+json"


def new_enough(uv: str) -> bool:
    """Whether this uv can read the project's lock file."""
    try:
        words = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout.split()
        return tuple(int(number) for number in words[1].split(".")[:2]) >= MINIMUM
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return False


def with_pip(folder: Path) -> Path | None:
    """Install uv with pip, which knows the machine's mirrors; None where Python cannot make environments."""
    environment = folder / "uv-environment"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", f"uv=={VERSION}"]
        subprocess.run(pip, check=True)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(environment, ignore_errors=True)
        return None
    return environment / "bin" / "uv"


def wheel_tag() -> str:
    """The part of the wheel's name that stands for this machine.

    Raises:
        SystemExit: when there is none.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "linux":
        libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
        return f"{libc}_{machine}"
    if sys.platform == "darwin":
        return f"macosx_{'arm64' if machine == 'aarch64' else machine}"
    sys.exit(f"no uv for {sys.platform} is known here; install uv yourself: https://docs.astral.sh/uv/")


def _fits(name: str, tag: str) -> bool:
    family, _, machine = tag.partition("_")
    return name.startswith(f"uv-{VERSION}-") and name.endswith(f"{machine}.whl") and family in name


def find_wheel(index: str, tag: str) -> dict[str, Any]:
    """The index's entry of the wheel for this machine."""
    page = f"{index.rstrip('/')}/uv/"
    request = urllib.request.Request(page, headers={"Accept": JSON_INDEX})  # noqa: S310 - the operator's own index
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        files: list[dict[str, Any]] = json.load(answer)["files"]
    for file in files:
        if _fits(file["filename"], tag):
            return file | {"url": urllib.parse.urljoin(page, file["url"])}
    sys.exit(f"{page} has no uv {VERSION} for {tag}; install uv yourself: https://docs.astral.sh/uv/")


def from_wheel(folder: Path) -> Path:
    """Take uv out of its wheel."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    file = find_wheel(index, wheel_tag())
    with urllib.request.urlopen(file["url"], timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != file["hashes"]["sha256"]:
        sys.exit(f"{file['url']} is not the file the index describes; nothing was installed")
    target = folder / "uv-wheel"
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/scripts/uv"))
        binary = target / "uv"
        binary.write_bytes(wheel.read(name))
    binary.chmod(0o755)
    return binary


def main() -> None:
    """Make ``FOLDER/uv``."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "uv"
    found = shutil.which("uv")
    if found is not None and new_enough(found):
        target = Path(found)
    else:
        sys.stderr.write(f"installing uv {VERSION} into {folder}\n")
        target = with_pip(folder) or from_wheel(folder)
        if not new_enough(str(target)):
            sys.exit(f"{target} does not run here; install uv yourself: https://docs.astral.sh/uv/")
    link.unlink(missing_ok=True)
    link.symlink_to(target)


if __name__ == "__main__":
    main()
