"""Rows carry their customer as the leading key, so that the databases can be spread by customer.

A customer's table is told by its column. Each of its keys has to begin with it, and what it refers to has to be in the
same place: a customer's table by the same column, or one that is the same everywhere (small, or read by everything).
"""

from __future__ import annotations

from typing import Any

import pytest
from tallyport_local.testing import Connect

CUSTOMER_COLUMNS = ("customer_no", "customer_id", "customer")
# Tables with such a column that are nevertheless the same everywhere, and why.
EVERYWHERE = {
    "billing_engine": {"billable_object": "the one place that knows whose an id is; ingest asks it for everybody's"},
    "notifier": {
        "action_request": "an emitter's id is unique over all customers: the same id of another one is a conflict",
        "confirmation": "is answered by its own id, which is all that an answer knows",
        "seen_plan": "a subscription is told by its own id; whose instance it belongs to may come later",
    },
    "report_builder": {},
}  # fmt: skip
KEYS = """
SELECT c.relname AS "table", i.relname AS key, x.indisprimary AS primary,
       (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(x.indkey::int[]) WITH ORDINALITY k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS columns,
       (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($1) AND a.attnum > 0
        ORDER BY array_position($1, a.attname::text) LIMIT 1) AS customer
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
JOIN pg_index x ON x.indrelid = c.oid AND x.indisunique
JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, 2
"""
REFERENCES = """
SELECT f.conrelid::regclass::text AS "table", f.confrelid::regclass::text AS target, f.conname AS name,
       (SELECT array_agg(a.attname::text) FROM pg_attribute a
        WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)) AS columns
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid AND NOT c.relispartition
WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
"""


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
async def test_keys_of_customers_rows_begin_with_the_customer(connect: Connect, name: str) -> None:
    _, pool = await connect(name)
    keys = [row for row in await pool.fetch(KEYS, list(CUSTOMER_COLUMNS)) if row["customer"] is not None]
    wrong = {
        f"{row['table']}.{row['key']}": row["columns"]
        for row in keys
        if row["table"] not in EVERYWHERE[name] and row["columns"][0] != row["customer"]
    }
    assert wrong == {}
    assert keys, "there are no customers' tables: the test looks for the wrong columns"


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
async def test_what_a_customers_row_refers_to_is_in_the_same_place(connect: Connect, name: str) -> None:
    _, pool = await connect(name)
    owner: dict[str, Any] = {row["table"]: row["customer"] for row in await pool.fetch(KEYS, list(CUSTOMER_COLUMNS))}
    spread = {table for table, customer in owner.items() if customer is not None} - set(EVERYWHERE[name])
    apart = [
        f"{row['table']}.{row['name']} -> {row['target']}"
        for row in await pool.fetch(REFERENCES)
        if row["target"] in spread and (row["table"] not in spread or owner[row["table"]] not in row["columns"])
    ]
    assert apart == []
