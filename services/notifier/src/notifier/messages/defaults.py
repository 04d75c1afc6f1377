"""The words that come with the gate: the question, the names of the actions, and what stands for what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ANY_ACTION: Final = "*"
"""What an action without words of its own says."""

TEXTS: Final[Mapping[str, str]] = {
    "en": "{action} for {customer} changes the monthly bill by {difference}. Confirm to go on, until {valid_until}.",
    "de": "{action} für {customer} ändert die monatliche Rechnung um {difference}. Zum Fortfahren bis "
    "{valid_until} bestätigen.",
    "fr": "{action} pour {customer} modifie la facture mensuelle de {difference}. Confirmez avant le {valid_until} "
    "pour continuer.",
    "es": "{action} para {customer} cambia la factura mensual en {difference}. Confirme antes del {valid_until} para "
    "continuar.",
    "ar": "{action} لصالح {customer} يغيّر الفاتورة الشهرية بمقدار {difference}. أكّد للمتابعة قبل {valid_until}.",
}

UNKNOWN: Final[Mapping[str, str]] = {
    "en": "an amount that cannot be computed",
    "de": "einen Betrag, der sich nicht berechnen lässt",
    "fr": "un montant qui ne peut pas être calculé",
    "es": "un importe que no se puede calcular",
    "ar": "مبلغ لا يمكن حسابه",
}

LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "create_user": {
        "en": "Create a user", "de": "Einen Benutzer anlegen", "fr": "Créer un utilisateur",
        "es": "Crear un usuario", "ar": "إنشاء مستخدم",
    },
    "change_user_bundle": {
        "en": "Change a user bundle", "de": "Ein Benutzerpaket wechseln", "fr": "Changer le forfait d'un utilisateur",
        "es": "Cambiar el paquete de un usuario", "ar": "تغيير باقة مستخدم",
    },
    "create_group": {
        "en": "Create a group", "de": "Eine Gruppe anlegen", "fr": "Créer un groupe",
        "es": "Crear un grupo", "ar": "إنشاء مجموعة",
    },
    "create_auto_attendant": {
        "en": "Create an auto attendant", "de": "Eine automatische Vermittlung anlegen",
        "fr": "Créer un standard automatique", "es": "Crear una operadora automática", "ar": "إنشاء مجيب آلي",
    },
    "create_auto_attendant:main": {
        "en": "Create a main auto attendant", "de": "Eine automatische Hauptvermittlung anlegen",
        "fr": "Créer un standard automatique principal", "es": "Crear una operadora automática principal",
        "ar": "إنشاء مجيب آلي رئيسي",
    },
    "create_auto_attendant:secondary": {
        "en": "Create a secondary auto attendant", "de": "Eine automatische Nebenvermittlung anlegen",
        "fr": "Créer un standard automatique secondaire", "es": "Crear una operadora automática secundaria",
        "ar": "إنشاء مجيب آلي فرعي",
    },
    "create_auto_attendant:menu_item": {
        "en": "Create an auto attendant action", "de": "Einen Menüpunkt der automatischen Vermittlung anlegen",
        "fr": "Créer une action du standard automatique", "es": "Crear una acción de la operadora automática",
        "ar": "إنشاء إجراء للمجيب الآلي",
    },
    "create_call_flow": {
        "en": "Create a call flow", "de": "Einen Anrufablauf anlegen", "fr": "Créer un scénario d'appel",
        "es": "Crear un flujo de llamadas", "ar": "إنشاء مسار مكالمات",
    },
    "create_general_mailbox": {
        "en": "Create a general mailbox", "de": "Ein allgemeines Postfach anlegen",
        "fr": "Créer une boîte vocale générale", "es": "Crear un buzón general", "ar": "إنشاء صندوق بريد عام",
    },
}  # fmt: skip
