"""The role that the client needs in Splunk: one definition, by which `check` judges the role that
is there, and from which the command line prints the stanza that makes it.

Source: authorize.conf.spec; REST API Reference "authorization/roles"; read 2026-11-25.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from connectors.model import JsonObject
from connectors.siem.splunk.window import EVENT_FUTURE_S, EVENT_PAST_S

NAME = "stockade"
REQUIRED_CAPABILITIES = ("search",)
DANGEROUS_CAPABILITIES = (
    "admin_all_objects",
    "delete_by_keyword",
    "edit_search_server",
    "rest_apps_management",
    "rest_properties_set",
    "run_collect",
    "run_custom_command",
    "run_dump",
    "run_mcollect",
    "run_sendalert",
)
"""What lets a search write, delete, send or run something."""
DAY_S = 86400
LEAST_TIME_WIN_S = EVENT_PAST_S + EVENT_FUTURE_S + DAY_S
"""The event time around a window, and a day that the runner may have been down."""
LEAST_JOBS = 3


class Role(Struct, frozen=True, kw_only=True):
    """What a role is to have. Times in seconds, `disk_mb` in megabytes."""

    indexes: tuple[str, ...]
    time_win_s: int = 14 * DAY_S
    jobs: int = 6
    disk_mb: int = 500


def role_for(indexes: Sequence[str], lookback_s: int, searches: int) -> Role:
    """The role for these indexes, for hunts that look back `lookback_s`, and so many searches: each
    may run beside its canary, and a hunt takes two places."""
    return Role(
        indexes=tuple(dict.fromkeys(indexes)),
        time_win_s=max(14 * DAY_S, lookback_s + 2 * DAY_S),
        jobs=max(6, 2 * searches + 2),
    )


def stanza(role: Role, name: str = NAME) -> str:
    """The role as `authorize.conf` has it, and nothing more than is needed."""
    lines = [f"[role_{name}]", *(f"{held} = enabled" for held in REQUIRED_CAPABILITIES)]
    lines += [
        f"srchIndexesAllowed = {';'.join(role.indexes)}",
        f"srchIndexesDefault = {role.indexes[0]}",
        f"srchJobsQuota = {role.jobs}",
        f"srchDiskQuota = {role.disk_mb}",
        f"srchTimeWin = {role.time_win_s}",
    ]
    return "\n".join(lines)


def missing_capabilities(held: Sequence[str]) -> list[str]:
    return [name for name in REQUIRED_CAPABILITIES if name not in held]


def dangerous_capabilities(held: Sequence[str]) -> list[str]:
    return [name for name in DANGEROUS_CAPABILITIES if name in held]


def faults_of(content: JsonObject) -> Iterator[str]:
    """What is wrong with a role's limits, as `authorization/roles` tells them."""
    hidden = str(content.get("srchFilter") or "").strip()
    if hidden not in ("", "*"):
        yield f"take srchFilter from the role: what `{hidden}` hides looks like peace"
    window_s = _number(content.get("srchTimeWin"))
    if 0 < window_s < LEAST_TIME_WIN_S:
        yield f"set srchTimeWin to {LEAST_TIME_WIN_S} or more; it is {window_s}"
    quota = _number(content.get("srchJobsQuota"))
    if 0 < quota < LEAST_JOBS:
        yield f"set srchJobsQuota to {LEAST_JOBS} or more; it is {quota}"


def _number(value: object) -> int:
    """0 for what is no number, which is no limit."""
    try:
        return int(str(value))
    except ValueError:
        return 0
