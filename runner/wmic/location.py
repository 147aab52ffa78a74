"""Where does a stylesheet's file lie, who may write there, and does its name deceive?

Only the path is known here, never the file: each answer is a weight and a sentence.
"""

from __future__ import annotations

import re

from runner.masking import shown
from runner.wmic.stylesheet import KEYWORDS, SHIPPED_FILES
from runner.wmic.weighing import Contribution

_OPEN_FOLDERS = re.compile(
    r"[\\/]users[\\/]public[\\/]|[\\/]te?mp[\\/]|%(?:temp|tmp|public)%|[\\/]downloads[\\/]"
    r"|[\\/]inetcache[\\/]|[\\/]temporary internet files[\\/]|[\\/]perflogs[\\/]"
    r"|[\\/]\$recycle\.bin[\\/]"
    r"|[\\/]windows[\\/](?:tasks|tracing|debug)[\\/]|[\\/]spool[\\/]drivers[\\/]color[\\/]"
    r"|(?:[\\/]programdata|%programdata%|%allusersprofile%)[\\/][^\\/]+$",
    re.IGNORECASE,
)
_OWN_FOLDERS = re.compile(
    r"[\\/](?:users|documents and settings)[\\/]|%(?:appdata|localappdata|userprofile|homepath)%",
    re.IGNORECASE,
)
_PROGRAMS = re.compile(
    r"(?:c:[\\/]program files(?: \(x86\))?|%programfiles(?:\(x86\))?%)[\\/]", re.IGNORECASE
)
_WBEM = re.compile(r"[\\/]wbem(?=[\\/])", re.IGNORECASE)
_UP = re.compile(r"[\\/]\.\.(?:[\\/]|$)")
_EXTENSIONS = frozenset({"", "xsl", "xslt", "xml"})


def location_of(path: str) -> tuple[Contribution, ...]:
    """What the place and the name of a stylesheet say that did not come with Windows."""
    found = [_name(path), _extension(path), _folder(path)]
    return tuple(item for item in found if item is not None)


def is_open_to_users(path: str) -> bool:
    """May somebody who is no administrator write the file, or does its path hide where it is?"""
    found = _folder(path)
    return found is not None and found.weight > 0


def _folder(path: str) -> Contribution | None:
    wbem = _WBEM.search(path)
    if wbem and _UP.search(path, wbem.end()):
        text = "The path begins in wmic's own folder and leaves it again: it is meant to deceive."
        return Contribution(weight=30, text=text)
    if _OPEN_FOLDERS.search(path):
        return Contribution(weight=20, text="Every user may write to the folder it lies in.")
    if _OWN_FOLDERS.search(path):
        return Contribution(weight=10, text="It lies in a user's own folder.")
    if _PROGRAMS.match(path) and ".." not in path:
        text = "It lies in a program's folder, where only an administrator may write."
        return Contribution(weight=-10, text=text)
    return None


def _name(path: str) -> Contribution | None:
    name = re.split(r"[\\/]", path)[-1].casefold()
    if name in KEYWORDS or name.rpartition(".")[0] in KEYWORDS | SHIPPED_FILES:
        text = f"It bears the name of a built-in format, {shown(name)}, but is another file."
        return Contribution(weight=10, text=text)
    return None


def _extension(path: str) -> Contribution | None:
    name = re.split(r"[\\/]", path)[-1].casefold()
    extension = name.rpartition(".")[2] if "." in name else ""
    if extension in _EXTENSIONS:
        return None
    text = f"Its name ends in .{shown(extension)}, which no stylesheet's does."
    return Contribution(weight=15, text=text)
