"""``directory.changes``: who buys what from whom, one entity a record, keyed ``kind:id``, compacted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter

from tallyport.contracts.base import Contract, Count, Currency, Identifier, Text

DIRECTORY_TYPE = "tallyport.directory.changes.v1"


class OrganisationType(StrEnum):
    """A node's place in the sales tree."""

    SERVICE_PROVIDER = "service_provider"
    VIRTUAL_SERVICE_PROVIDER = "virtual_service_provider"
    VALUE_ADDED_RESELLER = "value_added_reseller"
    CUSTOMER = "customer"


class ProvisioningStatus(StrEnum):
    """How far a service instance, subscription or application has come."""

    NOT_PROVISIONED = "NotProvisioned"
    REQUESTED = "Requested"
    IN_PROGRESS = "InProgress"
    PROVISIONED = "Provisioned"
    FAILED = "Failed"
    PENDING = "Pending"


class _Entity(Contract):
    TYPE: ClassVar[str] = DIRECTORY_TYPE

    id: Identifier

    @property
    def entity_key(self) -> str:
        """The record's key, ``kind:id``."""
        return f"{self.kind}:{self.id}"  # type: ignore[attr-defined]  # every concrete entity has a kind


class Organisation(_Entity):
    """A node of the sales tree. The root has no parent."""

    kind: Literal["organisation"] = "organisation"
    type: OrganisationType
    parent: Identifier | None = None
    name: Text
    billing_id: Text | None = None
    location: Identifier | None = None
    language: Annotated[str, Field(max_length=35)] | None = None
    currency: Currency | None = None
    imported: bool = False


class Site(_Entity):
    """A place of a customer."""

    kind: Literal["site"] = "site"
    customer: Identifier
    name: Text
    billing_number: Text | None = None


class ServiceInstance(_Entity):
    """One service of one customer, with its customer plan and what it was allocated."""

    kind: Literal["service_instance"] = "service_instance"
    customer: Identifier
    service: Identifier
    plan: Identifier | None = None
    status: ProvisioningStatus
    is_billed: bool = True
    reseller_service: bool = False
    properties: dict[Identifier, Text] = Field(default_factory=dict)
    allocations: dict[Identifier, Count] = Field(default_factory=dict)


class User(Contract):
    """The user who has a subscription."""

    TYPE: ClassVar[str] = DIRECTORY_TYPE

    upn: Text
    name: Text


class Subscription(_Entity):
    """One user's use of a service instance, with its user plan."""

    kind: Literal["subscription"] = "subscription"
    instance: Identifier
    plan: Identifier | None = None
    status: ProvisioningStatus
    user: User


class Application(_Entity):
    """A single billable item assigned to a user, through the user's subscription."""

    kind: Literal["application"] = "application"
    subscription: Identifier
    name: Text
    properties: dict[Identifier, Text] = Field(default_factory=dict)
    status: ProvisioningStatus


class Inventory(_Entity):
    """What a synchronisation counted at a customer: devices, mailboxes, and the like."""

    kind: Literal["inventory"] = "inventory"
    customer: Identifier
    site: Identifier | None = None
    counts: dict[Identifier, Count] = Field(default_factory=dict)


class Removal(_Entity):
    """An entity that is no more: ``"deleted": true`` with the kind and the id. A tombstone says the same."""

    kind: Literal["organisation", "site", "service_instance", "subscription", "application", "inventory"]
    deleted: Literal[True] = True


Entity = Organisation | Site | ServiceInstance | Subscription | Application | Inventory
ENTITY: TypeAdapter[Entity] = TypeAdapter(Annotated[Entity, Field(discriminator="kind")])
KINDS = ("organisation", "site", "service_instance", "subscription", "application", "inventory")

_REMOVAL: TypeAdapter[Removal] = TypeAdapter(Removal)


def read_entity(raw: bytes) -> Entity | Removal:
    """An entity, or its removal, from JSON bytes; fields this version does not know are ignored.

    Raises:
        pydantic.ValidationError: naming each wrong field.
    """
    if b'"deleted"' in raw:
        try:
            return _REMOVAL.validate_json(raw, extra="ignore")
        except ValueError:
            # "deleted": false, or the word in a name: then it is an entity like any other.
            return ENTITY.validate_json(raw, extra="ignore")
    return ENTITY.validate_json(raw, extra="ignore")
