"""What a Windows event of Sysmon, Security or WMI-Activity says, as typed values; no judgement.

`event_rows.py` reads them out of rows.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Source(StrEnum):
    SYSMON = "Sysmon"
    SECURITY = "Security"
    WMI = "WMI-Activity"


class Event(Struct, frozen=True, kw_only=True):
    """What every event has. `ref` names the event for a person; `at` None: no time that can be
    trusted."""

    source: Source
    id: int
    host: str
    at: datetime | None
    ref: str
    guid: str | None = None
    """Of the acting process: lower case, without braces; so is every GUID here."""
    image: str = ""

    @property
    def name(self) -> str:
        return f"{self.source} {self.id}"


class Process(Event, frozen=True, kw_only=True, tag_field="kind", tag="process"):
    """Sysmon 1 or Security 4688 (which has no GUID). `logon_id` is the session it runs in."""

    cmdline: str = ""
    parent_guid: str | None = None
    parent_image: str = ""
    parent_cmdline: str = ""
    user: str = ""
    logon_id: str | None = None
    pid: int | None = None
    hashes: tuple[str, ...] = ()
    original_name: str = ""


class Connection(Event, frozen=True, kw_only=True):
    """Sysmon 3 or Security 5156. `is_outbound` None: the event does not say."""

    user: str = ""
    is_outbound: bool | None = None
    source_address: str | None = None
    source_port: int | None = None
    target_address: str | None = None
    target_port: int | None = None
    target_name: str = ""


class Lookup(Event, frozen=True, kw_only=True):
    """Sysmon 22: a name was asked for. `addresses` are in the answer."""

    asked: str = ""
    addresses: tuple[str, ...] = ()


class FileWritten(Event, frozen=True, kw_only=True):
    """Sysmon 11, or 15, which has the file's hashes."""

    path: str = ""
    hashes: tuple[str, ...] = ()


class ImageLoaded(Event, frozen=True, kw_only=True):
    """Sysmon 7."""

    path: str = ""
    hashes: tuple[str, ...] = ()


class RegistrySet(Event, frozen=True, kw_only=True):
    """Sysmon 13."""

    key: str = ""


class Subscription(Event, frozen=True, kw_only=True, tag_field="kind", tag="subscription"):
    """Sysmon 19, 20, 21: a WMI filter, consumer or binding was made or removed."""

    user: str = ""
    operation: str = ""
    about: str = ""


class Logon(Event, frozen=True, kw_only=True):
    """Security 4624, or 4625 (`is_success` false). `address`: where it came from; None is here."""

    type: int = 0
    user: str = ""
    sid: str = ""
    logon_id: str | None = None
    address: str | None = None
    port: int | None = None
    workstation: str = ""
    is_success: bool = True


class ExplicitLogon(Event, frozen=True, kw_only=True):
    """Security 4648: `user` was used with its password by `subject`, against `server`."""

    subject: str = ""
    subject_sid: str = ""
    user: str = ""
    server: str = ""


class ShareUsed(Event, frozen=True, kw_only=True):
    """Security 5140, 5145."""

    user: str = ""
    sid: str = ""
    logon_id: str | None = None
    address: str | None = None
    share: str = ""
    path: str = ""


class AccountChanged(Event, frozen=True, kw_only=True):
    """Security 4720 (made), 4726 (deleted), 4728, 4732 (put into a group); 4672 (privileges)."""

    subject: str = ""
    logon_id: str | None = None
    account: str = ""


class Other(Event, frozen=True, kw_only=True):
    """Sysmon 5, WMI-Activity 5857 and the like: it proves that the host is seen."""


def base_name(path: str) -> str:
    """The file's name of a path, lower case, quotes removed."""
    return path.strip('" ').replace("/", "\\").rpartition("\\")[2].casefold()


def account_of(user: str) -> str:
    r"""`DOMAIN\name` and `name@domain` as `name`, lower case."""
    return user.rpartition("\\")[2].partition("@")[0].casefold()
