"""Two administrators at once: nobody overwrites what he has not seen, and what is refused leaves nothing behind."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engine_bench import Bench
from engine_http import CATALOG, Caller, face
from tallyport.rest.bodies import BodyLimit

SCHEMA = "/v1/services/M/schema"
OVERRIDE = "/v1/overrides/M-C/acme"


async def test_the_second_of_two_editors_of_the_catalogue_is_told(call: Caller) -> None:
    read = await call("root", "GET", "/v1/catalog")
    tag = read.headers["etag"]
    assert (await call("reader", "GET", "/v1/catalog", headers={"if-none-match": tag})).status_code == 304
    compared = await call("root", "POST", "/v1/catalog/diff", json=CATALOG)
    assert (compared.headers["etag"], compared.json()["etag"]) == (tag, tag)
    mine = copy.deepcopy(CATALOG)
    mine["services"][0]["name"] = "Post"
    first = await call("root", "PUT", "/v1/catalog", json=mine, headers={"if-match": tag})
    assert first.status_code == 200, first.text
    assert first.headers["etag"] == (await call("root", "GET", "/v1/catalog")).headers["etag"] != tag
    second = await call("root", "PUT", "/v1/catalog", json=CATALOG, headers={"if-match": tag})
    assert second.status_code == 412
    assert f"its ETag is {first.headers['etag']} now; read it again" in second.json()["detail"]
    assert (await call("root", "GET", "/v1/catalog")).json()["services"][0]["name"] == "Post"
    either = {"if-match": f'"other", {first.headers["etag"]}'}
    assert (await call("root", "PUT", "/v1/catalog", json=CATALOG, headers=either)).status_code == 200
    assert (await call("root", "PUT", "/v1/catalog", json=CATALOG)).status_code == 200
    weak = {"if-match": f"W/{tag}"}
    assert (await call("root", "PUT", "/v1/catalog", json=CATALOG, headers=weak)).status_code == 412


async def test_only_what_was_looked_at_is_published(call: Caller) -> None:
    looked = (await call("root", "POST", f"{SCHEMA}/preview", json={})).headers["etag"]
    assert looked == (await call("root", "GET", SCHEMA)).headers["etag"]
    assert looked == (await call("root", "GET", f"{SCHEMA}/diff")).headers["etag"]
    edited = copy.deepcopy(CATALOG)
    edited["services"][0]["billing_units"][0]["unit_code"] = "NEW"
    assert (await call("root", "PUT", "/v1/catalog", json=edited)).status_code == 200
    for path, body in ((f"{SCHEMA}/publish", {}), (f"{SCHEMA}/revert", {"version": 1})):
        late = await call("root", "POST", path, json=body, headers={"if-match": looked})
        assert late.status_code == 412, late.text
    now = (await call("root", "GET", SCHEMA)).headers["etag"]
    done = await call("root", "POST", f"{SCHEMA}/publish", json={}, headers={"if-match": now})
    assert (done.status_code, done.json()["version"]) == (200, 2)
    history = await call("reader", "GET", f"{SCHEMA}/history?limit=1")
    assert [one["version"] for one in history.json()["versions"]] == [2]
    rest = await call("reader", "GET", history.headers["link"].split(">")[0].removeprefix("<"))
    assert [one["version"] for one in rest.json()["versions"]] == [1]
    assert "link" not in rest.headers


async def test_an_override_is_made_new_changed_and_removed_by_its_tag(call: Caller) -> None:
    body = {"properties": {"sales_price": "7"}}
    new = {"if-none-match": "*"}
    missing = await call("root", "PUT", OVERRIDE, json=body, headers={"if-match": "*"})
    assert (missing.status_code, "it does not exist" in missing.text) == (412, True)
    made = await call("root", "PUT", OVERRIDE, json=body, headers=new)
    assert made.status_code == 200
    assert (await call("root", "PUT", OVERRIDE, json=body, headers=new)).status_code == 412
    tag = made.headers["etag"]
    assert (await call("root", "GET", OVERRIDE, headers={"if-none-match": tag})).status_code == 304
    more = {"properties": {"sales_price": "8"}}
    assert (await call("east", "PUT", OVERRIDE, json=more, headers={"if-match": tag})).status_code == 200
    assert (await call("root", "DELETE", OVERRIDE, headers={"if-match": tag})).status_code == 412
    assert (await call("root", "DELETE", OVERRIDE)).status_code == 200


async def test_an_installation_can_require_the_condition(bench: Bench) -> None:
    lax = bench.engine.billing
    bench.engine.billing = lax.model_copy(update={"require_if_match": True})
    strict = Caller(face(bench))
    bench.engine.billing = lax
    for method, path, body in (
        ("PUT", "/v1/catalog", CATALOG),
        ("PUT", OVERRIDE, {"properties": {"sales_price": "8"}}),
        ("POST", f"{SCHEMA}/publish", {}),
    ):
        answer = await strict("root", method, path, json=body)
        assert (answer.status_code, "send If-Match" in answer.json()["detail"]) == (428, True)
    await strict.close()


def _wrong(path: str, value: Any) -> dict[str, Any]:
    """The catalogue with something else at one place."""
    document = copy.deepcopy(CATALOG)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = document
    for step in way:
        place = place[step]
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return document


UNIT = "services.0.billing_units.2"
USER = {"id": "more", "plan_type": "customer_plan", "unit": "instance"}
TIERS = {"model": "volume", "tiers": [{"up_to_inclusive": "9", "price": "1"}, {"up_to_inclusive": "9", "price": "1"},
                                      {"price": "1"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("services.0.plans.0.properties.sales_price", "3,50", "services.0.plans.0.properties.sales_price", "3,50"),
        ("services.0.overrides.0.properties.sales_price", "free",
         "services.0.overrides.0.properties.sales_price", "free"),
        ("services.0.overrides.0.plan", "N-C", "services.0.overrides.0.plan", "'N-C' is not a plan of 'M'"),
        ("services.1.plans.0.id", "M-C", "services.1.plans.0.id", "plan 'M-C'"),
        (UNIT, USER | {"quantity": {"counter": "Hours"}}, f"{UNIT}.quantity.counter", "declared: Disk"),
        (UNIT, USER | {"price_model": TIERS}, f"{UNIT}.price_model", "overlaps the one before"),
        (UNIT, USER | {"description": "{nobody}"}, f"{UNIT}.description", "nobody"),
        (UNIT, USER | {"unit": {"view": "none"}, "quantity": {"column": "n"}}, f"{UNIT}.unit.view", "no view 'none'"),
        ("conversion_rates.0.rate", "0", "conversion_rates.0.rate", "greater than 0"),
        ("services.0.plans.0.colour", "red", "services.0.plans.0.colour", "not permitted"),
    ],
)  # fmt: skip
async def test_bad_input_names_its_field_and_leaves_nothing(  # noqa: PLR0917 - a table
    bench: Bench, call: Caller, path: str, value: Any, field: str, words: str
) -> None:
    before = await _state(bench)
    document = _wrong(path, value)
    # What is right elsewhere in the document must not be saved either.
    document["services"][0]["name"] = "Half saved"
    for method, place in (("PUT", "/v1/catalog"), ("POST", "/v1/catalog/diff")):
        answer = await call("root", method, place, json=document)
        assert answer.status_code == 422, answer.text
        found = [one for one in answer.json()["errors"] if one["field"].startswith(field)]
        assert found, answer.text
        assert words in found[0]["message"]
    assert await _state(bench) == before


async def _state(bench: Bench) -> Any:
    return await bench.fetch(
        "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM row_version), "
        "(SELECT string_agg(s::text, '' ORDER BY id) FROM service s), (SELECT count(*) FROM plan_override), "
        "(SELECT string_agg(d::text, '' ORDER BY service) FROM schema_draft d)"
    )


async def test_an_override_of_somebody_unknown_is_applied_with_a_warning(call: Caller) -> None:
    document = _wrong("services.0.overrides.0.organisation", "later")
    answer = await call("root", "POST", "/v1/catalog/diff", json=document)
    assert answer.json()["warnings"] == [
        {"field": "services.0.overrides.0.organisation", "message": "the directory has no organisation 'later' yet"}
    ]
    assert (await call("root", "POST", "/v1/catalog/diff", json=CATALOG)).json()["warnings"] == []


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "words"),
    [
        ("PUT", "/v1/catalog", b'{"services": [', 400, "at character 14"),
        ("PUT", "/v1/catalog", b"\xff\xfe", 400, "The body is not JSON"),
        ("PUT", "/v1/catalog", b"[]", 422, "valid dictionary"),
        ("PUT", "/v1/catalog", b'{"services": []}', 422, "services"),
        ("PUT", OVERRIDE, b'{"properties": {}}', 422, "properties"),
        ("PUT", OVERRIDE, b'{"properties": {"sales_price": 3}}', 422, "properties.sales_price"),
        ("PUT", OVERRIDE, b'{"properties": {"sales_price": "3"}, "plan": "N-C"}', 422, "plan"),
        ("PUT", "/v1/overrides/M-C/%00", b'{"properties": {"sales_price": "3"}}', 422, "organisation"),
        ("GET", "/v1/services/%00/schema", b"", 422, "service"),
        ("POST", "/v1/transfers", b'{"batch_date": "soon"}', 422, "batch_date"),
        ("GET", "/v1/transfers?after=WzFd", b"", 422, "not a cursor of this list"),
        ("GET", "/v1/batches?limit=0", b"", 422, "limit"),
    ],
)
async def test_what_is_no_request_is_refused_with_the_place(  # noqa: PLR0917 - a table
    call: Caller, method: str, path: str, content: bytes, status: int, words: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await call("root", method, path, content=content, headers=headers)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_too_large_is_refused_announced_or_not(bench: Bench) -> None:
    caller = Caller(BodyLimit(face(bench), 2000))

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 500

    for content in (b" " * 2001, drip()):
        answer = await caller("root", "PUT", "/v1/catalog", content=content)
        assert (answer.status_code, answer.json()["title"]) == (413, "The body is too large")
    assert (await caller("root", "GET", "/v1/catalog")).status_code == 200
    await caller.close()
