"""The examples conform, in three languages; and the kit finds what does not."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tallyport_gate.conformance import SCENARIOS, check, main

EXAMPLES = Path(__file__).parents[3] / "examples" / "gate"
NODE_THAT_READS_TYPES = (22, 18)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def program(*argv: str) -> Iterator[str]:
    """An integration as a process; its URL once it answers."""
    port = free_port()
    with subprocess.Popen([*argv, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, "it ended"
                    assert time.monotonic() < deadline, "it does not listen"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


def go(tmp_path: Path) -> list[str]:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    target = tmp_path / "adapter"
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    subprocess.run(["go", "build", "-o", str(target), "."], cwd=EXAMPLES / "go", env=env, check=True, timeout=300)
    return [str(target)]


def typescript(tmp_path: Path) -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    source = EXAMPLES / "typescript" / "adapter.ts"
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) >= NODE_THAT_READS_TYPES:
        return ["node", str(source)]
    target = tmp_path / "adapter.mjs"
    bundle = ["npx", "--yes", "esbuild@0.28", "--format=esm", "--platform=node", f"--outfile={target}", str(source)]
    try:
        subprocess.run(bundle, capture_output=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"Node {version.strip()} does not read TypeScript, and esbuild cannot be had")
    return ["node", str(target)]


def python(_tmp_path: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python" / "adapter.py")]


@pytest.mark.parametrize("language", [python, go, typescript])
def test_an_example_conforms(language: Callable[[Path], list[str]], tmp_path: Path) -> None:
    with program(*language(tmp_path)) as url:
        found = {scenario.name: complaints for scenario, complaints in check(url) if complaints}
    assert found == {}


@contextmanager
def integration(handle: Callable[[dict[str, Any]], Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["content-length"])))
            content = json.dumps({"performed": handle(order)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(order: dict[str, Any], path: str, body: dict[str, Any], *, redirects: bool = False) -> httpx.Response | None:
    headers = {"authorization": f"Bearer {order['token']}"}
    try:
        return httpx.post(order["gate_url"] + path, json=body, headers=headers, follow_redirects=redirects)
    except httpx.HTTPError:
        return None


def fails_open(order: dict[str, Any]) -> bool:
    """Takes no answer for a yes, and tells nobody."""
    answer = post(order, "/v1/billable-actions?wait_seconds=0", order["action"])
    return answer is None or answer.status_code != 200 or "declined" not in answer.text


def asks_under_a_new_id(order: dict[str, Any]) -> bool:
    """Makes another request of each try."""
    for number in range(3):
        answer = post(order, "/v1/billable-actions", {**order["action"], "id": f"try-{number}"})
        if answer is not None and answer.status_code == 200:
            return '"allowed"' in answer.text and not order["fail"]
    return False


def follows_redirects(order: dict[str, Any]) -> bool:
    post(order, "/v1/billable-actions", order["action"], redirects=True)
    return False


def test_what_does_not_conform_is_found() -> None:
    def found(handle: Callable[[dict[str, Any]], Any]) -> dict[str, str]:
        with integration(handle) as url:
            return {scenario.name: " ".join(complaints) for scenario, complaints in check(url) if complaints}

    open_ = found(fails_open)
    closed = [one.name for one in SCENARIOS if one.outcome is None and one.name != "declined: it is not performed"]
    assert all('answered {"performed": true}' in open_[name] for name in closed)
    assert "expected performed" in open_["allowed at once: it is performed, and the gate is told"]
    renamed = found(asks_under_a_new_id)
    assert all("is not the action, or changed" in complaint for complaint in renamed.values())
    assert "is nothing that a gate serves" in found(follows_redirects)["a redirect is not followed"]


def test_the_command_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with integration(lambda _order: None) as url:
        assert main([url]) == 1
    said = capsys.readouterr().out
    assert f"0 of {len(SCENARIOS)} scenarios hold" in said
    assert 'answered {"performed": null}' in said
    assert main(["http://127.0.0.1:1/"]) == 1
    assert "the integration did not answer as it should: ConnectError" in capsys.readouterr().out
