"""The searches that the product ships, as Splunk stores them: one definition, from which the
command line writes them and the docs show them.

Each reads one of two kinds of event: process creation as Sysmon writes it (1), or as Windows itself
does (4688), in the fields of Splunk's add-ons and in the events' own. Source: field lists of
splunk/security_content (Apache-2.0), savedsearches.conf.spec; read 2026-11-25.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

SYSMON = "XmlWinEventLog:Microsoft-Windows-Sysmon/Operational"
SECURITY = "XmlWinEventLog:Security"
COMMAND_LINE = ("cmdline", "process", "CommandLine", "Process_Command_Line")
FIELDS = (
    "_time _indextime _cd _bkt index process_name cmdline process CommandLine Process_Command_Line"
    " parent_process parent_process_name user host Computer dest ProcessGuid"
)
CONF_NAMES = {"is_scheduled": "enableSched"}
"""REST name → name in `savedsearches.conf`, where they differ."""


class Source(StrEnum):
    """Which events tell that a process was started."""

    SYSMON = "sysmon"
    SECURITY = "security"


class Shipped(Struct, frozen=True, kw_only=True):
    """One shipped search: its name in Splunk, and what it looks for in a source's events."""

    name: str
    about: str
    condition: str
    last: str


def _any(part: str) -> str:
    return "(" + " OR ".join(f'{name}="{part}"' for name in COMMAND_LINE) + ")"


SHIPPED: dict[str, Shipped] = {
    "wmic-format": Shipped(
        name="WMIC format hits",
        about="wmic starts with a format in their command line",
        condition=f'process_name="wmic.exe" {_any("*format*")}',
        last=f"fields {FIELDS}",
    ),
    "wmic-remote": Shipped(
        name="WMIC remote starts",
        about="processes that wmic starts on other machines, where typed and where started",
        condition=(
            f'((process_name="wmic.exe" {_any("*node:*")} {_any("*call*create*")})'
            ' OR (parent_process_name="WmiPrvSE.exe"'
            ' NOT process_name IN ("WmiPrvSE.exe", "WerFault.exe")))'
        ),
        last=f"fields {FIELDS}",
    ),
    "canary": Shipped(
        name="Stockade canary",
        about="anything at all: silent means blind, not quiet",
        condition="",
        last="head 1",
    ),
}
"""Key of the command line → search."""


def settings_of(
    shipped: Shipped, *, index: str, source: Source, schedule: str | None = None
) -> dict[str, str]:
    """What Splunk is to store, by REST names. `schedule`: a cron expression, for the history mode;
    its runs overlap, and end a minute before they start, so that late events are not missed."""
    kind, code = (SYSMON, "1") if source is Source.SYSMON else (SECURITY, "4688")
    stages = f'index={index} (sourcetype="{kind}" OR source="{kind}") EventCode={code}'
    text = f"{stages} {shipped.condition}".strip() + f" | {shipped.last}"
    is_scheduled = schedule is not None and shipped.condition
    return {
        "search": text,
        "disabled": "0",
        "dispatch.allow_partial_results": "0",
        "dispatch.earliest_time": "-15m@m",
        "dispatch.latest_time": "-1m@m",
        "is_scheduled": "1" if is_scheduled else "0",
        **({"cron_schedule": schedule or "", "realtime_schedule": "0"} if is_scheduled else {}),
        **({"dispatch.ttl": "86400"} if is_scheduled else {}),
    }


def conf_stanza(name: str, settings: dict[str, str]) -> str:
    """As `savedsearches.conf` has it."""
    lines = [f"{CONF_NAMES.get(key, key)} = {settings[key]}" for key in sorted(settings)]
    return "\n".join([f"[{name}]", *lines])
