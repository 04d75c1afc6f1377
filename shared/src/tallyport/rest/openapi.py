"""The OpenAPI document: every operation with its summary, its problems and the token it needs."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from tallyport.rest.problems import PROBLEM

_WHY: Final = {
    400: "The body is not JSON.",
    401: "There is no token, or it is not known.",
    403: "The token's roles, or its organisation, do not allow this.",
    404: "There is no such thing, or the token may not see it.",
    409: "It contradicts the present state.",
    412: "It is not what the request's condition says; read it again.",
    410: "It was there once, and is gone for good.",
    413: "The body is too large.",
    422: "A field is wrong; `errors` names each by its path. Nothing was saved.",
    429: "Too often; `Retry-After` says in how many seconds again.",
    428: "The installation requires a condition: send `If-Match`.",
}
_EVERYWHERE: Final = (401, 403)
_WITH_BODY: Final = (400, 413, 422)


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="its path: services.0.plans.2.id")
    message: str


class Problem(BaseModel):
    """Why a request is refused (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "The catalogue cannot be applied",
                    "status": 422,
                    "detail": "services.0.overrides.0.plan: plan 'HE-GLOD' is not a plan of 'HE'",
                    "errors": [
                        {"field": "services.0.overrides.0.plan", "message": "plan 'HE-GLOD' is not a plan of 'HE'"}
                    ],
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """An operation's own problems, as FastAPI takes ``responses``."""
    return {status: {"description": _WHY[status]} for status in statuses}


def describe(app: FastAPI) -> None:
    """Give the document of ``app`` what holds for every operation. Summaries are the first lines of the docstrings."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=app.summary)
            parts = found.setdefault("components", {})
            parts.setdefault("schemas", {}).update(_problem_schemas())
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for operations in found["paths"].values():
                for operation in operations.values():
                    _complete(operation)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "Problem": schema}


def _complete(operation: dict[str, Any]) -> None:
    # FastAPI makes the summary of the function's name; the docstring's first line says more.
    first, _, more = operation.get("description", "").partition("\n")
    operation["summary"], operation["description"] = first.rstrip("."), more.strip() or first
    operation["security"] = [{"token": []}]
    responses = operation["responses"]
    wanted = {*_EVERYWHERE, *(_WITH_BODY if "requestBody" in operation else ())}
    for status in wanted:
        responses.setdefault(str(status), {})
    for status, response in responses.items():
        if not status.startswith("4"):
            continue
        response["description"] = _WHY.get(int(status), response.get("description", ""))
        response["content"] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"] = dict(sorted(responses.items()))
