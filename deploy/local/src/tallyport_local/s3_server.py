"""A real S3 server on this machine, for tests: S3Proxy over a folder, on the same Java runtime as the broker."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from tallyport_local.kafka.broker import java
from tallyport_local.kafka.jars import Jar, ensure_jars
from tallyport_local.part import Part
from tallyport_local.processes import Launch
from tallyport_local.settings import LocalSettings
from tallyport_local.state import choose_port

S3PROXY: Final = Jar(
    "org.gaul:s3proxy:4.1.0:jar-with-dependencies",
    "a4d025969aaf796616ed4b1e2491d87d455ce84bb28cb9db086b2e6aaa68b48d",
    54955934,
)
HOST: Final = "s3.test"
"""The server's name, in which the hosts of buckets end. No resolver knows it: clients take the server for a proxy."""

BUCKET: Final = "tallyport"
START_SECONDS: Final = 60.0
_JVM_OPTIONS: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


class S3Server:
    """An async context manager. The server checks signatures, creates conditionally, and keeps files in a folder."""

    def __init__(self, folder: Path, settings: LocalSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._key, self._secret = secrets.token_hex(8), secrets.token_urlsafe(24)
        self._port = choose_port("s3", {})
        self._part = Part(
            "s3",
            prepare=self._prepare,
            ready=self._answers,
            changed=lambda _name: None,
            url=f"http://127.0.0.1:{self._port}",
            restart=False,
        )

    async def __aenter__(self) -> Self:
        """Start it and wait until it answers."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        await self._part.stop()

    async def start(self) -> None:
        """Start it; what it keeps is there again."""
        await self._part.start()
        await self._part.wait_ready(START_SECONDS)

    async def kill(self) -> None:
        """End it as an outage does."""
        await self._part.kill(stay_down=True)

    def options(self, *, virtual_host: bool = False) -> dict[str, Any]:
        """What an object store's options file says to reach the bucket, by path or by the bucket's own host name."""
        return {
            "access_key_id": self._key,
            "secret_access_key": self._secret,
            "region": "us-east-1",
            "allow_http": True,
            "endpoint": f"http://{BUCKET}.{HOST}" if virtual_host else f"http://{HOST}",
            "virtual_hosted_style_request": virtual_host,
            "proxy_url": f"http://127.0.0.1:{self._port}",
        }

    async def _prepare(self) -> Launch:
        (jar,) = await asyncio.to_thread(
            ensure_jars, [S3PROXY], self._settings.cache / "s3proxy", self._settings.maven_url
        )
        (self._folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
        properties = self._folder / "s3proxy.properties"
        properties.touch(mode=0o600)
        properties.write_text(self._properties(), encoding="utf-8")
        return Launch(
            argv=(java(), *_JVM_OPTIONS, "-jar", str(jar), "--properties", str(properties)),
            env={"LOG_LEVEL": "warn"},
            log=self._folder / "s3.log",
            cwd=self._folder,
        )

    def _properties(self) -> str:
        return "".join(
            f"{name}={value}\n"
            for name, value in {
                "s3proxy.endpoint": f"http://127.0.0.1:{self._port}",
                "s3proxy.virtual-host": HOST,
                "s3proxy.authorization": "aws-v4",
                "s3proxy.identity": self._key,
                "s3proxy.credential": self._secret,
                "jclouds.provider": "filesystem-nio2",
                "jclouds.identity": "unused",
                "jclouds.credential": "unused",
                "jclouds.filesystem.basedir": self._folder / "data",
            }.items()
        )

    async def _answers(self) -> bool:
        with suppress(OSError):
            _reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.close()
            return True
        return False
