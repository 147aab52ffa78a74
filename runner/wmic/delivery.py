"""How did it get here: what kind of program stands above a process, or began its session?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from runner.wmic.events import Logon, Process, base_name

SCHEDULER = "svchost.exe"


class Delivery(StrEnum):
    MAIL = "mail client"
    BROWSER = "browser"
    OFFICE = "Office program"
    REMOTE_LOGON = "remote logon"
    TASK = "scheduled task"
    SCRIPT_HOST = "script host"
    SERVICE = "service"
    INTERACTIVE = "interactive"
    UNKNOWN = "unknown"


class Ancestor(Struct, frozen=True, kw_only=True):
    """One process above another. `ref`: the event that says so."""

    image: str
    cmdline: str
    ref: str


class Delivered(Struct, frozen=True, kw_only=True):
    """What was found and the sentence that a person reads, with the event behind it."""

    delivery: Delivery
    why: str
    ref: str | None = None


_PROGRAMS: tuple[tuple[Delivery, frozenset[str]], ...] = (
    (
        Delivery.MAIL,
        frozenset({"outlook.exe", "olk.exe", "thunderbird.exe", "hxoutlook.exe", "hxtsr.exe"}),
    ),
    (
        Delivery.BROWSER,
        frozenset({"chrome.exe", "msedge.exe", "firefox.exe", "iexplore.exe", "brave.exe"}),
    ),
    (
        Delivery.OFFICE,
        frozenset(
            {
                "winword.exe",
                "excel.exe",
                "powerpnt.exe",
                "mspub.exe",
                "msaccess.exe",
                "onenote.exe",
                "visio.exe",
                "eqnedt32.exe",
            }
        ),
    ),
    (
        Delivery.REMOTE_LOGON,
        frozenset({"wmiprvse.exe", "wsmprovhost.exe", "winrshost.exe", "psexesvc.exe", "sshd.exe"}),
    ),
    (Delivery.TASK, frozenset({"taskeng.exe"})),
    (
        Delivery.SCRIPT_HOST,
        frozenset(
            {"wscript.exe", "cscript.exe", "mshta.exe", "powershell.exe", "pwsh.exe", "scrcons.exe"}
        ),
    ),
    (Delivery.SERVICE, frozenset({"services.exe"})),
    (Delivery.INTERACTIVE, frozenset({"explorer.exe", "userinit.exe", "winlogon.exe"})),
)
"""Best first: what brought it in goes before what merely carries it."""

_SESSIONS = {
    3: Delivery.REMOTE_LOGON,
    10: Delivery.REMOTE_LOGON,
    4: Delivery.TASK,
    5: Delivery.SERVICE,
    2: Delivery.INTERACTIVE,
    7: Delivery.INTERACTIVE,
    11: Delivery.INTERACTIVE,
}
"""Logon types. Source: Microsoft, event 4624, 2026-11-25."""


def ancestors(chain: Sequence[Process]) -> list[Ancestor]:
    """What stands above the chain's first process, nearest first. The last parent is known only
    by what its child says of it."""
    found = [Ancestor(image=p.image, cmdline=p.cmdline, ref=p.ref) for p in chain[1:]]
    if chain and chain[-1].parent_image:
        last = chain[-1]
        found.append(Ancestor(image=last.parent_image, cmdline=last.parent_cmdline, ref=last.ref))
    return found


def delivered(chain: Sequence[Process], logon: Logon | None) -> Delivered:
    """The best explanation among the ancestors, else how the session began."""
    above = ancestors(chain)
    kinds = {_kind(ancestor): ancestor for ancestor in reversed(above)}
    remote = logon is not None and _SESSIONS.get(logon.type) is Delivery.REMOTE_LOGON
    for delivery, _ in _PROGRAMS:
        if delivery is Delivery.SCRIPT_HOST and logon is not None and remote and logon.address:
            break
        if delivery in kinds:
            ancestor = kinds[delivery]
            why = f"{base_name(ancestor.image)} stands above it"
            return Delivered(delivery=delivery, why=why, ref=ancestor.ref)
    if logon is not None and logon.type in _SESSIONS:
        where = f" from {logon.address}" if logon.address else ""
        why = f"a logon of type {logon.type}{where} began its session"
        return Delivered(delivery=_SESSIONS[logon.type], why=why, ref=logon.ref)
    named = base_name(above[-1].image) if above else ""
    why = f"the events go back to {named}, and no further"
    if not named:
        why = "no event shows what started it"
    return Delivered(delivery=Delivery.UNKNOWN, why=why)


def _kind(ancestor: Ancestor) -> Delivery | None:
    name = base_name(ancestor.image)
    if name == SCHEDULER:
        is_scheduler = "schedule" in ancestor.cmdline.casefold()
        return Delivery.TASK if is_scheduler else None
    return next((delivery for delivery, names in _PROGRAMS if name in names), None)
