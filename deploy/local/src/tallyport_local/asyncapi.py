"""The AsyncAPI document: the list of topics and the contracts' schemas, as one file that tools read."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import TypeAdapter
from tallyport.contracts.actions import (
    ActionDecided,
    ActionOutcome,
    ActionRequest,
    ConfirmationAnswered,
    ConfirmationRequired,
)
from tallyport.contracts.billing import BatchChunk, TransferState
from tallyport.contracts.catalog import (
    CatalogRemoval,
    OverridesChanged,
    PlanChanged,
    RatesChanged,
    RulesChanged,
    SchemaPublished,
    ServiceChanged,
)
from tallyport.contracts.collection import CollectionRequest, CollectionRun
from tallyport.contracts.directory import DIRECTORY_TYPE, Entity, Removal
from tallyport.contracts.reports import ReportFailed, ReportReady, ReportRequest
from tallyport.contracts.usage import UsageChunk

from tallyport_local.topics import Topic, TopicList, load_topics

_CATALOG: Final = (
    CatalogRemoval | OverridesChanged | PlanChanged | RatesChanged | RulesChanged | SchemaPublished | ServiceChanged
)
CONTRACTS: Final[dict[str, tuple[str, Any]]] = {
    "usage.samples": (UsageChunk.TYPE, UsageChunk),
    "directory.changes": (DIRECTORY_TYPE, Entity | Removal),
    "collection.requests": (CollectionRequest.TYPE, CollectionRequest),
    "collection.runs": (CollectionRun.TYPE, CollectionRun),
    "catalog.changes": (PlanChanged.TYPE, _CATALOG),
    "billing.quantities": (BatchChunk.TYPE, BatchChunk),
    "warehouse.transfers": (TransferState.TYPE, TransferState),
    "billable-actions.requested": (ActionRequest.TYPE, ActionRequest),
    "billable-actions.decided": (ActionDecided.TYPE, ActionDecided),
    "billable-actions.outcomes": (ActionOutcome.TYPE, ActionOutcome),
    "confirmations.required": (ConfirmationRequired.TYPE, ConfirmationRequired),
    "confirmations.answered": (ConfirmationAnswered.TYPE, ConfirmationAnswered),
    "reports.requested": (ReportRequest.TYPE, ReportRequest),
    "reports.ready": (ReportReady.TYPE, ReportReady),
    "reports.failed": (ReportFailed.TYPE, ReportFailed),
}
"""What each topic carries: the CloudEvents type, and the contract or contracts of its data."""

SERVICES: Final = frozenset({"usage-collector", "billing-engine", "notifier", "report-builder"})
_MS_PER_HOUR: Final = 3_600_000
_NO_KEY: Final = re.compile(r"[^A-Za-z0-9._-]")


def document(prefix: str, server: str) -> dict[str, Any]:
    """The document of an installation whose topics begin with ``prefix``."""
    topics = load_topics()
    schemas: dict[str, Any] = {}
    messages = {_key(type_): _message(type_, contract, schemas) for type_, contract in CONTRACTS.values()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tallyport",
            "version": "1",
            "description": "CloudEvents 1.0 in Kafka's binary mode: attributes are headers.",
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": server, "protocol": "kafka"}},
        "channels": {topic.name: _channel(topic, topics, prefix) for topic in topics.topics},
        "operations": dict(_operations(topics)),
        "components": {
            "messages": messages,
            "messageTraits": {"cloudevent": {"headers": _HEADERS}},
            "schemas": dict(sorted(schemas.items())),
        },
    }


_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "unique for ce_source, for ever"},
        "ce_source": {"type": "string"},
        "ce_type": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string"},
        "ce_correlationid": {"type": "string"},
        "content-type": {"type": "string", "const": "application/json"},
    },
}


def _key(text: str) -> str:
    return _NO_KEY.sub("-", text)


def _message(type_: str, contract: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = _plain(TypeAdapter(contract).json_schema(ref_template="#/components/schemas/{model}"))
    schemas.update(schema.pop("$defs", {}))
    return {"name": type_, "traits": [{"$ref": "#/components/messageTraits/cloudevent"}], "payload": schema}


def _plain(schema: Any) -> Any:
    """Without the discriminators, which OpenAPI has as objects and AsyncAPI as strings; nothing is lost with them."""
    if isinstance(schema, dict):
        return {name: _plain(part) for name, part in schema.items() if name != "discriminator"}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _channel(topic: Topic, topics: TopicList, prefix: str) -> dict[str, Any]:
    type_ = _key(CONTRACTS[topic.name][0])
    writers = ", ".join(topic.written_by)
    cleanup = topic.cleanup or topics.defaults.cleanup
    configuration: dict[str, Any] = {"cleanup.policy": [cleanup]}
    if cleanup == "delete":
        configuration["retention.ms"] = (topic.retention_hours or topics.defaults.retention_hours) * _MS_PER_HOUR
    return {
        "address": f"{prefix}{topic.name}",
        "description": f"Key: {topic.key}. Written by {writers}; read by {', '.join(topic.read_by)}.",
        "messages": {type_: {"$ref": f"#/components/messages/{type_}"}},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions or topics.defaults.partitions,
                "topicConfiguration": configuration,
            }
        },
    }


def _operations(topics: TopicList) -> list[tuple[str, dict[str, Any]]]:
    """What the suite does: it receives what a service of it reads, and sends what one writes."""
    found = []
    for topic in topics.topics:
        channel = {"$ref": f"#/channels/{topic.name}"}
        for action, who in (("receive", topic.read_by), ("send", topic.written_by)):
            services = sorted(SERVICES & set(who))
            if services:
                summary = f"{' and '.join(services)}: {action} {topic.name}"
                found.append(
                    (f"{action}-{_key(topic.name)}", {"action": action, "channel": channel, "summary": summary})
                )
    return found
