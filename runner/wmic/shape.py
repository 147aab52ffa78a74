r"""The normal form of a wmic line: what stays the same when a program asks the same thing again.

    wmic  /node:"SRV-7" os get Name,Caption /Format:"C:\Program Files\App\out.xsl"
    wmic /node:{host} os get caption,name /format:"c:\program files\app\out.xsl"

Only a line that reads, and that the grammar placed whole, has a shape. Machines, numbers, GUIDs and
the like become placeholders in conditions and output paths; a stylesheet stays as it is, and one
that is remote, unresolved, relative, or where users may write leaves the line without a shape. So
no rule that goes by shapes can hide one. Linear in the length of the line, which is bounded.
"""

from __future__ import annotations

import re

from msgspec import Struct

from runner.wmic.command import HERE, Command, Subject, Verb
from runner.wmic.contributions import OWN_PLACE
from runner.wmic.deeds import LIKE_A_SWITCH
from runner.wmic.grammar import parse
from runner.wmic.location import is_open_to_users
from runner.wmic.parser import FormatSwitch
from runner.wmic.stylesheet import Origin, origin_of
from runner.wmic.words import ascii_lower

MOST_CHARS = 1000
"""A line from this length on has no shape: nobody could review it."""
READS = {Verb.GET: "get", Verb.LIST: "list", Verb.NONE: "", Verb.ASSOC: "assoc"}
WITHOUT_VALUE = frozenset(
    {"aggregate", "all", "authlevel", "every", "failfast", "implevel", "interactive", "locale"}
    | {"nointeractive", "privileges", "repeat", "value"}
)
"""Switches whose value changes nothing that matters: only their names are part of a shape."""
_WITH_VALUE = frozenset({"append", "namespace", "node", "output", "password", "user"})
_ADDRESS = re.compile(r"(?<![/\w+.-])[a-z][a-z0-9+.-]{1,31}:[\\/]{2}", re.IGNORECASE | re.ASCII)
_LOCAL_PATH = re.compile(r"[a-z]:\\[^\\\"*?<>|%!$^,;:{}]+(?:\\[^\\\"*?<>|%!$^,;:{}]+)*")
_PARAMETER = re.compile(r"[a-z0-9]+=[\w.-]*(?::[a-z0-9]+=[\w.-]*)*", re.IGNORECASE | re.ASCII)
_VARIABLE_PARTS = (
    ("{guid}", re.compile(r"\{?\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b\}?")),
    ("{sid}", re.compile(r"\bs-1(?:-\d+){2,15}\b")),
    ("{address}", re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")),
    ("{tmp}", re.compile(r"\b\w{1,64}\.tmp\b")),
    ("{hex}", re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,64}\b")),
    ("{n}", re.compile(r"\d+")),
)


class Shape(Struct, frozen=True, kw_only=True):
    """`text`, or None and a sentence that says why the line has none."""

    text: str | None = None
    why: str = ""


class _Shapeless(Exception):
    """The line has no shape; the text says why."""


def shape_of(cmdline: str | None) -> Shape:
    """The shape of one command line. Repeat: the same line gives the same shape. Errors: none."""
    try:
        return Shape(text=_shape(cmdline or ""))
    except _Shapeless as refused:
        return Shape(why=str(refused))


def _shape(cmdline: str) -> str:
    if not cmdline.strip():
        raise _Shapeless("there is no command line")
    if len(cmdline) >= MOST_CHARS:
        raise _Shapeless(f"the line has {MOST_CHARS} characters or more")
    if not cmdline.replace("\t", " ").isprintable():
        raise _Shapeless("the line holds characters that nobody sees")
    if _ADDRESS.search(cmdline):
        raise _Shapeless("the line holds a network address")
    command = parse(cmdline)
    _check(command, cmdline)
    parts = ["wmic", *_global_switches(command), *_subject(command), READS[command.verb]]
    parts.append(",".join(sorted({_plain(name) for name in command.properties})))
    parts += [f"/{name}" for name in sorted({*command.switches} & WITHOUT_VALUE)]
    parts += sorted(_format(switch) for switch in command.formats)
    return " ".join(part for part in parts if part)


def _check(command: Command, cmdline: str) -> None:
    """Refuse what is not read whole, and what does more than read."""
    if not command.is_whole:
        raise _Shapeless("a part of the line could not be read")
    program = command.program.replace("/", "\\")
    if "\\" in program and not OWN_PLACE.fullmatch(program):
        raise _Shapeless("this wmic does not lie where Windows keeps it")
    if command.subject not in (Subject.ALIAS, Subject.PATH, Subject.CLASS):
        raise _Shapeless("the line names nothing that it asks about")
    if not command.is_query:
        raise _Shapeless("the line changes something, or starts a program")
    if len(LIKE_A_SWITCH.findall(cmdline)) > len(command.formats):
        raise _Shapeless("something like a format switch stands where the grammar has none")
    strange = sorted({*command.switches} - WITHOUT_VALUE - _WITH_VALUE)
    if strange:
        raise _Shapeless(f"the switch /{strange[0]} has no place in a shape")


def _global_switches(command: Command) -> list[str]:
    found = []
    if command.nodes:
        is_here = all(node.casefold() in HERE for node in command.nodes)
        found.append("/node:localhost" if is_here else "/node:{host}")
    if command.node_file is not None:
        found.append(f"/node:{_quoted('@' + _plain(command.node_file))}")
    if command.user is not None:
        found.append(f"/user:{_quoted(_plain(command.user))}")
    if command.has_password:
        found.append("/password:{secret}")
    if command.namespace is not None:
        found.append(f"/namespace:{_quoted(_plain(command.namespace))}")
    if command.output is not None:
        found.append(f"/output:{_quoted(_with_placeholders(command.output))}")
    return found


def _subject(command: Command) -> list[str]:
    kind = "" if command.subject is Subject.ALIAS else command.subject.value
    where = "" if command.where is None else f"where {_with_placeholders(command.where)}"
    return [kind, command.name, where]


def _format(switch: FormatSwitch) -> str:
    if not switch.value or not switch.is_closed or switch.value.endswith(("...", "\u2026")):
        raise _Shapeless("the format switch is cut off, or has no value")
    if switch.is_inside_text:
        raise _Shapeless("a format switch stands inside quoted text")
    parameter = ""
    if switch.parameter is not None:
        if not _PARAMETER.fullmatch(switch.parameter):
            raise _Shapeless("the format has an unusual parameter")
        parameter = ":" + _plain(switch.parameter)
    return f"/format:{_stylesheet(switch.value)}{parameter}"


def _stylesheet(value: str) -> str:
    """A stylesheet as it stands: of it, nothing may vary."""
    origin = origin_of(value)
    path = _plain(value).replace("/", "\\")
    if origin in (Origin.URL, Origin.SHARE):
        raise _Shapeless("the stylesheet lies on another machine")
    if origin is Origin.BUILT_IN:
        return path.rpartition("\\")[2].removesuffix(".xsl")
    if origin is Origin.SHIPPED:
        return path
    if not _LOCAL_PATH.fullmatch(path) or "\\.." in path:
        raise _Shapeless("the stylesheet is not named by its full path on a local drive")
    if is_open_to_users(path):
        raise _Shapeless("users may write to the stylesheet's folder")
    return _quoted(path)


def _plain(text: str) -> str:
    return ascii_lower(" ".join(text.split()))


def _with_placeholders(text: str) -> str:
    text = _plain(text)
    for placeholder, pattern in _VARIABLE_PARTS:
        # What a placeholder stands for already holds no digit, so that none is replaced twice.
        text = pattern.sub(placeholder, text)
    return text


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
