"""Refusals as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any, Final

from fastapi.responses import JSONResponse

PROBLEM: Final = "application/problem+json"


class ProblemError(Exception):
    """An answer that is a problem (RFC 9457): ``detail`` says what to do, ``errors`` names fields."""

    def __init__(self, status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors


def problem(
    status: int,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem details response."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status_code=status, media_type=PROBLEM, headers=headers)
