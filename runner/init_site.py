"""What a configuration says of a site: its saved search, its responders, what is never isolated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from connectors.document import visible
from connectors.errors import ConnectorError
from connectors.listing import ListsKinds, ListsSearches
from connectors.model import Device, DeviceKind, SavedSearch
from runner.alerts import DEFAULT_FIELDS
from runner.bundle import neighbours
from runner.catalogue import CATALOGUE
from runner.checks import NEEDED_FACTS
from runner.config_shapes import AccountsShape
from runner.init_products import show_results
from runner.init_talk import Talk
from runner.loading import load_bundle, missing_input
from runner.playbook import shipped_playbooks

MOST_OFFERS = 30
MOST_DEVICES = 500
"""A longer list of servers is a pattern's work, and is not proposed by name."""
NO_CANARY = "no canary"
USUAL_APP = "search"
_HOST = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
HEAD = """\
# What may never be isolated. One rule a line: `host PATTERN` (* for any text) or `id DEVICE_ID`.
# A rule that meets no device is a fault that `stockade check` names. Think of domain controllers,
# the SIEM and the EDR's own servers, DNS, the hypervisors, and the machines of your responders:
# host DC-*
# host SPLUNK-*
"""


def ask_search(talk: Talk, siem: object) -> dict[str, Any]:
    """The section `searches`: one saved search, its playbook and its canary; empty for none."""
    talk.title("saved search: which one finds the hits?")
    if not talk.agree("poll a saved search?", default=True):
        return {}
    app = talk.ask("the app that holds it", USUAL_APP, _why_no_app)
    names = _search_names(talk, siem, app)
    saved = _search(talk, siem, app, "its name", names, is_canary=False)
    playbooks = [
        name
        for name in shipped_playbooks()
        if missing_input(load_bundle(name, neighbours(None), CATALOGUE)) is None
    ]
    found: dict[str, Any] = {
        "saved_search": saved,
        "playbook": talk.choose("the playbook that a hit starts", sorted(playbooks)),
    }
    talk.say("A canary is a saved search that always returns rows: empty means blind.")
    others = [name for name in names if name != saved]
    canaries = [name for name in others if "canary" in name.lower()]
    offers = [*canaries, NO_CANARY, *(name for name in others if name not in canaries)]
    canary = _search(talk, siem, app, "canary", offers, is_canary=True)
    if canary != NO_CANARY:
        found["canary"] = canary
    if app != USUAL_APP:
        found["app"] = app
    key = re.sub(r"[^A-Za-z0-9]+", "_", saved.lower()).strip("_")[:60] or "hits"
    return {key: found}


def _why_no_app(text: str) -> str | None:
    return None if _NAME.fullmatch(text) else "write the app's folder name, as in search"


def _search_names(talk: Talk, siem: object, app: str) -> list[str]:
    """Those that the account sees, the likely ones first; none when it cannot be said."""
    if not isinstance(siem, ListsSearches):
        return []
    try:
        names = sorted(siem.saved_search_names(app))
    except ConnectorError as fault:
        talk.tell(f"  its saved searches cannot be listed: {fault}")
        return []
    names.sort(key=lambda name: "wmic" not in name.lower())
    if len(names) > MOST_OFFERS:
        talk.say(f"  {len(names)} saved searches; the {MOST_OFFERS} likeliest are offered")
    return names[:MOST_OFFERS]


def _search(
    talk: Talk, siem: object, app: str, what: str, offers: list[str], *, is_canary: bool
) -> str:
    """A saved search's name, tried as a poll would use it."""
    check = getattr(siem, "check_search", None)
    while True:
        name = talk.choose(f"{what} (a number, or any name)", offers, is_free=True)
        if check is None or name == NO_CANARY:
            return name
        facts = {} if is_canary else {fact: DEFAULT_FIELDS[fact] for fact in NEEDED_FACTS}
        try:
            if show_results(
                talk, list(check(SavedSearch(name=name, app=app), facts, is_scheduled=False))
            ):
                return name
        except ConnectorError as fault:
            talk.tell(f"  BAD  {fault}")
        if talk.agree("use it as it is?", default=False):
            return name


# -- people ----------------------------------------------------------------------------------------


def ask_people(talk: Talk, chat_type: str | None, chat: Any) -> dict[str, Any]:
    """The section `people`; empty when nobody is named."""
    talk.title("people: who answers?")
    people: dict[str, Any] = {}
    account_key = chat_type if chat_type in AccountsShape.__struct_fields__ else None
    while True:
        name = talk.ask("a responder's name, or Enter for no more", "", _why_no_person)
        if not name:
            return people
        if name in people:
            talk.say("  this one is there already")
            continue
        person: dict[str, Any] = {}
        if account_key is not None and (account := _account(talk, account_key, chat, people)):
            person[account_key] = account
        if os_user := talk.ask("account on this machine", ""):
            person["os_user"] = os_user
        text = "Windows accounts, whose own hits this person may not approve (with commas)"
        if windows := talk.ask(text, ""):
            person["windows_user"] = [part.strip() for part in windows.split(",") if part.strip()]
        people[name] = person


def _why_no_person(text: str) -> str | None:
    return None if _NAME.fullmatch(text) else "a name has letters, digits, `_`, `.` and `-`"


def _account(talk: Talk, key: str, chat: Any, people: dict[str, Any]) -> str:
    """A chat account, read as a vote of it would be; empty when the person has none."""
    taken = {person.get(key) for person in people.values()}
    while True:
        account = talk.ask(f"{key} account, by id", "")
        if not account:
            return ""
        fault = "another person has it" if account in taken else _why_no_vote(chat, account)
        if fault is None:
            talk.say("  ok   it may answer")
            return account
        talk.tell(f"  BAD  {fault}")
        if account not in taken and talk.agree("use it as it is?", default=False):
            return account


def _why_no_vote(chat: Any, account: str) -> str | None:
    if chat is None:
        return "the chat cannot be asked"
    try:
        found = chat.read_account(account)
    except ConnectorError as fault:
        return str(fault)
    if found.is_bot:
        return "it is a bot"
    return None if found.is_active and found.is_full_member else "it is no active full member"


# -- protected assets ------------------------------------------------------------------------------


def ask_protected(talk: Talk, edr: object, file: Path) -> str | None:
    """The text of a new protected-assets file; None when there is one already."""
    talk.title("protected assets: what is never isolated?")
    if file.exists():
        talk.tell(f"{file.name} is there already, and is used as it is")
        return None
    lines = [HEAD]
    for kind, word in (
        (DeviceKind.DOMAIN_CONTROLLER, "domain controller"),
        (DeviceKind.SERVER, "server"),
    ):
        lines += _proposed(talk, edr, kind, word)
    while rule := talk.ask("another host name or pattern, or Enter for no more", "", _why_no_host):
        lines.append(f"host {rule}\n")
    if len(lines) == 1:
        talk.say("It protects nothing yet: until it names a device, nothing can be isolated.")
    return "".join(lines)


def _why_no_host(text: str) -> str | None:
    is_host = re.fullmatch(r"[A-Za-z0-9._*-]*[A-Za-z0-9][A-Za-z0-9._*-]*", text)
    return None if is_host else "write a host name; `*` stands for any text"


def _proposed(talk: Talk, edr: object, kind: DeviceKind, word: str) -> list[str]:
    """Rules for the devices of a kind that a person took. They are shown first."""
    if not isinstance(edr, ListsKinds):
        return []
    try:
        devices = list(edr.devices_of_kind(kind))
    except ConnectorError as fault:
        talk.tell(f"  its {word}s cannot be listed: {fault}")
        return []
    if not devices:
        talk.say(f"  the EDR knows no {word}")
        return []
    if len(devices) > MOST_DEVICES:
        talk.say(f"  the EDR knows {len(devices)} {word}s: too many to name, write patterns")
        return []
    talk.say(f"The EDR knows {len(devices)} {word}(s):")
    for device in devices:
        talk.tell(f"  {device.hostname}")
    if not talk.agree("protect them?", default=True):
        return []
    return [f"# {word}s, as the EDR named them\n", *(_rule(device) for device in devices)]


def _rule(device: Device) -> str:
    if _HOST.fullmatch(device.hostname):
        return f"host {device.hostname}\n"
    return f"id {device.device_id}  # {visible(device.hostname)}\n"
