"""Reading a script by which an older panel was told of a view: ``CREATE VIEW`` and ``sp_BillingUnit_Manage``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from billing_engine.billing_views.model import MAX_SQL_CHARACTERS, ViewRefusedError

PROCEDURE: Final = "sp_billingunit_manage"
_GO: Final = re.compile(r"^[ \t]*GO[ \t]*;?[ \t]*$", re.IGNORECASE | re.MULTILINE)
_PLAN_TYPES: Final = {
    "customerplan": "customer_plan", "customer": "customer_plan", "userplan": "user_plan", "user": "user_plan",
    "application": "application",
}  # fmt: skip
# What the procedure's parameters were called, by what they say here.
_SAID_BY: Final = {
    "label": ("unitlabel", "label"),
    "plan_type": ("plantype",),
    "service": ("servicename", "service", "serviceshortname"),
    "view": ("viewname", "view", "unitview", "objectname", "unitname"),
    "quantity_column": ("quantitycolumn", "defaultquantitycolumn", "quantityfield", "quantity"),
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What one call of the procedure says; None: it does not say. ``ignored`` are parameters that mean nothing here."""

    label: str | None
    plan_type: str | None
    service: str | None
    view: str | None
    quantity_column: str | None
    sql: str | None
    ignored: list[str] = field(default_factory=list)

    @property
    def name(self) -> str | None:
        """A name made of the view's, or else of the label."""
        said = re.sub(r"^vw_?", "", self.view or "", flags=re.IGNORECASE) or self.label or ""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", said)
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:63] or None


def read_script(script: str) -> list[Imported]:
    """The calls of the procedure in ``script``, each with the view that it is about, if the script makes it.

    Raises:
        ViewRefusedError: it cannot be read, does something else as well, or calls nothing.
    """
    if len(script) > MAX_SQL_CHARACTERS:
        raise ViewRefusedError([f"a script has at most {MAX_SQL_CHARACTERS} characters"], "script")
    made: dict[str, str] = {}
    calls: list[Sequence[exp.Expr]] = []
    for statement, text in _statements(script):
        if isinstance(statement, exp.Create) and str(statement.args.get("kind", "")).upper() == "VIEW":
            made[statement.this.name.lower()] = text
        elif isinstance(statement, exp.Execute) and statement.this.name.lower() == PROCEDURE:
            calls.append(statement.expressions)
        elif not isinstance(statement, exp.Use | exp.Set):
            raise ViewRefusedError(
                [f"only CREATE VIEW and {PROCEDURE} are understood, not {statement.sql('tsql')[:80]}"], "script"
            )
    if not calls:
        raise ViewRefusedError([f"the script does not call {PROCEDURE}"], "script")
    return [_call(parameters, made, alone=len(calls) == 1) for parameters in calls]


def _statements(script: str) -> list[tuple[exp.Expr, str]]:
    """Each with its text: as it was given, where it is alone in its batch."""
    found: list[tuple[exp.Expr, str]] = []
    for batch in _GO.split(script):
        try:
            read = [one for one in sqlglot.parse(batch, read="tsql") if one is not None]
        except (SqlglotError, RecursionError) as error:
            message = re.sub(r"\x1b\[\d*m", "", str(error)).split("\n", maxsplit=1)[0]
            raise ViewRefusedError([f"the script cannot be read: {message}"], "script") from None
        found += [(one, batch.strip() if len(read) == 1 else one.sql("tsql")) for one in read]
    return found


def _call(parameters: Sequence[exp.Expr], made: dict[str, str], *, alone: bool) -> Imported:
    said: dict[str, str] = {}
    for one in parameters:
        if not (isinstance(one, exp.EQ) and isinstance(one.this, exp.Parameter)):
            raise ViewRefusedError([f"{PROCEDURE}: every parameter needs its name, as in @UnitLabel='...'"], "script")
        said[one.this.name.lower()] = one.expression.name
    picked = {what: next((said[name] for name in names if name in said), None) for what, names in _SAID_BY.items()}
    known = {name for names in _SAID_BY.values() for name in names}
    plan_type = picked["plan_type"]
    if plan_type is not None:
        folded = re.sub(r"[^a-z]", "", plan_type.lower())
        if folded not in _PLAN_TYPES:
            raise ViewRefusedError([f"@PlanType={plan_type!r} is none of {', '.join(sorted(_PLAN_TYPES))}"], "script")
        picked["plan_type"] = _PLAN_TYPES[folded]
    view = picked["view"]
    short = re.sub(r"[\[\]]", "", view).rpartition(".")[2] if view is not None else None
    sql = made.get(short.lower()) if short is not None else None
    if sql is None and alone and len(made) == 1:
        (only, sql), *_ = made.items()
        short = short or only
    return Imported(
        label=picked["label"],
        plan_type=picked["plan_type"],
        service=picked["service"],
        view=short,
        quantity_column=picked["quantity_column"],
        sql=sql,
        ignored=sorted(said.keys() - known),
    )
