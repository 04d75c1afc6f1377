"""Regenerate the lock file from Maven's own resolution: ``uv run python -m tallyport_local.kafka.lock 4.4.0 2.25.5``.

For maintainers who raise the Kafka version. Needs ``mvn`` and a network; the result is reviewed and committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tallyport_local.errors import OperationFailedError
from tallyport_local.kafka.jars import LOCK_NAME

SCALA: Final = "2.13"

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>tallyport</groupId><artifactId>kafka-jars</artifactId><version>1</version>
<dependencyManagement><dependencies>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-bom</artifactId><version>{log4j}</version>
<type>pom</type><scope>import</scope></dependency>
</dependencies></dependencyManagement>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{scala}</artifactId><version>{kafka}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId></dependency>
</dependencies></project>
"""

_HEADER = """# The jars of Apache Kafka {kafka} and of what it needs: group:artifact:version, SHA-256, size in bytes.
# Made by `python -m tallyport_local.kafka.lock {kafka} {log4j}` from Maven's resolution; do not edit by hand.
# log4j-slf4j-impl is not a dependency of Kafka's own artifact, but without a binding the broker would log nothing.
"""


def resolve(kafka: str, log4j: str, folder: Path) -> dict[str, Path]:
    """Let Maven resolve and fetch the run-time dependencies; gives each jar by its coordinates."""
    (folder / "pom.xml").write_text(_POM.format(kafka=kafka, log4j=log4j, scala=SCALA), encoding="utf-8")
    jars = folder / "jars"
    maven = shutil.which("mvn")
    if maven is None:
        raise OperationFailedError("the lock file is made from Maven's resolution: mvn is needed on the PATH")
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true")
    subprocess.run([maven, "-q", "-B", *goal, f"-DoutputDirectory={jars}"], cwd=folder, check=True)
    found = {}
    for jar in jars.rglob("*.jar"):
        *group, artifact, version, _file = jar.relative_to(jars).parts
        found[f"{'.'.join(group)}:{artifact}:{version}"] = jar
    return found


def lock_text(kafka: str, log4j: str) -> str:
    """The whole lock file, ordered by coordinates."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            f"{coordinates} {hashlib.sha256(jar.read_bytes()).hexdigest()} {jar.stat().st_size}"
            for coordinates, jar in sorted(resolve(kafka, log4j, Path(folder)).items())
        ]
    return _HEADER.format(kafka=kafka, log4j=log4j) + "\n".join(lines) + "\n"


def main() -> None:
    """Write the lock file in place of the present one. Arguments: the Kafka version, the log4j version."""
    kafka, log4j = sys.argv[1], sys.argv[2]
    (Path(__file__).parent.parent / LOCK_NAME).write_text(lock_text(kafka, log4j), encoding="utf-8")


if __name__ == "__main__":
    main()
