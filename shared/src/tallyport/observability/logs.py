"""Structured logs: one JSON object a line, or readable lines for a person."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from tallyport.settings import LogSettings


def configure_logging(settings: LogSettings, service: str) -> None:
    """Send everything, the libraries' logs too, through structlog to standard error, with ``service`` on each line."""
    level = getattr(logging, settings.level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Any
    if settings.format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The pretty one prints local variables, and a local variable may be a password.
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The clients log every reconnect as an error; our own lines already say what is away and what is done about it.
    for name in ("aiokafka", "uvicorn.access", "tallyport.faststream"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "aiokafka" else logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
