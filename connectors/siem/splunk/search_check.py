"""Will a poll of this saved search work, and would its silence mean anything?

It looks at the search as it is stored, and starts it over the last minute as a poll does: what a
poll would meet at night is met here. The job is cancelled; nothing else is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from connectors.errors import AuthFailed, ConnectorError, NotFound
from connectors.model import (
    CheckResult,
    Clock,
    JsonObject,
    SavedSearch,
    SearchJob,
    SearchPhase,
    Window,
)
from connectors.siem.splunk.jobs import content_of, is_set
from connectors.siem.splunk.macros import read_macros
from connectors.siem.splunk.permissions import Followed, refused, wait_for
from connectors.siem.splunk.rest import Rest, saved_search_path
from connectors.siem.splunk.window import EVENT_FUTURE_S, EVENT_PAST_S

TRIED_S = 60
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_TIME_WORD = re.compile(r"(?<![\w.])(?:_index_)?(?:earliest|latest)\s*=", re.IGNORECASE)
_LAST_FIELDS = re.compile(r"\|\s*(?:table|fields)\s+(?!-)\+?(?P<names>[^|\[\]`]*)$")


class Started(Followed, Protocol):
    """The client, as far as this check needs it."""

    def start_saved_search(self, search: SavedSearch, window: Window) -> SearchJob: ...


class SearchCheck:
    """One saved search, as the account sees it."""

    def __init__(self, splunk: Started, rest: Rest, clock: Clock) -> None:
        self._splunk = splunk
        self._rest = rest
        self._clock = clock

    def run(
        self, search: SavedSearch, facts: Mapping[str, Sequence[str]], *, is_scheduled: bool
    ) -> list[CheckResult]:
        """As `Siem.check_search`. A fault at the product is a result, not an error."""
        named = f"saved search {search.name!r} (app {search.app}, owner {search.owner})"
        found: list[CheckResult] = []
        try:
            content = content_of(self._rest.read_json(saved_search_path(search)))
            found += _judge(content, facts, named, is_scheduled=is_scheduled)
            found += self._macros(search, str(content.get("search") or ""))
            found.append(self._start(search, named))
        except NotFound as error:
            mend = "this account sees no such search: look at its name, app and owner, share it in"
            mend += f" the app, and let the role read it ({error.text})"
            found.append(CheckResult(what=named, ok=False, mend=mend))
        except ConnectorError as error:
            mend = refused(error) if isinstance(error, AuthFailed) else error.text
            found.append(CheckResult(what=named, ok=False, mend=mend))
        return found

    def _macros(self, search: SavedSearch, text: str) -> Iterator[CheckResult]:
        """Each macro with what it says, so that a person sees when it is another one by now."""
        for macro in read_macros(self._rest, search, text):
            word = _TIME_WORD.search(_QUOTED.sub("", macro.definition))
            mend = macro.fault
            if mend is None and word:
                mend = f"take `{word[0].strip()}…` out of it: it wins over the window of a poll"
            what = f"macro {macro.name}" if mend else macro.sentence()
            yield CheckResult(what=what, ok=mend is None, mend=mend)

    def _start(self, search: SavedSearch, named: str) -> CheckResult:
        now = int(self._rest.server_time().timestamp())
        window = Window(
            start=now - TRIED_S,
            end=now,
            event_start=now - TRIED_S - EVENT_PAST_S,
            event_end=now + EVENT_FUTURE_S,
        )
        job = self._splunk.start_saved_search(search, window)
        try:
            status = wait_for(self._splunk, job, self._clock)
        finally:
            self._splunk.cancel_search(job)
        is_whole = status.phase in (SearchPhase.COMPLETE, SearchPhase.TRUNCATED)
        said = "; ".join(status.messages) or f"it is {status.phase}"
        return CheckResult(
            what=f"{named} runs to its end",
            ok=is_whole,
            mend=None if is_whole else f"a poll of it would not be whole: {said}",
        )


def _judge(
    content: JsonObject, facts: Mapping[str, Sequence[str]], named: str, *, is_scheduled: bool
) -> Iterator[CheckResult]:
    """What can be said of a search without running it; one result for each fault, or one good."""
    faults = list(_faults(content, facts))
    if is_scheduled and not is_set(content.get("is_scheduled")):
        faults.append("it is not scheduled, so it has no runs to read: schedule it, or dispatch it")
    for fault in faults:
        yield CheckResult(what=named, ok=False, mend=fault)
    if not faults:
        cron = content.get("cron_schedule") if is_scheduled else None
        yield CheckResult(what=f"{named}" + (f", scheduled {cron}" if cron else ""), ok=True)


def _faults(content: JsonObject, facts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    text = str(content.get("search") or "")
    if is_set(content.get("disabled")):
        yield "it is disabled: enable it"
    word = _TIME_WORD.search(_QUOTED.sub("", text))
    if word:
        yield f"take `{word[0].strip()}…` out of its text: it wins over the window of a poll"
    returned = fields_of(text)
    if returned is None:
        return
    for fact, names in facts.items():
        if not any(_is_returned(name, returned) for name in names):
            yield f"its rows do not tell the {fact}: add one of {', '.join(names)} to its fields"


def fields_of(text: str) -> tuple[str, ...] | None:
    """The fields that the last command lets through; None when that cannot be read off."""
    found = _LAST_FIELDS.search(text.strip())
    if found is None:
        return None
    return tuple(name.strip('"') for name in re.split(r"[\s,]+", found["names"]) if name)


def _is_returned(name: str, returned: Sequence[str]) -> bool:
    patterns = (".*".join(map(re.escape, given.split("*"))) for given in returned)
    return name.startswith("_") or any(re.fullmatch(pattern, name) for pattern in patterns)
