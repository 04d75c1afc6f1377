"""The installation a command talks to: found by the stack's data folder, or named by the environment.

TALLYPORT_KAFKA__BOOTSTRAP_SERVERS, TALLYPORT_<SERVICE>_URL (TALLYPORT_BILLING_ENGINE_URL) and TALLYPORT_TOKEN name one
that is not local.
"""

from __future__ import annotations

import os
from typing import Any, Final

import httpx
from tallyport.settings import KafkaSettings

from tallyport_local.errors import InvalidInputError, OperationFailedError
from tallyport_local.settings import LocalSettings
from tallyport_local.state import DataFolder

TIMEOUT_SECONDS: Final = 30.0


class NotRunningError(OperationFailedError):
    """There is no stack here, and the environment names no other."""


class Installation:
    """Addresses and credentials of everything a command may need."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._state = folder.read_state()
        self._settings = LocalSettings()

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker.

        Raises:
            NotRunningError: when none is known.
        """
        if self._settings.kafka.bootstrap_servers:
            return KafkaSettings.model_validate(self._settings.kafka.model_dump())
        if not self._state.kafka or self._state.phase != "ready":
            raise self._not_running()
        return KafkaSettings(bootstrap_servers=self._state.kafka, topic_prefix=self._state.topic_prefix)

    def url(self, service: str) -> str:
        """A service's base URL.

        Raises:
            NotRunningError: when none is known.
        """
        named = os.environ.get(f"TALLYPORT_{service.upper().replace('-', '_')}_URL")
        if named:
            return named.rstrip("/")
        part = self._state.parts.get(service)
        if self._state.phase not in {"ready", "starting"}:
            raise self._not_running()
        if part is None or part.url is None:
            raise NotRunningError(f"the stack in {self._folder.root} runs without {service}")
        return part.url

    def client(self, service: str, timeout_seconds: float = TIMEOUT_SECONDS) -> httpx.Client:
        """A client that sends the operator's token; used through ``call``."""
        url = self.url(service)  # first: where no stack runs, no token shall be made
        token = os.environ.get("TALLYPORT_TOKEN") or self._folder.secret("operator-token")
        return httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            timeout=timeout_seconds,
            trust_env=False,
        )

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Any:
        """Call a service and give its JSON answer.

        Raises:
            InvalidInputError: when the service says that the request is wrong, or that the thing does not exist.
            OperationFailedError: when it cannot do it, or cannot be reached.
        """
        with self.client(service, timeout_seconds) as client:
            response = _request(client, service, method, path, body=body, query=query, headers=headers)
        return response.json() if response.content else None

    def pages(
        self, service: str, path: str, *, query: dict[str, Any] | None = None, at_most: int | None = None
    ) -> list[Any]:
        """All entries of a list, or ``at_most`` so many, page after page by the ``Link`` header.

        Raises:
            InvalidInputError: as for ``call``.
            OperationFailedError: as for ``call``.
        """
        found: list[Any] = []
        following: str | None = path
        with self.client(service) as client:
            while following is not None and (at_most is None or len(found) < at_most):
                response = _request(client, service, "GET", following, query=query if following is path else None)
                found += response.json()
                following = response.links.get("next", {}).get("url")
        return found[:at_most]

    def _not_running(self) -> NotRunningError:
        return NotRunningError(f"no stack runs in {self._folder.root}; start one with `tallyport up --detach`")


def _request(
    client: httpx.Client,
    service: str,
    method: str,
    path: str,
    *,
    body: Any = None,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    # An empty set of parameters would take away those that the path of a next page has.
    given = {name: value for name, value in (query or {}).items() if value is not None} or None
    try:
        response = client.request(method, path, json=body, params=given, headers=headers)
    except httpx.HTTPError as error:
        raise OperationFailedError(f"{service} at {client.base_url} does not answer: {error!r}") from error
    check(response)
    return response


def check(response: httpx.Response) -> None:
    """Turn a problem document into an error.

    Raises:
        InvalidInputError: for 400, 404, 413 and 422.
        OperationFailedError: for every other refusal.
    """
    if response.is_success:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    title = problem.get("title") or response.reason_phrase
    detail = problem.get("detail")
    message = f"{title}: {detail}" if detail and detail != title else str(title)
    for one in problem.get("errors") or []:
        message += f"\n  {_error_line(one)}"
    wrong_request = {
        httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND, httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        httpx.codes.UNPROCESSABLE_ENTITY,
    }  # fmt: skip
    if response.status_code in wrong_request:
        raise InvalidInputError(message)
    raise OperationFailedError(message)


def _error_line(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    place = one.get("field") or one.get("loc") or one.get("place") or ""
    if isinstance(place, list):
        place = ".".join(map(str, place))
    text = one.get("message") or one.get("msg") or one.get("detail") or ""
    return f"{place}: {text}" if place else str(text)
