"""`stockade rehearse --since` and `stockade replay`: gathers hits, plays them, says what came."""

from __future__ import annotations

import shutil
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec

from connectors.document import visible
from connectors.errors import ConnectorError
from connectors.http import Runtime
from connectors.model import Clock, Row
from runner.cli_versions import NoVersion, version_of
from runner.config import Config, SearchConfig
from runner.exported import exported_rows
from runner.exported_evtx import NotRead
from runner.journal import JournalError
from runner.journal.stored import stored_alerts
from runner.masking import mask_secrets
from runner.past import STOPPED, Past, Slice, slices
from runner.releasing import BY_HAND
from runner.replaying import Replayed, Version, differences, replay, spooled, unended
from runner.replaying_text import (
    differences_data,
    differences_text,
    replayed_data,
    replayed_text,
    stretch,
)
from runner.result import Result
from runner.roles import Roles
from runner.spool import Spool, SpooledSlice, SpooledWish

MOST_SINCE = timedelta(days=90)
MOST_BAD = 20


class _Wrong(Exception):
    """The command cannot be done as it was given."""


class Rehearsal:
    """One command: `folder` is its own, and thrown away when everything was rehearsed."""

    def __init__(
        self, arguments: Namespace, config: Config, runtime: Runtime, clock: Clock
    ) -> None:
        self._arguments = arguments
        self._config = config
        self._roles = Roles(config, runtime)
        self._clock = clock
        self._gaps: list[str] = []
        self._is_stopped = False

    def run(self) -> Result:
        """Exit codes: 0 all was rehearsed, and versions do not differ; 1 a part was not, or they
        do; 2 wrong usage; 130 stopped at the keyboard."""
        try:
            versions = self._versions()
            folder = self._folder()
        except (_Wrong, NoVersion) as wrong:
            return Result(code=2, data={"error": str(wrong)}, text=str(wrong))
        is_kept = True
        try:
            result = self._in_folder(folder, versions)
            is_kept = self._can_resume(result)
            if not is_kept:
                return result
            text = f"{result.text}\nGo on with: stockade rehearse --resume {folder}"
            return Result(code=result.code, data={**result.data, "resume": str(folder)}, text=text)
        except KeyboardInterrupt:
            is_kept = self._arguments.command == "rehearse"
            more = f"\nGo on with: stockade rehearse --resume {folder}" if is_kept else ""
            return Result(code=130, data=None, text=f"PARTIAL: stopped; nothing was done{more}")
        except (_Wrong, NotRead) as wrong:
            is_kept = False
            return Result(code=2, data={"error": str(wrong)}, text=str(wrong))
        except (ConnectorError, JournalError) as fault:
            is_kept = False
            return Result(code=1, data={"error": str(fault)}, text=str(fault))
        finally:
            if not is_kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _can_resume(self, result: Result) -> bool:
        return self._arguments.command == "rehearse" and (
            self._is_stopped or bool(self._gaps) or result.code == 130
        )

    def _versions(self) -> list[Version]:
        given = self._arguments
        dir_ = self._config.playbook_dir
        first = version_of(given.playbook, dir_) if given.playbook else Version(name="configured")
        return [first] + ([version_of(given.against, dir_)] if given.against else [])

    def _folder(self) -> Path:
        resume = getattr(self._arguments, "resume", None)
        if resume is None:
            return Path(tempfile.mkdtemp(prefix="stockade-rehearsal-"))
        if not (resume / "hits.jsonl").is_file():
            raise _Wrong(f"{visible(str(resume))} holds no rehearsal to go on with")
        return Path(resume)

    def _in_folder(self, folder: Path, versions: list[Version]) -> Result:
        spool = Spool(folder / "hits.jsonl")
        try:
            if self._arguments.command == "replay":
                self._read_files(spool)
            else:
                self._search(spool)
            spool.keep()
            if self._is_stopped:
                text = "\n".join(
                    [
                        f"PARTIAL: stopped; {len(spool)} hit(s) were found so far, none rehearsed",
                        *(f"NOT REHEARSED: {gap}" for gap in self._gaps),
                    ]
                )
                data = {"is_whole": False, "hits": len(spool), "not_rehearsed": self._gaps}
                return Result(code=130, data=data, text=text)
            played: list[Replayed] = []
            for number, one in enumerate(versions):
                played.append(self._play(folder / f"played-{number}", spool, one))
                if played[-1].is_stopped:
                    break
            return self._told(played, versions)
        finally:
            spool.close()

    def _play(self, folder: Path, spool: Spool, version: Version) -> Replayed:
        return replay(
            folder,
            self._config,
            self._roles,
            self._clock,
            spool,
            version,
            self._arguments.assume,
            partial(_tell_played, version.name),
            with_hunts=not self._arguments.no_hunts,
        )

    def _told(self, played: list[Replayed], versions: list[Version]) -> Result:
        first = played[0]
        faults = [one.fault for one in played if one.fault]
        gaps = [*self._gaps, *faults, *(said for one in played for said in unended(one))]
        text = replayed_text(first, self._arguments.assume, gaps)
        data = replayed_data(first, gaps)
        is_whole = all(one.is_whole for one in played) and not gaps
        code = 0 if is_whole else 1
        if len(played) < len(versions):
            text += f"\nPARTIAL: {versions[-1].name} was not played"
        if len(played) == 2:
            names = (versions[0].name, versions[1].name)
            found = differences(first, played[1])
            text += "\n\n" + differences_text(names, found, len(first.cases))
            if not played[1].is_whole:
                text += f"\nPARTIAL: {names[1]} was not played on every hit"
            data |= differences_data(names, found)
            code = 1 if found else code
        if any(one.is_stopped for one in played):
            code = 130
        return Result(code=code, data=data, text=text)

    # -- where the hits come from ------------------------------------------------------------------

    def _search_named(self, name: str | None) -> SearchConfig:
        searches = self._config.searches
        if name is None and len(searches) == 1:
            return next(iter(searches.values()))
        if name is None or name not in searches:
            known = ", ".join(searches) or "none"
            raise _Wrong(f"--search names one of the configured searches: {known}")
        return searches[name]

    def _read_files(self, spool: Spool) -> None:
        search = self._search_named(self._arguments.search)
        siem = self._config.roles.get("siem", "siem")
        bad = 0
        for path in self._arguments.files:
            for number, row in exported_rows(path):
                if isinstance(row, str):
                    bad += 1
                    if bad <= MOST_BAD:
                        self._gaps.append(f"{path}:{number}: {row}")
                    continue
                spool.add(spooled(row, search, siem))
        if bad > MOST_BAD:
            self._gaps.append(f"{bad - MOST_BAD} more bad line(s)")

    def _search(self, spool: Spool) -> None:
        if spool.wish is None and self._arguments.stored:
            self._read_stored(spool)
        wish = spool.wish or self._wish()
        if spool.wish is None:
            spool.add(wish)
        for name, (start, end) in wish.spans.items():
            search = self._search_named(name)
            known = [one for one in spool.slices if one.search == name]
            windows = [
                window
                for first, last in _uncovered(start, end, known)
                for window in slices(first, last)
            ]
            if self._is_stopped:
                self._gaps.append(f"{name}, {stretch(start, end)}: {STOPPED}")
                continue
            rows: list[Row] = []
            past = Past(
                self._roles.siem,
                self._clock,
                rows.append,
                partial(self._keep, spool, search, rows),
            )
            try:
                done = past.search_windows(search.saved_search, windows)
            except KeyboardInterrupt:
                # Between two slices: what no slice covers was not answered.
                self._is_stopped = True
                known = [one for one in spool.slices if one.search == name]
                left = _uncovered(start, end, known)
                self._gaps += [f"{name}, {stretch(*one)}: {STOPPED}" for one in left]
                continue
            for one in done:
                if one.unknown is not None:
                    self._gaps.append(f"{name}, {stretch(one.start, one.end)}: {one.unknown}")
            self._is_stopped = past.is_stopped

    def _read_stored(self, spool: Spool) -> None:
        """The alerts of the journal, which is only read; nothing is asked of the SIEM for them."""
        only = self._looked_back()
        others: Counter[str] = Counter()
        began_at = self._clock.now() - self._arguments.since
        for alert, received_at in stored_alerts(self._config.state_dir, began_at):
            if only in (None, alert.search) and alert.search in self._config.searches:
                hit = spooled(alert.raw, self._config.searches[alert.search], alert.siem)
                spool.add(msgspec.structs.replace(hit, at=hit.at or received_at))
            elif only is None and alert.search != BY_HAND:
                others[alert.search] += 1
        self._gaps += [
            f"{count} stored hit(s) of {name}, which is no search of the configuration any more"
            for name, count in others.items()
        ]
        spool.add(SpooledWish(spans={}))
        _say(f"{len(spool)} stored hit(s)")

    def _looked_back(self) -> str | None:
        """The one search that is meant. Errors: `_Wrong` where nothing can be looked back at."""
        only: str | None = self._arguments.search
        if not self._config.searches:
            raise _Wrong("searches: none is configured, so there is nothing to look back at")
        if only is not None:
            self._search_named(only)
        if not timedelta(0) < self._arguments.since <= MOST_SINCE:
            raise _Wrong(f"--since is at most {MOST_SINCE.days}d")
        return only

    def _wish(self) -> SpooledWish:
        since, only = self._arguments.since, self._looked_back()
        now = int(self._roles.siem.server_time().timestamp())
        return SpooledWish(
            spans={
                name: (now - one.settle_s - int(since.total_seconds()), now - one.settle_s)
                for name, one in self._config.searches.items()
                if only in (None, name)
            }
        )

    def _keep(
        self, spool: Spool, search: SearchConfig, rows: list[Row], one: Slice, left: int
    ) -> None:
        siem = self._config.roles.get("siem", "siem")
        if one.unknown is None:
            for row in rows:
                spool.add(spooled(row, search, siem))
            spool.add(SpooledSlice(search=search.name, start=one.start, end=one.end))
            spool.keep()
        rows.clear()
        what = one.unknown or f"{one.rows} hit(s)"
        _say(f"{search.name}, {stretch(one.start, one.end)}: {what}; {left} to go")


def _uncovered(start: int, end: int, known: list[SpooledSlice]) -> list[tuple[int, int]]:
    """The stretches that no slice covers, newest first."""
    found = []
    for one in sorted(known, key=lambda one: one.end, reverse=True):
        if one.end < end:
            found.append((one.end, end))
        end = min(end, one.start)
    return [*found, *([(start, end)] if start < end else [])]


def _tell_played(name: str, done: int, count: int) -> None:
    _say(f"{name}: {done} of {count} hit(s) played")


def _say(text: str) -> None:
    print(visible(mask_secrets(text)), file=sys.stderr, flush=True)
