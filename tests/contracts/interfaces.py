"""The HTTP interfaces of all services, as they are wired, with nothing behind them: enough to ask who may call what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import billing_engine.app
import notifier.app
import report_builder.app
import usage_collector.app
from billing_engine.settings import EngineSettings
from fastapi import FastAPI
from notifier.settings import NotifierSettings
from prometheus_client import CollectorRegistry
from report_builder.settings import ObjectStoreSettings, ReportBuilderSettings
from tallyport.access.tokens import TokenStore
from tallyport.settings import DatabaseSettings, KafkaSettings
from usage_collector.database import Database
from usage_collector.settings import CollectorSettings, SpoolSettings

NO_POOL = cast("Any", None)  # who is refused never gets as far as the database


def applications(folder: Path, tokens: TokenStore) -> dict[str, FastAPI]:
    """Every service's application, by name."""
    kafka = KafkaSettings(bootstrap_servers="nowhere:1")
    database = DatabaseSettings(dsn="postgresql://nobody@nowhere/nothing")
    registries = [CollectorRegistry() for _ in range(4)]
    engine = billing_engine.app.Engine(EngineSettings(kafka=kafka, database=database), NO_POOL, registries[0])
    gate = notifier.app.Notifier(NotifierSettings(kafka=kafka, database=database), NO_POOL, registries[1])
    store = ObjectStoreSettings(url=(folder / "objects").as_uri())
    builder = report_builder.app.ReportBuilder(
        ReportBuilderSettings(kafka=kafka, database=database, object_store=store), NO_POOL, registries[2]
    )
    spool = Database(folder / "spool.sqlite")
    told = CollectorSettings(kafka=kafka, spool=SpoolSettings(path=folder / "spool.sqlite"), sources_file=folder)
    collector = usage_collector.app.UsageCollector(told, [], spool, registries[3])
    return {
        "billing-engine": billing_engine.app.application(engine, NO_POOL, tokens, registries[0]),
        "notifier": notifier.app.application(gate, NO_POOL, tokens, registries[1]),
        "report-builder": report_builder.app.application(builder, NO_POOL, tokens, registries[2]),
        "usage-collector": usage_collector.app.application(collector, spool, tokens, registries[3]),
    }
