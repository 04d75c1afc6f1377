"""The HTTP face of a service: health, metrics, status, problem details; everything else needs a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from http import HTTPStatus
from types import FrameType
from typing import Annotated, Any, Protocol

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from tallyport.access.tokens import Principal, Role, TokenStore, require
from tallyport.rest.bodies import BodyLimit
from tallyport.rest.correlating import Correlating
from tallyport.rest.openapi import describe
from tallyport.rest.problems import ProblemError, problem
from tallyport.settings import HttpSettings

__all__ = ["Health", "ProblemError", "problem", "serve", "service_app"]

log = structlog.get_logger()


class Status(BaseModel):
    """What every service says of itself; each adds facts of its own."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "service": "billing-engine",
                    "ready": True,
                    "reasons": [],
                    "consumers": [{"group": "engine", "topic": "usage.samples", "lag": 0, "position_age_seconds": 0.2}],
                    "outbox": {"depth": 0, "oldest_seconds": None},
                }
            ]
        },
    )

    service: str
    ready: bool
    reasons: list[str]


class Health(Protocol):
    """What the health and status endpoints ask."""

    async def reasons_not_ready(self) -> list[str]:
        """Why the service should get no work; empty when it is ready."""
        ...

    async def status(self) -> dict[str, Any]:
        """The service's own facts."""
        ...


def service_app(
    service: str,
    *,
    tokens: TokenStore,
    registry: CollectorRegistry,
    health: Health,
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """An application with the endpoints every service has; the service adds its own under ``/v1``."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        if lifespan is None:
            yield
        else:
            async with lifespan():
                yield

    app = FastAPI(title=f"Tallyport {service}", version="1", lifespan=run, docs_url=None, redoc_url=None)
    app.state.tokens = tokens
    app.add_middleware(Correlating)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        reasons = await health.reasons_not_ready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status(_: Annotated[Principal, Depends(require(Role.VIEWER))]) -> Status:
        """How the service is: ready or why not, how far its consumers are, what waits to be published."""
        reasons = await health.reasons_not_ready()
        return Status(service=service, ready=not reasons, reasons=reasons, **await health.status())

    _add_problem_handlers(app)
    describe(app)
    return app


def _add_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail), headers=headers)

    @app.exception_handler(ProblemError)
    async def on_problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, error.title, error.detail, error.errors)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        broken = next((one for one in error.errors() if one["type"] == "json_invalid"), None)
        if broken is not None:
            why = broken.get("ctx", {}).get("error", broken["msg"])
            return problem(400, "The body is not JSON", f"at character {broken['loc'][-1]}: {why}")
        errors = [
            {"field": ".".join(str(part) for part in one["loc"][1:]), "message": one["msg"]} for one in error.errors()
        ]
        detail = "; ".join(f"{one['field'] or 'body'}: {one['message']}" for one in errors[:5])
        return problem(422, "The request is not valid", detail, errors)

    @app.exception_handler(Exception)
    async def on_defect(request: Request, error: Exception) -> JSONResponse:
        log.error("request_failed", path=request.url.path, exc_info=error)
        return problem(500, "Internal error", "the service's log says more")


class _Server(uvicorn.Server):
    """uvicorn looks ten times a second whether it should end; this one is told, and looks after its date header."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal, and wake the loop, which does not notice it otherwise."""
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Wait for the end."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), timeout=1)


async def serve(app: FastAPI, settings: HttpSettings) -> None:
    """Serve ``app`` until the process is told to stop."""
    config = uvicorn.Config(
        BodyLimit(app, settings.max_body_bytes),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=1000,
        timeout_keep_alive=30,
        server_header=False,
        ws="none",
    )
    await _Server(config).serve()
