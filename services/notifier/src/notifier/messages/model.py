"""The default words of a confirmation, per language; pure.

A message is plain text with named places; what fills them is never read as markup or as another place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_LANGUAGE: Final = "en"

_TEXTS: Final[Mapping[str, str]] = {
    "en": "{action} for {customer} changes the monthly bill by {difference}. Confirm to go on.",
    "de": "{action} für {customer} ändert die monatliche Rechnung um {difference}. Zum Fortfahren bestätigen.",
    "fr": "{action} pour {customer} modifie la facture mensuelle de {difference}. Confirmez pour continuer.",
    "es": "{action} para {customer} cambia la factura mensual en {difference}. Confirme para continuar.",
}
_UNKNOWN: Final[Mapping[str, str]] = {
    "en": "an amount that cannot be computed",
    "de": "einen Betrag, der sich nicht berechnen lässt",
    "fr": "un montant qui ne peut pas être calculé",
    "es": "un importe que no se puede calcular",
}
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")


def choose_language(*wanted: str | None) -> str:
    """The first language there are words in: as named, then its base language, then the default."""
    for name in wanted:
        for candidate in (name, name.partition("-")[0] if name else None):
            if candidate and candidate.lower() in _TEXTS:
                return candidate.lower()
    return DEFAULT_LANGUAGE


def render(language: str, *, action: str, customer: str, difference: str | None) -> str:
    """The message; ``difference`` is an amount with its currency, None where it cannot be computed."""
    values = {
        "action": action.replace("_", " ").capitalize(),
        "customer": customer,
        "difference": difference if difference is not None else _UNKNOWN[language],
    }
    # One pass: a customer named "{difference}" stays a customer named "{difference}".
    return _PLACE.sub(lambda match: values[match[1]], _TEXTS[language])
