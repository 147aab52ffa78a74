"""What one wmic command line says, as a typed value; `grammar.py` reads it."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from runner.wmic.events import base_name
from runner.wmic.parser import FormatSwitch

_OWNER = re.compile(r"[\\/]{2,}(?P<host>[^\\/]+)")
HERE = frozenset({"localhost", "127.0.0.1", "::1", "."})


class Subject(StrEnum):
    """How the line names what it is about."""

    ALIAS = "alias"
    PATH = "path"
    CLASS = "class"
    CONTEXT = "context"
    NONE = "none"


class Verb(StrEnum):
    GET = "get"
    LIST = "list"
    ASSOC = "assoc"
    CALL = "call"
    SET = "set"
    CREATE = "create"
    DELETE = "delete"
    OTHER = "other"
    """A verb of the alias's own (`uninstall`, `cleareventlog`): its name is in `method`."""
    NONE = "none"
    """Without a verb wmic lists."""


QUERIES = frozenset({Verb.GET, Verb.LIST, Verb.ASSOC, Verb.NONE})
"""Verbs that change nothing: wmic only shows what it is asked for."""


class Command(Struct, frozen=True, kw_only=True):
    """One wmic line. Names are lower case, values as written without quotes.

    `is_inside_shell`: another program's line starts wmic. `nodes`: the machines asked, none is this
    one; `node_file`: the file that lists them.
    `method` and `arguments` are a call's; `properties` those of `get`, or the assignments of `set`
    and `create`. `unread`: what has no place in the grammar; `is_closed` is false when the line
    ends inside a quotation.
    """

    program: str = ""
    is_inside_shell: bool = False
    nodes: tuple[str, ...] = ()
    node_file: str | None = None
    user: str | None = None
    has_password: bool = False
    namespace: str | None = None
    output: str | None = None
    switches: tuple[str, ...] = ()
    subject: Subject = Subject.NONE
    name: str = ""
    where: str | None = None
    verb: Verb = Verb.NONE
    method: str = ""
    arguments: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    formats: tuple[FormatSwitch, ...] = ()
    unread: tuple[str, ...] = ()
    is_closed: bool = True

    @property
    def is_wmic(self) -> bool:
        return is_wmic(self.program)

    @property
    def is_renamed(self) -> bool:
        """Nothing in it is called wmic, and yet it has a format switch."""
        return bool(self.formats) and not self.is_wmic and not self.is_inside_shell

    @property
    def is_whole(self) -> bool:
        """Every part of the line has its place in the grammar."""
        return self.is_wmic and self.is_closed and not self.unread

    @property
    def is_query(self) -> bool:
        return self.verb in QUERIES

    @property
    def is_remote(self) -> bool:
        """It asks another machine than its own."""
        owner = _OWNER.match(self.namespace or "")
        is_elsewhere = owner is not None and owner["host"].casefold() not in HERE | {"root"}
        return (
            is_elsewhere
            or bool(self.node_file)
            or any(node.casefold() not in HERE for node in self.nodes)
        )


def is_wmic(program: str) -> bool:
    return base_name(program).removesuffix(".exe") == "wmic"
