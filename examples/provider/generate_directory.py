"""Writes ``directory.jsonl``, the example provider's directory: one entity a line, the same lines every time.

    python examples/provider/generate_directory.py > examples/provider/directory.jsonl

The file is committed, because a reader shall see it without running anything; a test holds the two together.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

Entity = dict[str, Any]

PROVIDER = "aurora"

# Resellers: id, type, parent, name, location, language, currency. VARs sell for a VSP or for the provider itself.
RESELLERS = (
    ("vsp-nordlicht", "virtual_service_provider", PROVIDER, "Nordlicht Cloud GmbH", "eu-central", "de", "EUR"),
    ("vsp-albion", "virtual_service_provider", PROVIDER, "Albion Hosted Ltd", "uk", "en", "GBP"),
    ("vsp-liberty", "virtual_service_provider", PROVIDER, "Liberty Cloud Inc.", "us-east", "en", "USD"),
    ("var-north", "value_added_reseller", "vsp-nordlicht", "Nordsee IT-Systemhaus", None, None, None),
    ("var-alpen", "value_added_reseller", "vsp-nordlicht", "Alpen Daten AG", None, None, None),
    ("var-thames", "value_added_reseller", "vsp-albion", "Thames Technology", None, None, None),
    ("var-york", "value_added_reseller", "vsp-albion", "York Business Systems", None, None, None),
    ("var-hudson", "value_added_reseller", "vsp-liberty", "Hudson Managed Services", None, None, None),
    ("var-lumiere", "value_added_reseller", PROVIDER, "Lumière Conseil", "eu-west", "fr", "EUR"),
)

# Customers: who sells to them, their names, and what they have that others have not.
CUSTOMERS = (
    ("var-north", ("Hansen Reederei", "Leuchtturm Verlag", "Deichmann & Söhne", "Wattwerk Energie", "Ostfriesen Tee")),
    ("var-alpen", ("Gipfel Sport", "Almhof Molkerei", "Edelweiß Apotheken", "Zugspitz Optik")),
    ("vsp-nordlicht", ("Rheinland Druck", "Spree Architekten", "Elbe Logistik", "Taunus Kliniken")),
    ("var-lumiere", ("Boulangerie Mercier", "Ateliers Dubois", "Clinique Beauséjour", "Éditions Lacroix")),
    (PROVIDER, ("Polder Makelaars", "Jordaan Media")),
    ("var-thames", ("Greenwich Marine", "Borough Bakers", "Tower Legal LLP", "Wapping Design", "Kew Nurseries")),
    ("var-york", ("Minster Insurance", "Ouse Valley Dairy", "Harrogate Spa Hotels", "Dales Outdoor")),
    ("vsp-albion", ("Severn Shipping", "Camden Records", "Avon Engineering")),
    ("var-hudson", ("Catskill Outfitters", "Yonkers Plumbing Supply", "Tappan Dental", "Beacon Arts", "Croton Labs")),
    ("vsp-liberty", ("Harbor Freight Partners", "Battery Park Legal", "Ellis Imports", "Bowery Foods")),
)  # fmt: skip

NEW_CUSTOMERS = (7, 14, 23, 31, 40)
"""Not imported from an earlier system: for these the confirmation switch is off until somebody sets it."""
SILENT_CUSTOMER = 17
"""Its servers never report usage."""
UNBILLED_CUSTOMER = 36
"""A trial: its Hosted Exchange is there, but is not billed."""
UNLIMITED_CUSTOMERS = (3, 21)
"""Their storage limit says "Unlimited"."""

STATUSES = ("NotProvisioned", "Requested", "InProgress", "Failed", "Pending")
FIRST_NAMES = (
    "Anna", "Björn", "Chloé", "David", "Emma", "Fatma", "George", "Hannah", "Ivan", "Jürgen", "Katharina", "Liam",
    "Maëlle", "Noah", "Olivia", "Priya", "Quentin", "Rosa", "Søren", "Thandi", "Ulrike", "Victor", "Wei", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Adeyemi", "Bauer", "Carter", "Dubois", "Evans", "Fischer", "García", "Hansen", "Ito", "Jansen", "Kowalski",
    "Lefèvre", "Müller", "Novák", "O'Brien", "Patel", "Quinn", "Rossi", "Schneider", "Taylor", "Úlfsson", "Weiß",
)  # fmt: skip


def draw(what: str, count: int) -> int:
    """One of ``count`` numbers from 0, always the same one for the same ``what``."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big") % count


def currency_of(seller: str) -> str:
    """The currency a reseller's customers pay in: its own, or that of whoever it sells for."""
    named = {row[0]: row[6] or currency_of(row[2]) for row in RESELLERS if row[0] == seller}
    return named.get(seller, "EUR")


def priced(plan: str, currency: str) -> str:
    """The plan's id in a currency; the euro's has no suffix."""
    return plan if currency == "EUR" else f"{plan}-{currency}"


def status_of(what: str, usual: int) -> str:
    """Provisioned for all but one in ``usual``; those share the other statuses."""
    return "Provisioned" if draw(f"{what} ready", usual) else STATUSES[draw(f"{what} status", len(STATUSES))]


def instance(owner: str, service: str, plan: str, **more: Any) -> Entity:
    """A service instance; its id is what its users' ids begin with."""
    identifier = f"{service.lower()}-{owner}"
    found = {"kind": "service_instance", "id": identifier, "customer": owner, "service": service, "plan": plan}
    return found | {"status": status_of(identifier, 8)} | more


def subscription(of: str, number: int, plan: str, owner: str) -> Entity:
    """One user's use of an instance. The same person has the same number in every service."""
    identifier = f"{of}-u{number:03}"
    person = f"{owner} {number}"
    first, last = FIRST_NAMES[draw(f"{person} a", len(FIRST_NAMES))], LAST_NAMES[draw(f"{person} b", len(LAST_NAMES))]
    user = {"upn": f"u{number:03}@{owner}.example", "name": f"{first} {last}"}
    status = status_of(identifier, 12)
    return {"kind": "subscription", "id": identifier, "instance": of, "plan": plan, "status": status, "user": user}


def exchange(owner: str, users: int, currency: str, **more: Any) -> Iterator[Entity]:
    """Hosted Exchange for an organisation, with its users."""
    plan = priced("HE-ENT" if users >= 45 else "HE-STD", currency)  # noqa: PLR2004 - where the larger plan pays off
    silver, gold = priced("HE-SILVER", currency), priced("HE-GOLD", currency)
    chosen = [gold if draw(f"{owner} {number} plan", 3) else silver for number in range(1, users + 1)]
    allocations = {gold: chosen.count(gold) + 5, silver: chosen.count(silver) + 5}
    service = instance(owner, "HE", plan, allocations=allocations, **more)
    yield service
    for number, user_plan in enumerate(chosen, start=1):
        yield subscription(service["id"], number, user_plan, owner)


def telephony(owner: str, users: int, currency: str) -> Iterator[Entity]:
    """Hosted Telephony for an organisation; a third of its people have a bundle."""
    service = instance(owner, "VOICE", priced("VOICE-SITE", currency), allocations={})
    bundles = (priced("VB-BASIC", currency), priced("VB-BASIC", currency), priced("VB-PLUS", currency))
    subscriptions = []
    for number in range(1, users + 1, 3):
        bundle = bundles[draw(f"{owner} {number} bundle", len(bundles))]
        # The trial bundle has no price in the catalogue: its lines say so.
        trial = currency == "EUR" and draw(f"{owner} {number} trial", 25) == 0
        subscriptions.append(subscription(service["id"], number, "VB-TRIAL" if trial else bundle, owner))
    for one in subscriptions:
        service["allocations"][one["plan"]] = service["allocations"].get(one["plan"], 1) + 1
    yield service
    yield from subscriptions


def customer(number: int, seller: str, name: str) -> Iterator[Entity]:
    """A customer with its sites, services and users."""
    identifier, currency = f"cust-{number:03}", currency_of(seller)
    found = {"kind": "organisation", "id": identifier, "type": "customer", "parent": seller, "name": name}
    yield found | {"billing_id": f"B{10_000 + number}", "imported": number not in NEW_CUSTOMERS}
    for place in range(1, 2 + draw(f"{identifier} sites", 2)):
        site = {"kind": "site", "id": f"{identifier}-site-{place}", "customer": identifier, "name": f"Site {place}"}
        yield site | {"billing_number": f"S{number:03}{place}"}
    users = 20 + draw(f"{identifier} users", 36)
    more: Entity = {"properties": {"storage_limit_mb": "Unlimited" if number in UNLIMITED_CUSTOMERS else "51200"}}
    if number == UNBILLED_CUSTOMER:
        more["is_billed"] = False
    yield from exchange(identifier, users, currency, **more)
    if draw(f"{identifier} voice", 4):
        yield from telephony(identifier, users, currency)
    if number % 10 == 1:
        counted = {"kind": "inventory", "id": f"inventory-{identifier}", "customer": identifier}
        yield counted | {"site": f"{identifier}-site-1", "counts": {"mailboxes": users, "shared_mailboxes": number % 7}}


def directory() -> Iterator[Entity]:
    """Everything, parents first (the services would not mind another order)."""
    root = {"kind": "organisation", "id": PROVIDER, "type": "service_provider", "name": "Aurora Cloud Services"}
    yield root | {"location": "eu-west", "language": "en", "currency": "EUR", "imported": True}
    for identifier, kind, parent, name, location, language, currency in RESELLERS:
        said = {"location": location, "language": language, "currency": currency}
        found = {"kind": "organisation", "id": identifier, "type": kind, "parent": parent, "name": name}
        yield found | {key: value for key, value in said.items() if value} | {"imported": True}
    # Resellers use the services themselves, a little; an offer to others is no use and makes no lines.
    yield from exchange("vsp-albion", 6, "GBP")
    yield from exchange("var-north", 4, "EUR")
    yield instance("vsp-liberty", "HE", "HE-ENT-USD", reseller_service=True)
    # The provider bills its own databases: their sizes are measured by the collector, under these ids.
    for database in ("billing_engine", "notifier", "report_builder"):
        found = {"kind": "service_instance", "id": f"db:{database}", "customer": PROVIDER, "service": "DB"}
        yield found | {"plan": "DB-HOSTED", "status": "Provisioned"}
    number = 0
    for seller, names in CUSTOMERS:
        for name in names:
            number += 1
            yield from customer(number, seller, name)


def main() -> None:
    """Write the file to standard output."""
    for entity in directory():
        sys.stdout.write(json.dumps(entity, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
