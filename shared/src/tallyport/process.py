"""How a service's process starts: settings from the environment, logging, then ``serve`` or ``migrate``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tallyport.observability.logs import configure_logging
from tallyport.postgres.migrations import Migration, migrate
from tallyport.settings import DatabaseSettings, LogSettings, ServiceSettings

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

EXIT_SETTINGS = 2


class _MigrateSettings(BaseSettings):
    """What migrating needs: the owner's way into the database, and no broker."""

    model_config = SettingsConfigDict(
        env_prefix="TALLYPORT_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database: DatabaseSettings
    log: LogSettings = LogSettings()


def service_main(
    service: str,
    *,
    settings: type[SettingsT],
    run: Callable[[SettingsT], Awaitable[None]],
    migrations: Callable[[], Sequence[Migration]] | None = None,
) -> None:
    """The command line of a service process. Wrong settings end it with exit code 2 and say which are wrong."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {service.replace('-', '_')}", description=f"Tallyport's {service}."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run until told to stop; settings come from TALLYPORT_... variables")
    if migrations is not None:
        commands.add_parser("migrate", help="bring the database up to date, with the owner's DSN, and end")
    command = parser.parse_args().command
    try:
        if command == "migrate" and migrations is not None:
            migrate_settings = _MigrateSettings()
            configure_logging(migrate_settings.log, service)
            asyncio.run(migrate(migrate_settings.database, migrations()))
            return
        loaded = settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "TALLYPORT_" + "__".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{service}: {name}: {problem['msg']}\n")
        sys.exit(EXIT_SETTINGS)
    configure_logging(loaded.log, service)
    # What is loaded now stays; there is no use in looking through it again at every collection.
    gc.collect()
    gc.freeze()
    asyncio.run(_run(run, loaded))


async def _run(run: Callable[[SettingsT], Awaitable[None]], settings: SettingsT) -> None:
    await run(settings)
