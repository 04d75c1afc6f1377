"""The words of one question, in the best language that there are words in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tallyport.audit import Author, Change
from tallyport.contracts.actions import ActionRequest
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.audit.service import record
from notifier.messages import store
from notifier.messages.defaults import ANY_ACTION, LABELS, TEXTS, UNKNOWN
from notifier.messages.model import Filling, Rendered, Template, candidates, locale_of, render, values_of


@dataclass(frozen=True, slots=True)
class Composed:
    """A question in words."""

    language: str
    message: Rendered


class Messages:
    """Composes questions; ``default_language`` is spoken where nobody's language has words."""

    def __init__(self, default_language: str) -> None:
        self.default_language = default_language.lower()

    async def compose(
        self,
        connection: Any,
        request: ActionRequest,
        filling: Filling,
        *wanted: str | None,
        labels: Mapping[str, str] | None = None,
        draft: Template | None = None,
    ) -> Composed:
        """The question in the first of the ``wanted`` languages, their base languages and the default.

        In each language an action's own words count first, then the words for any action, then those that come with
        the gate. ``labels`` name an action that the provider has registered; ``draft`` is tried instead of all words.
        """
        languages = [*candidates(*wanted, default=self.default_language), "en"]
        if draft is not None:
            language, template = languages[0], draft
        else:
            written = await store.texts_for(connection, request.action, languages)
            language, template = _choose(request.action, languages, written)
        named = [one for one in (*wanted, language) if one is not None and one.lower().startswith(language)]
        label = label_of(request.action, request.variant, languages, labels or {})
        unknown = next(UNKNOWN[one] for one in (language, language.partition("-")[0], "en") if one in UNKNOWN)
        values = values_of(replace(filling, action=label), locale_of(*named, language), unknown)
        return Composed(language, render(template, values))


def _choose(action: str, languages: list[str], written: Mapping[tuple[str, str], Template]) -> tuple[str, Template]:
    for language in languages:
        own = written.get((action, language)) or written.get((ANY_ACTION, language))
        if own is not None:
            return language, own
        if language in TEXTS:
            return language, Template(TEXTS[language])
    return "en", Template(TEXTS["en"])  # the last of them: there are always words in it


def label_of(action: str, variant: str | None, languages: list[str], labels: Mapping[str, str]) -> str:
    """What an action is called in the first of the languages that has a word for it."""
    known = labels or LABELS.get(f"{action}:{variant}") or LABELS.get(action) or {}
    found = next((known[one] for one in languages if one in known), None)
    return found or next(iter(known.values()), action.replace("_", " ").capitalize())


async def write(uow: UnitOfWork, action: str, language: str, said: Template, *, by: Author) -> None:
    """Enter the words of an action in a language.

    Raises:
        TemplateError: they cannot be used.
    """
    said.check()
    known = (await store.texts_for(uow.connection, action, [language.lower()])).get((action, language.lower()))
    await store.put(uow.connection, action, language.lower(), said, by=by.name, at=uow.now())
    before = {"text": known.text, "markdown": known.markdown} if known is not None else None
    after = {"text": said.text, "markdown": said.markdown}
    record(uow, by, Change("changed" if before else "added", f"message:{action}:{language.lower()}", before, after))


async def unwrite(uow: UnitOfWork, action: str, language: str, *, by: Author) -> bool:
    """Go back to the words that come with the gate; False if nobody had written others."""
    gone = await store.remove(uow.connection, action, language.lower())
    if gone is not None:
        before = {"text": gone.text, "markdown": gone.markdown}
        record(uow, by, Change("removed", f"message:{action}:{language.lower()}", before))
    return gone is not None


async def written(connection: Any) -> list[dict[str, Any]]:
    """Everything that administrators have written."""
    return await store.texts(connection)
