"""What does the value of a format switch name: a built-in format, another machine, or a file?

It knows wmic's own formats and where Windows keeps them, and calls nothing built-in that an
attacker could put in its place. Source: Microsoft's wmic reference, read 2026-11-25.
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Address, ip_address

from connectors.model import Observable

KEYWORDS = frozenset({"csv", "hform", "htable", "list", "mof", "rawxml", "table", "value", "xml"})
"""The names that every wmic maps to a stylesheet of its own."""

OLDER_KEYWORDS = frozenset(
    {"hmof", "htable-sortby", "hxml", "texttablewsys", "wmiclimofformat"}
) | {
    "wmiclitableformat",
    "wmiclitableformatnosys",
    "wmiclivalueformat",
}
"""Formats of Windows XP and 2003, still used by inventory scripts."""

SHIPPED_FILES = frozenset({"texttable", "textvaluelist"}) | OLDER_KEYWORDS
"""Names that wmic's own folder holds as files, so that they are also written with `.xsl`."""

_BUILT_IN_FOLDER = re.compile(
    r"(?P<root>c:[\\/]{1,2}windows|%{1,2}(?:windir|systemroot)%{1,2}"
    r"|%{1,2}systemdrive%{1,2}[\\/]{1,2}windows)[\\/]{1,2}(?:system32|syswow64|sysnative)[\\/]{1,2}wbem"
    r"[\\/]{1,2}(?:[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,2}[\\/]{1,2})?(?P<name>[a-z-]{1,40})(?:\.xsl)?",
    re.IGNORECASE | re.ASCII,
)
# Anywhere in the value, not at its start only: several stylesheets may be listed one after another.
_URL = re.compile(
    r"(?<![a-z0-9+.-])(?:[a-z][a-z0-9+.-]{1,31}:[\\/]{2}|(?:https?|ftp):)", re.IGNORECASE | re.ASCII
)
_UNC = re.compile(r"(?:^|[,;(\s])(?=[\\/]{2}(?![?.][\\/](?!unc[\\/])))", re.IGNORECASE)
_VARIABLE = re.compile(r"%+[^%]*%*|![^!]+!|\$[({\w]")


class Origin(StrEnum):
    """Where the stylesheet comes from."""

    BUILT_IN = "built_in"
    SHIPPED = "shipped"
    """A file in wmic's own folder, named without that folder."""
    URL = "url"
    SHARE = "share"
    VARIABLE = "variable"
    """Built in, if the variable that nobody resolved is what Windows sets it to."""
    FILE = "file"
    WORD = "word"
    """A bare word that is no known format: a file in the current folder, or a format of which we
    do not know."""


def origin_of(value: str) -> Origin:
    """Name the origin of a stylesheet. Whatever is not surely built in is something else."""
    if _URL.search(value):
        return Origin.URL
    if _UNC.search(value):
        return Origin.SHARE
    path = _BUILT_IN_FOLDER.fullmatch(value)
    if path and path["name"].lower() in KEYWORDS | SHIPPED_FILES:
        return Origin.VARIABLE if path["root"].startswith("%") else Origin.BUILT_IN
    if value.lower() in KEYWORDS:
        return Origin.BUILT_IN
    if value.lower().removesuffix(".xsl") in SHIPPED_FILES:
        return Origin.SHIPPED
    return Origin.FILE if re.search(r"[\\/.%!$:]", value) else Origin.WORD


def unresolved_variable(value: str) -> str | None:
    """The first variable in a value that the shell left as it was, or None."""
    found = _VARIABLE.search(value)
    return found[0] if found else None


def observables_of(value: str) -> tuple[Observable, ...]:
    """What a hunt can look for: the address or path itself, and the machine that it names."""
    if url := _URL.search(value):
        address = value[url.start() :]
        return (Observable(type="url", value=address), *_machine(value[url.end() :].lstrip("\\/")))
    if share := _UNC.search(value):
        path = value[share.end() :]
        return (Observable(type="file", value=path), *_machine(_share_host(path)))
    known = origin_of(value) in (Origin.BUILT_IN, Origin.SHIPPED, Origin.VARIABLE)
    return () if known or not value else (Observable(type="file", value=value),)


def _share_host(path: str) -> str:
    r"""`\\host@SSL@8443\DavWWWRoot\a.xsl` → `host`; `\\?\UNC\host\share` likewise."""
    bare = re.sub(r"^[\\/]{2}[?.][\\/]unc[\\/]", "", path, flags=re.IGNORECASE).lstrip("\\/")
    return re.split(r"[\\/@]", bare, maxsplit=1)[0]


def _machine(rest: str) -> tuple[Observable, ...]:
    """`user:pass@host:port/path` → the host, as an address or a domain."""
    authority = re.split(r"[\\/?#,;\s]", rest, maxsplit=1)[0].rpartition("@")[2]
    bracketed = re.match(r"\[([0-9a-f:.]+)\]", authority, re.IGNORECASE)
    host = bracketed[1] if bracketed else authority.partition(":")[0]
    host = host.rstrip(".").lower()
    if not host:
        return ()
    try:
        # `http://3221225985/` is an address too: browsers and wmic read the number.
        is_number = host.isascii() and host.isdigit()
        address = IPv4Address(int(host)) if is_number else ip_address(host)
    except ValueError:
        return (Observable(type="domain", value=host),)
    return (Observable(type="address", value=str(address)),)
