"""What does each thing around a wmic process weigh, and why?

A visible table of small functions, each over context and line. Positive speaks for an attack; 0 is
said because a responder would ask, and proves nothing. Known software only ever weighs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from runner.masking import shown
from runner.wmic.command import Command
from runner.wmic.context import Seen, TriageContext
from runner.wmic.deeds import is_another_program
from runner.wmic.events import account_of, base_name
from runner.wmic.weighing import Contribution

Weigher = Callable[[TriageContext, Command], Iterable[Contribution]]

REFUSED = 44210
"""Wmic's exit code for "Invalid XSL format (or) file name"."""

_ODD_PARENTS = {
    "a document or a mail": frozenset(
        {"winword.exe", "excel.exe", "powerpnt.exe", "outlook.exe", "msaccess.exe", "mspub.exe"}
        | {"onenote.exe", "visio.exe", "acrord32.exe", "acrobat.exe", "hh.exe", "eqnedt32.exe"}
    ),
    "a browser": frozenset({"chrome.exe", "msedge.exe", "firefox.exe", "iexplore.exe"}),
    "a program that runs scripts": frozenset(
        {"wscript.exe", "cscript.exe", "mshta.exe", "rundll32.exe", "regsvr32.exe", "msbuild.exe"}
    ),
    "a server that others send requests to": frozenset(
        {"w3wp.exe", "httpd.exe", "nginx.exe", "php-cgi.exe", "tomcat9.exe", "sqlservr.exe"}
    ),
    "WMI itself, which acts for another process, often on another machine": frozenset(
        {"wmiprvse.exe", "scrcons.exe"}
    ),
}
_KNOWN_PARENTS = re.compile(
    r"(?:c:\\program files(?: \(x86\))?\\.*\\|c:\\windows\\ccm\\)"
    r"(?:amazon-ssm-agent|ssm-document-worker|meshagent|zabbix_agent2?d?|check_mk_agent|vmtoolsd"
    r"|ccmexec|ossec-agent|wazuh-agent|glpi-agent|ocsinventory|lsagent|nessusd?|code|snow(?:agent)?"
    r"|fusioninventory-agent|telegraf|salt-minion|puppet|nxlog)\.exe",
    re.IGNORECASE,
)
_SHELL_TRICKS = re.compile(r"\w\^\w|%\w+:~\d|\bset\s+\w+=.*&&.*\bcall\b|/v:on", re.IGNORECASE)
OWN_PLACE = re.compile(
    r"(?:[a-z]:\\windows|%(?:windir|systemroot)%)\\(?:system32|syswow64|sysnative)\\wbem"
    r"\\wmic(?:\.exe)?",
    re.IGNORECASE,
)
_SERVICES = frozenset({"system", "local service", "network service"})
_IMAGE = re.compile(r"\s*(?:\"(?P<quoted>[^\"]+)\"|(?P<path>[^\"]+?\.exe)\b|(?P<word>\S+))", re.I)
_ENGINES = frozenset({"jscript.dll", "jscript9.dll", "vbscript.dll"})
_OBJECTS = frozenset({"scrrun.dll", "wshom.ocx"})
_PROVES_NOTHING = frozenset({"amsi.dll", "msxml3.dll", "msxml6.dll", "urlmon.dll"})
_OF_WINDOWS = frozenset({"conhost.exe", "werfault.exe"})
_CACHE = re.compile(r"\\(?:inetcache|content\.ie5|temporary internet files)\\.*\[\d+\]", re.I)
_INTERNET_KEYS = re.compile(r"internet settings\\(?:zonemap|5\.0\\cache)", re.I)


def weigh(context: TriageContext, command: Command) -> list[Contribution]:
    """Everything that the context adds, gravest first. What a process did weighs for wmic alone:
    other programs start programs and connect all day."""
    is_other = is_another_program(command) and not context.is_wmic
    weighers = AROUND_ANY if is_other else WEIGHERS
    found = [item for weigher in weighers for item in weigher(context, command)]
    return sorted(found, key=lambda item: -item.weight)


def image_of(line: str) -> str:
    r"""The program at the start of a command line: `"C:\a b\c.exe" -x` gives the path."""
    found = _IMAGE.match(line[:1000])
    return "" if found is None else found["quoted"] or found["path"] or found["word"]


# -- how it was started ----------------------------------------------------------------------------


def parent(context: TriageContext, command: Command) -> Iterable[Contribution]:
    if not context.parent:
        return
    image = image_of(context.parent)
    name = base_name(image)
    for what, names in _ODD_PARENTS.items():
        if name in names:
            started = "Wmic" if command.program == "" or command.is_wmic else "The program"
            yield _said(20, f"{started} was started by {name}, {what}.", context.event)
    if _KNOWN_PARENTS.fullmatch(image) and ".." not in image:
        text = f"Its parent is known to take inventory with wmic: {shown(image)}."
        yield _said(-10, text, context.event)
    if name == "cmd.exe" and any(_WINDOWS_VARIABLE.search(f.value or "") for f in command.formats):
        text = (
            "cmd.exe would have resolved the variable in the path: since it stands there still, "
            "wmic looked for a folder of that very name."
        )
        yield _said(20, text, context.event)


_WINDOWS_VARIABLE = re.compile(r"%(?:windir|systemroot|systemdrive)%", re.I)


def parent_line(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    line = context.parent_cmdline or context.parent or ""
    if "wmic" not in line.casefold().replace("^", "") and "call" not in line.casefold():
        return
    if _SHELL_TRICKS.search(line[:32_767]):
        yield _said(20, "The parent's command line hides its words from searches.", context.event)


def program(context: TriageContext, command: Command) -> Iterable[Contribution]:
    path = command.program.replace("/", "\\")
    if not command.is_wmic:
        if command.is_renamed:
            text = f"The program is not called wmic: {shown(command.program)}."
            yield _said(30, text, context.event)
    elif "\\" in path and not OWN_PLACE.fullmatch(path):
        text = f"This wmic does not lie where Windows keeps it: {shown(command.program)}."
        yield _said(30, text, context.event)


def account(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    user = account_of(context.user or "")
    if user in _SERVICES or re.fullmatch(r"s-1-5-(?:18|19|20)", user):
        text = f"It ran as {shown(context.user or '')}, as services do; so do attackers in them."
        yield _said(-5, text, context.event)


def frequency(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    days = context.period_days
    if context.earlier_runs:
        text = f"The same command ran on this host {context.earlier_runs} times in {days} days."
        yield _said(-5, text)
    if context.other_hosts is not None and context.other_hosts >= 10:
        text = f"{context.other_hosts} other hosts run the same command."
        yield _said(-5, text)
    if context.earlier_runs == 0 and context.other_hosts == 0:
        text = f"No host ran this command in the {days} days before."
        yield _said(5, text)


# -- what it did -----------------------------------------------------------------------------------


def modules(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    loaded = {base_name(seen.value): seen for seen in context.modules}
    engines = sorted(_ENGINES & loaded.keys())
    objects = sorted(_OBJECTS & loaded.keys())
    if engines and objects:
        text = f"Script ran inside wmic: it loaded {' and '.join([*engines, *objects])}."
        event = loaded[objects[0]].event
        yield Contribution(weight=50, text=text, event=event, corroborates=True)
    elif engines and engines != ["vbscript.dll"]:
        text = f"Wmic loaded a script engine, {engines[0]}, and nothing for scripts to act with."
        yield _said(10, text, loaded[engines[0]].event)
    elif engines:
        text = "Wmic loaded vbscript.dll, as some harmless queries do: alone it proves nothing."
        yield _said(0, text, loaded[engines[0]].event)
    idle = sorted(_PROVES_NOTHING & loaded.keys())
    if idle:
        text = f"Every wmic with a format loads {', '.join(idle)}: that proves nothing."
        yield _said(0, text, loaded[idle[0]].event)


def children(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    for seen in context.children[:5]:
        if base_name(image_of(seen.value)) not in _OF_WINDOWS:
            text = f"Wmic started a program, which no built-in format does: {shown(seen.value)}."
            yield Contribution(weight=50, text=text, event=seen.event, corroborates=True)
            return


def network(context: TriageContext, command: Command) -> Iterable[Contribution]:
    asked = {node.casefold().partition(".")[0] for node in command.nodes}
    strange = [s for s in context.lookups if s.value.casefold().partition(".")[0] not in asked]
    if strange:
        text = f"Wmic asked for the address of {shown(strange[0].value)}."
        yield Contribution(weight=20, text=text, event=strange[0].event, corroborates=True)
    if context.connections and not command.is_remote:
        reached = context.connections[0]
        text = f"Wmic connected to {shown(reached.value)}, and its line names no other machine."
        yield Contribution(weight=20, text=text, event=reached.event, corroborates=True)
    elif context.connections:
        text = "Wmic connected to another machine, as its /node switch tells it to."
        yield _said(0, text, context.connections[0].event)


def fetched(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    cached = _first(context.files, _CACHE)
    if cached is not None:
        text = f"Wmic kept a file that it fetched from the network: {shown(cached.value)}."
        yield Contribution(weight=30, text=text, event=cached.event, corroborates=True)
    elif context.was_searched:
        text = "No file in the internet cache was seen, which proves nothing: few hosts log it."
        yield _said(0, text)
    key = _first(context.keys, _INTERNET_KEYS)
    if key is not None:
        text = "Wmic set up internet access for itself in the registry."
        yield Contribution(weight=15, text=text, event=key.event, corroborates=True)


def failure(context: TriageContext, _command: Command) -> Iterable[Contribution]:
    if context.exit_code == REFUSED:
        text = f"Wmic ended with {REFUSED}: it refused the stylesheet. It was tried all the same."
        yield _said(-15, text, context.exit_event)
    did = (context.modules, context.children, context.connections, context.lookups, context.files)
    if context.was_searched and not any(did):
        text = "Of what this process did next nothing was logged; a host that logs little looks so."
        yield _said(-5, text, context.event)


def _first(seen: Iterable[Seen], pattern: re.Pattern[str]) -> Seen | None:
    return next((one for one in seen if pattern.search(one.value)), None)


def _said(weight: int, text: str, event: str | None = None) -> Contribution:
    return Contribution(weight=weight, text=text, event=event)


WEIGHERS: tuple[Weigher, ...] = (
    children,
    modules,
    network,
    fetched,
    parent,
    parent_line,
    program,
    account,
    frequency,
    failure,
)
"""Everything that is weighed around a line."""

AROUND_ANY: tuple[Weigher, ...] = (parent, account, frequency)
"""What is weighed around another program's line."""
