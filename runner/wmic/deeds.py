"""What does a wmic line do, apart from its stylesheet: does it only read, or change something?

A line is called harmless only when the grammar placed every part of it and it reads this machine.
"""

from __future__ import annotations

import re

from connectors.model import AssessmentKind
from runner.masking import shown
from runner.wmic.command import Command, Subject, Verb
from runner.wmic.parser import DASHES
from runner.wmic.weighing import Contribution, Finding

_CHANGING = re.compile(r"(?<![\w=-])(?:call|create|delete|set)(?![\w=-])", re.IGNORECASE)
_CONSUMERS = frozenset({"commandlineeventconsumer", "activescripteventconsumer"})
_BINDINGS = frozenset({"__eventfilter", "__filtertoconsumerbinding"})
_SHELLS = re.compile(
    r"\b(?:cmd|powershell|pwsh|rundll32|regsvr32|mshta|wscript|cscript|msbuild|certutil|bitsadmin"
    r"|installutil|net1?|reg|sc|schtasks|vssadmin)(?:\.exe)?(?![\w-])",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"\s-e(?:nc|ncodedcommand|c)?\s|frombase64|\biex\b|downloadstring|https?:|\\\\|ntds",
    re.IGNORECASE,
)
LIKE_A_SWITCH = re.compile(r"\W*".join("format") + r"\W*:", re.IGNORECASE)
_REMOTE_VALUE = re.compile(r":\s*(?:[a-z][a-z0-9+.-]{1,31}:[\\/]{2}|\\\\(?!\.))", re.IGNORECASE)


def deeds_of(command: Command, cmdline: str) -> list[Finding]:
    """What the line changes; when it names no stylesheet, also that it only reads, or that it
    cannot be read."""
    is_other = is_another_program(command)
    found = [] if command.is_query or is_other else [_change(command)]
    # Beside a format switch that is read, only another switch counts: text holds addresses too.
    parts = [p for p in command.unread if not command.formats or p[:1] in DASHES]
    remote = next((part for part in parts if _REMOTE_VALUE.search(part)), None)
    if remote is not None:
        text = f"A part that wmic is not known to take names another machine: {shown(remote)}."
        found.append(Finding(kind=AssessmentKind.SUSPICIOUS, text=text))
    if not found and command.formats:
        return _unread_change(command, cmdline)
    return found or [_without_format(command, cmdline)]


def _unread_change(command: Command, cmdline: str) -> list[Finding]:
    """Where a part has no place, another part may have been given a wrong one."""
    if not command.is_whole and _CHANGING.search(cmdline):
        text = "A part of the line that could not be read may change something."
        return [Finding(kind=AssessmentKind.UNKNOWN, text=text)]
    return []


def _without_format(command: Command, cmdline: str) -> Finding:
    if is_another_program(command):
        text = "The line does not start wmic, so there is nothing to judge."
        if command.program:
            other = shown(command.program)
            text = f"The line starts another program than wmic, which is not judged: {other}."
        return Finding(kind=AssessmentKind.UNKNOWN, text=text)
    if command.subject is Subject.NONE and "?" not in command.switches:
        text = "The line has no format switch and no command: wmic was to read it from elsewhere."
        return Finding(kind=AssessmentKind.UNKNOWN, text=text)
    if not command.is_whole:
        part = shown(next((part for part in command.unread if part), "a quotation without an end"))
        text = f"The line has no format switch, and a part of it could not be read: {part}."
        return Finding(kind=AssessmentKind.UNKNOWN, text=text)
    if command.is_remote:
        text = "The line has no format switch; it reads from other machines, which is not judged."
        return Finding(kind=AssessmentKind.UNKNOWN, text=text)
    if LIKE_A_SWITCH.search(cmdline):
        text = "Something like a format switch stands where the grammar has none."
        return Finding(kind=AssessmentKind.UNKNOWN, text=text)
    text = "The line has no format switch, so it names no stylesheet; it only reads."
    return Finding(kind=AssessmentKind.BENIGN, text=text)


def is_another_program(command: Command) -> bool:
    """Neither wmic nor a line that could be a renamed copy's: those hold a format or a deed that
    only wmic's grammar has."""
    is_wmic = command.is_wmic or command.is_inside_shell or bool(command.formats)
    return not is_wmic and _deed(command) is None


def _change(command: Command) -> Finding:
    deed = _deed(command)
    if deed is not None:
        return deed
    what = f"{command.verb} {command.method}" if command.verb is Verb.CALL else command.method
    text = f"The line changes something ({shown(what or command.verb)}); that is not judged here."
    return Finding(kind=AssessmentKind.UNKNOWN, text=text)


def _deed(command: Command) -> Finding | None:
    """A change that is known to be grave; None for any other."""
    name = command.name.removeprefix("win32_")
    if command.verb is Verb.CALL and (name, command.method) == ("process", "create"):
        return _start(command)
    if name == "shadowcopy" and command.verb is Verb.DELETE:
        return _grave("The line deletes shadow copies, as ransomware does before it encrypts.")
    if command.verb is Verb.CREATE and name in _CONSUMERS | _BINDINGS:
        return _grave("The line makes a WMI subscription, which runs a program at an event.")
    if command.verb is Verb.CALL and name == "msft_mppreference":
        return _grave("The line changes what Windows Defender looks at.")
    return None


def _grave(text: str) -> Finding:
    return Finding(kind=AssessmentKind.SUSPICIOUS, text=text, weight=35)


def _start(command: Command) -> Finding:
    started = " ".join(command.arguments)
    more: list[Contribution] = []
    if command.is_remote:
        where = shown(", ".join(command.nodes) or f"the machines in {command.node_file}")
        more.append(Contribution(weight=10, text=f"It is started on another machine: {where}."))
    if _SHELLS.search(started):
        text = "What it starts is a shell or a tool that attackers use."
        more.append(Contribution(weight=5, text=text))
    if _HIDDEN.search(f" {started}"):
        text = "The program's own line is encoded, or fetches something."
        more.append(Contribution(weight=10, text=text))
    text = f"The line starts a program: {shown(started) or 'which is cut off'}."
    return Finding(kind=AssessmentKind.SUSPICIOUS, text=text, more=tuple(more))
