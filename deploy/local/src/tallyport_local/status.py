"""What the stack is doing, gathered from its state file and from the services themselves."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallyport_local.services import SERVICES
from tallyport_local.state import DataFolder, PartState, State

_TIMEOUT_SECONDS: Final = 5

Health = Literal["ready", "unready", "starting", "waiting", "failed", "stopped", "external", "unreachable"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Consumer(_Model):
    """One consumer group of a service on one topic."""

    service: str = ""
    group: str
    topic: str
    lag: int | None = None
    position_age_seconds: float | None = None


class Outbox(_Model):
    """Events a service has committed and not yet published."""

    depth: int = 0
    oldest_seconds: float | None = None


class LateUsage(_Model):
    """What came after its batch was frozen and waits for the next batch: values, of how many batches, since which."""

    waiting: int = 0
    batches: int = 0
    oldest_batch: str | None = None


class ServiceStatus(_Model):
    """The body of ``GET /v1/status``; fields of single services are ignored here."""

    ready: bool
    reasons: list[str] = Field(default_factory=list)
    consumers: list[Consumer] = Field(default_factory=list)
    outbox: Outbox | None = None
    late_usage: LateUsage | None = None


class PartOverview(_Model):
    """One part as an operator sees it."""

    name: str
    health: Health
    url: str | None = None
    pid: int | None = None
    restarts: int = 0
    reasons: list[str] = Field(default_factory=list)
    outbox: Outbox | None = None
    late_usage: LateUsage | None = None


class Batch(_Model):
    """The last transfer and its light."""

    batch_date: str
    revision: int
    light: str
    step: str | None = None
    reason: str | None = None


class Overview(_Model):
    """Everything ``tallyport status`` shows."""

    data: str
    phase: str
    reason: str | None = None
    healthy: bool
    parts: list[PartOverview]
    consumers: list[Consumer]
    last_batch: Batch | None = None


def _get(url: str, token: str) -> httpx.Response:
    return httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=_TIMEOUT_SECONDS, trust_env=False)


def _listens(address: str) -> bool:
    host, _, port = address.split(",", maxsplit=1)[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def _service(name: str, part: PartState, token: str) -> tuple[PartOverview, list[Consumer]]:
    """Ask one service. What it does not answer is said as a reason, never raised."""
    pid = part.process.pid if part.process else None
    seen = {"name": name, "url": part.url, "pid": pid, "restarts": part.restarts}
    if part.phase != "ready":
        reasons = [part.reason] if part.reason else []
        return PartOverview.model_validate(seen | {"health": part.phase, "reasons": reasons}), []
    try:
        answer = _get(f"{part.url}/v1/status", token)
        answer.raise_for_status()
        status = ServiceStatus.model_validate_json(answer.content)
    except (httpx.HTTPError, ValidationError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return PartOverview.model_validate(seen | {"health": "unreachable", "reasons": [reason]}), []
    health = "ready" if status.ready else "unready"
    consumers = [consumer.model_copy(update={"service": name}) for consumer in status.consumers]
    overview = PartOverview.model_validate(seen | {"health": health, "reasons": status.reasons})
    return overview.model_copy(update={"outbox": status.outbox, "late_usage": status.late_usage}), consumers


def _infrastructure(name: str, address: str | None, part: PartState | None) -> PartOverview:
    """Kafka or PostgreSQL: ours by its process and port, another's by its port alone."""
    if part is None:
        health: Health = "external" if address and _listens(address) else "unreachable"
        return PartOverview(name=name, health=health, url=address)
    alive = part.process is not None and part.process.alive
    listening = part.phase != "ready" or (alive and part.url is not None and _listens(part.url))
    return PartOverview(
        name=name,
        health=part.phase if listening else "unreachable",
        url=part.url,
        pid=part.process.pid if part.process else None,
        restarts=part.restarts,
        reasons=[part.reason] if part.reason else [],
    )


def _object_store(url: str | None) -> PartOverview:
    """A folder is looked at; of a bucket only the services know how to reach it."""
    parts = urlsplit(url or "")
    if parts.scheme != "file":
        return PartOverview(name="object-store", health="external" if url else "unreachable", url=url)
    there = Path(unquote(parts.path)).is_dir()
    return PartOverview(name="object-store", health="ready" if there else "unreachable", url=url)


def _last_batch(state: State, token: str) -> Batch | None:
    engine = state.parts.get("billing-engine")
    if engine is None or engine.phase != "ready":
        return None
    try:
        answer = _get(f"{engine.url}/v1/transfers?limit=1", token)
        answer.raise_for_status()
        found = answer.json()
        return Batch.model_validate(found[0]) if found else None
    except (httpx.HTTPError, ValidationError, ValueError, KeyError, TypeError):
        return None


def read_overview(folder: DataFolder) -> Overview:
    """Ask everything at once; takes as long as the slowest answer, at most a few seconds."""
    state = folder.read_state()
    alive = state.supervisor is not None and state.supervisor.alive
    if not alive:
        phase, reason = "stopped", None
        if state.phase not in {"stopped", "failed"}:
            phase, reason = "failed", "the supervisor was killed; `tallyport up` recovers"
        elif state.phase == "failed":
            phase, reason = "failed", state.reason
        return Overview(
            data=str(folder.root), phase=phase, reason=reason, healthy=False, parts=[], consumers=[], last_batch=None
        )
    token = folder.secret("operator-token")
    order = [service.name for service in SERVICES]
    names = sorted(
        (name for name in state.parts if name not in {"kafka", "postgres"}),
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    with ThreadPoolExecutor(len(names) + 3) as threads:
        kafka = threads.submit(_infrastructure, "kafka", state.kafka, state.parts.get("kafka"))
        postgres = threads.submit(_infrastructure, "postgres", state.postgres, state.parts.get("postgres"))
        batch = threads.submit(_last_batch, state, token)
        services = list(threads.map(lambda name: _service(name, state.parts[name], token), names))
    infrastructure = [kafka.result(), postgres.result(), _object_store(state.object_store)]
    parts = [*infrastructure, *(part for part, _consumers in services)]
    return Overview(
        data=str(folder.root),
        phase=state.phase,
        reason=state.reason,
        healthy=state.phase == "ready" and all(part.health in {"ready", "external"} for part in parts),
        parts=parts,
        consumers=[consumer for _part, consumers in services for consumer in consumers],
        last_batch=batch.result(),
    )
