"""Which accounts say nothing about who acted, because every machine has them?

Recognised by SID first: names are translated and may be chosen by anybody. Source: Microsoft,
"Well-known SIDs", 2026-11-25.
"""

from __future__ import annotations

import re

from runner.wmic.events import account_of

_BY_SID: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"S-1-5-18"), "the system's own account"),
    (re.compile(r"S-1-5-(?:19|20)"), "a service account that every machine has"),
    (re.compile(r"S-1-(?:0-0|5-7)"), "nobody: an anonymous logon"),
    (re.compile(r"S-1-5-(?:80|82|83|90|96|113|114)(?:-\d+)*"), "a virtual account of Windows"),
    (re.compile(r"S-1-5-21(?:-\d+)*-500"), "the built-in administrator, whom every machine has"),
    (re.compile(r"S-1-5-21(?:-\d+)*-(?:501|502|503|504)"), "an account built into Windows"),
)
_BY_NAME = {
    "the system's own account": {"system", "système", "système local", "sistema", "local system"},
    "a service account that every machine has": {
        "local service",
        "network service",
        "lokaler dienst",
        "netzwerkdienst",
        "service local",
        "service réseau",
        "servicio local",
        "servicio de red",
    },
    "nobody: an anonymous logon": {"anonymous logon", "anonymous-anmeldung", ""},
    "the built-in administrator, whom every machine has": {
        "administrator",
        "administrateur",
        "administrador",
        "amministratore",
        "administratör",
    },
    "an account built into Windows": {"guest", "gast", "invité", "krbtgt", "defaultaccount"},
}
_VIRTUAL = re.compile(r"(?:dwm|umfd)-\d+")


def skipped_account(user: str, sid: str = "") -> str | None:
    """Why an account is not followed; None for one that may be selective."""
    for pattern, reason in _BY_SID:
        if pattern.fullmatch(sid):
            return reason
    name = account_of(user)
    if name.endswith("$"):
        return "a machine's own account"
    if _VIRTUAL.fullmatch(name):
        return "a virtual account of Windows"
    return next((reason for reason, names in _BY_NAME.items() if name in names), None)
