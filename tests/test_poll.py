"""No hit is lost and none counts twice, whatever Splunk does; and blind is told apart from quiet.

The real runner polls the real stand-in; a poll goes wrong as a Splunk goes wrong, by its answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.emulators.faults import HTML_502, QUOTA_503
from connectors.http import Runtime
from runner import commands, views
from runner.journal import Journal, cases, polls
from runner.service import Service
from runner.ticks import run_once
from tests.fake_clock import FakeClock
from tests.polling import (
    SEEN,
    cmdlines,
    dispatches,
    poll,
    polling_world,
    records,
    store,
    store_many,
    watermark,
)
from tests.world import World
from tests.world_settings import SEARCH

FIVE_MINUTES = timedelta(minutes=5)
CANARY = {"searches": {SEARCH: {"canary": "Stockade canary"}}}
FIELDS_OF_THE_TABLE = {"identity": ["_time", "cmdline", "host"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One poll was good; the next one comes after the window's overlap was."""
    with polling_world(tmp_path) as found:
        assert poll(found).code == 0
        yield found


# -- each hit once ---------------------------------------------------------------------------------


def test_poll_when_an_event_is_indexed_hours_after_it_happened_then_it_is_found(
    world: World,
) -> None:
    store(world, age_s=3 * 3600, index_age_s=10)
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    assert records(world.journal)[-1].late == 1


def test_poll_when_an_event_shows_in_searches_after_its_window_then_the_overlap_finds_it(
    world: World,
) -> None:
    store(world, index_age_s=30, visible_in_s=90)
    poll(world)
    assert cmdlines(world) == []
    before = watermark(world)
    assert before is not None
    assert world.splunk._added[-1].indexed_at < before, "the watermark has passed it"
    poll(world)
    assert len(cmdlines(world)) == 1


def test_poll_when_windows_overlap_then_a_hit_is_one_alert_of_one_case(world: World) -> None:
    store(world)
    for _ in range(4):
        assert poll(world).code == 0
    (case,) = world.cases()
    assert case.alert_count == 1
    assert [(one.new, one.known) for one in records(world.journal)] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (0, 1),
        (0, 1),
    ]


def test_poll_when_two_events_share_the_second_at_the_edge_then_each_is_taken_once(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {"searches": {SEARCH: {"overlap_s": 0}}}) as world:
        poll(world)
        edge = watermark(world)
        assert edge is not None
        now = world.clock.now().timestamp()
        for number, at in ((1, edge - 1), (2, edge), (3, edge)):
            store(world, number, index_age_s=now - at)
        poll(world)
        assert [text[-5] for text in cmdlines(world)] == ["2", "3"]
        poll(world)
        assert [text[-5] for text in cmdlines(world)] == ["2", "3"]


def test_poll_when_a_lookup_column_changes_then_the_identity_list_keeps_the_hit_known(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {"searches": {SEARCH: FIELDS_OF_THE_TABLE}}) as world:
        store(world)
        poll(world)
        enrich(world)
        poll(world)
        assert records(world.journal)[-1].known == 1
        (case,) = world.cases()
        assert case.alert_count == 1


def test_poll_when_no_identity_is_configured_then_a_changed_column_is_a_repeat_of_the_case(
    world: World,
) -> None:
    store(world)
    poll(world)
    enrich(world)
    poll(world)
    (case,) = world.cases()
    assert case.alert_count == 2
    assert len(world.runs()) == 1


def enrich(world: World) -> None:
    """The saved search returns one more column, as after a lookup was added."""
    world.splunk.saved["WMIC format hits"]["search"] += ", EventCode"


def test_poll_when_two_command_lines_are_two_cases_then_they_are_linked(world: World) -> None:
    store(world, 1)
    store(world, 2)
    poll(world)
    first, second = world.cases()
    assert first.linked == (second.id,)
    assert second.linked == (first.id,)
    assert len(world.runs()) == 2


# -- what a poll asks ------------------------------------------------------------------------------


def test_poll_when_asked_then_the_window_is_index_time_by_splunks_clock_and_fires_no_action(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        ahead = FakeClock(world.clock.now() + timedelta(hours=5))
        world.splunk.clock = ahead
        poll(world)
        asked = {name: values[0] for name, values in parse_qs(dispatches(world.splunk)[0]).items()}
        assert asked["trigger_actions"] == "0"
        assert asked["dispatch.auto_cancel"] == "300"
        latest = int(asked["dispatch.index_latest"])
        assert abs(latest - (ahead.now().timestamp() - 5)) <= 1
        assert int(asked["dispatch.index_earliest"]) == latest - 3600
        assert int(asked["dispatch.earliest_time"]) == latest - 3600 - 7 * 86400
        assert int(asked["dispatch.latest_time"]) == latest + 86400
        assert watermark(world) == latest


def test_poll_when_it_has_ended_then_its_job_is_freed(world: World) -> None:
    store(world)
    poll(world)
    assert world.splunk.jobs == {}


def test_poll_when_splunk_was_set_back_then_the_watermark_follows_and_no_hit_is_lost(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.splunk.clock = FakeClock(world.clock.now() + timedelta(hours=1))
        poll(world)
        ahead = watermark(world)
        world.splunk.clock = world.clock
        store(world, index_age_s=0)
        assert poll(world, 120).code == 0
        after = watermark(world)
        assert ahead is not None
        assert after is not None
        assert after < ahead - 3000
        assert len(cmdlines(world)) == 1


# -- what goes wrong -------------------------------------------------------------------------------


def answering(path: str, **how: Any) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.splunk.misbehave(path=path, **how)

    return spoil


def job(**how: Any) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.splunk.spoil_job(**how)

    return spoil


def quota(world: World) -> None:
    world.splunk.misbehave(QUOTA_503, path="*/dispatch")


def proxy(path: str) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.splunk.misbehave(HTML_502, path=path, times=None)

    return spoil


def spoiled(*faults: Callable[[World], None]) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        for fault in faults:
            fault(world)

    return spoil


REFUSED = '{"messages":[{"type":"WARN","text":"call not properly authenticated"}]}'
REFUSED_XML = (
    '<response><messages><msg type="WARN">call not authenticated</msg></messages></response>'
)
GONE = '{"messages":[{"type":"FATAL","text":"Unknown sid."}]}'
FATAL = (("FATAL", "Error in 'litsearch': the license has expired"),)
NO_ROWS = '{"preview":false,"init_offset":0,"messages":[],"results":[]}'

# What Splunk does → the words by which a person knows it.
FAULTS: dict[str, tuple[Callable[[World], None], str]] = {
    "401": (answering("*", status=401, body=REFUSED, times=None), "not properly authenticated"),
    "401 in XML": (
        answering("*", status=401, body=REFUSED_XML, content_type="text/xml", times=None),
        "call not authenticated",
    ),
    "403 on the rows": (answering("*/results", status=403, body=REFUSED), "not properly"),
    "404 for the saved search": (
        answering("*/dispatch", status=404, body='{"messages":[]}'),
        "no saved search 'WMIC format hits'",
    ),
    "503 quota": (quota, "concurrency_limit=6"),
    "502 of a proxy": (proxy("*/dispatch"), "502 Bad Gateway"),
    "502 everywhere": (proxy("*"), "502 Bad Gateway"),
    "200 with nothing": (answering("*/dispatch", body=""), "an empty body"),
    "200 without a sid": (answering("*/dispatch", body="{}"), "named no job"),
    "the answer is lost": (answering("*/dispatch", lose_answer=True), "splunk:"),
    "the call never arrives": (answering("*/dispatch", refuse=True, times=None), "splunk:"),
    "no status": (answering("*/jobs/*", body="{}", times=None), "without the entry"),
    "the job fails": (
        job(content={"isFailed": True, "dispatchState": "FAILED"}, messages=FATAL),
        "license has expired",
    ),
    "done and FATAL": (job(messages=FATAL), "license has expired"),
    "somebody cancels the job": (job(content={"dispatchState": "USER_CANCEL"}), "USER_CANCEL"),
    "the pages end early": (answering("*/results", body=NO_ROWS), "rows end after 0 of 1"),
    "the rows are cut": (answering("*/results", cut_after_bytes=40, times=3), "splunk:"),
    "the rows are no JSON": (proxy("*/results"), "502 Bad Gateway"),
    "the rows have expired": (answering("*/results", status=404, body=GONE), "job expired"),
    "only previews": (answering("*/results", body='{"preview":true,"results":[]}'), "preview"),
    "rows and FATAL": (
        answering("*/results", body='{"messages":[{"type":"FATAL","text":"lost"}],"results":[{}]}'),
        "FATAL: lost",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_poll_when_splunk_fails_then_one_sentence_the_watermark_stands_and_the_next_catches_up(
    world: World, fault: str
) -> None:
    spoil, words = FAULTS[fault]
    before = watermark(world)
    store(world)
    spoil(world)
    failed = poll(world)
    assert failed.code == 1
    assert words in failed.text
    assert failed.text.startswith(f"search {SEARCH}: ")
    assert "\n" not in failed.text
    assert watermark(world) == before
    assert cmdlines(world) == []
    record = records(world.journal)[-1]
    assert not record.ok
    assert record.error is not None
    assert words in record.error
    assert record.watermark_after == record.watermark_before == before
    world.splunk.behave()
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    assert len(world.cases()) == 1
    after = watermark(world)
    assert before is not None
    assert after is not None
    assert after > before


def test_poll_when_splunk_is_down_for_hours_then_the_window_reaches_back_to_the_watermark(
    world: World,
) -> None:
    port = world.splunk.address[1]
    before = watermark(world)
    store(world)
    world.splunk.stop()
    for _ in range(3):
        failed = poll(world, 7200)
        assert failed.code == 1
        assert "splunk: " in failed.text
    assert watermark(world) == before
    assert [one.ok for one in records(world.journal)] == [True, False, False, False]
    world.splunk.start(port)
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    window = records(world.journal)[-1].window
    assert window is not None
    assert before is not None
    assert window.start == before - 300


def test_poll_when_a_search_peer_is_down_then_rows_are_taken_and_the_watermark_stays(
    world: World,
) -> None:
    before = watermark(world)
    store(world)
    world.splunk.spoil_job(messages=(("WARN", "Unable to distribute to peer idx2"),))
    result = poll(world)
    assert result.code == 1
    assert "incomplete" in result.text
    assert "idx2" in result.text
    assert len(cmdlines(world)) == 1, "the rows that came are judged"
    record = records(world.journal)[-1]
    assert record.incomplete is not None
    assert "idx2" in record.incomplete
    assert (record.ok, record.new, watermark(world)) == (False, 1, before)
    store(world, 2)
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 2


def test_poll_when_a_warning_is_declared_harmless_then_the_watermark_moves(tmp_path: Path) -> None:
    options = {"options": {"ignored_warnings": ["Unable to distribute"]}}
    with polling_world(tmp_path, {"connectors": {"splunk": options}}) as world:
        world.splunk.spoil_job(messages=(("WARN", "Unable to distribute to peer idx2"),))
        assert poll(world).code == 0
        assert watermark(world) is not None


def test_poll_when_splunk_forgets_the_job_then_the_same_window_is_asked_again(
    world: World,
) -> None:
    store(world)
    world.before.append(("GET /services/search/v2/jobs/*", world.splunk.drop_jobs))
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    first, second = dispatches(world.splunk)[-2:]
    assert first == second


def test_poll_when_splunk_forgets_every_job_then_it_gives_up_instead_of_starting_on_and_on(
    world: World,
) -> None:
    before = watermark(world)
    begun = len(dispatches(world.splunk))
    world.splunk.misbehave(method="GET", path="*/jobs/*", status=404, body=GONE, times=None)
    result = poll(world)
    assert result.code == 1
    assert "forgot 4 searches" in result.text
    assert len(dispatches(world.splunk)) - begun == 4
    assert watermark(world) == before


def test_poll_when_a_job_is_not_ready_then_it_is_looked_at_again_and_later_ticks_go_on(
    world: World,
) -> None:
    store(world)
    world.splunk.tune(job_s=50.0)
    begun = len(dispatches(world.splunk))
    assert poll(world).code == 0
    assert cmdlines(world) == []
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    assert len(dispatches(world.splunk)) - begun == 1, (
        "the second tick went on with the first's job"
    )


def test_poll_when_a_job_never_ends_then_it_is_given_up_after_ten_minutes_and_freed(
    world: World,
) -> None:
    before = watermark(world)
    world.splunk.spoil_job(never_done=True)
    results = [poll(world)]
    while "within ten minutes" not in results[-1].text and len(results) < 12:
        results.append(poll(world))
    failed = results[-1]
    assert 8 <= len(results) <= 11
    assert (results[0].code, results[5].code) == (0, 1)
    assert "has not ended yet" in results[5].text
    assert "did not end within ten minutes" in failed.text
    assert watermark(world) == before
    assert world.splunk.jobs == {}
    assert poll(world).code == 0


def test_poll_when_a_slot_cannot_be_freed_then_the_poll_is_good_all_the_same(
    world: World,
) -> None:
    store(world)
    world.splunk.misbehave(path="*/control", status=500, body="{}", times=None)
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1
    assert records(world.journal)[-1].ok


def test_poll_when_one_search_fails_then_the_other_is_polled_all_the_same(tmp_path: Path) -> None:
    other = {"saved_search": "Nobody made this one", "playbook": "seen"}
    with polling_world(tmp_path, {"searches": {"another": other}}) as world:
        store(world)
        result = poll(world)
        assert result.code == 1
        assert result.text.startswith("search another: ")
        assert len(cmdlines(world)) == 1


# -- more rows than Splunk gives -------------------------------------------------------------------


def test_poll_when_the_row_cap_is_met_then_the_window_is_halved_until_all_rows_have_come(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {"connectors": {"splunk": {"options": {"row_cap": 6}}}}) as world:
        world.clock.advance(600)
        store_many(world.splunk, 37, spread_s=500)
        assert poll(world).code == 0
        found = cmdlines(world)
        assert len(found) == len(set(found)) == 37
        parts = [one.window for one in records(world.journal)]
        assert len(parts) > 6
        edges = [(part.start, part.end) for part in parts if part is not None]
        assert all(end == start for (_, end), (start, _) in pairwise(edges))
        assert watermark(world) == edges[-1][1]
        assert edges[-1][1] - edges[0][0] == 3600
        assert [one.watermark_after for one in records(world.journal)[:-1]] == [None] * (
            len(parts) - 1
        )


def test_poll_when_a_part_of_a_halved_window_fails_then_the_whole_is_asked_again(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {"connectors": {"splunk": {"options": {"row_cap": 6}}}}) as world:
        world.clock.advance(600)
        store_many(world.splunk, 20, spread_s=500)
        world.splunk.misbehave(QUOTA_503, path="*/dispatch", skip=5)
        assert poll(world).code == 1
        assert watermark(world) is None
        assert poll(world).code == 0
        assert len(cmdlines(world)) == 20


def test_poll_when_one_second_has_more_rows_than_the_cap_then_it_stays_incomplete_and_says_so(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {"connectors": {"splunk": {"options": {"row_cap": 3}}}}) as world:
        for number in range(4):
            store(world, number, index_age_s=0)
        result = poll(world)
        assert result.code == 1
        assert "incomplete" in result.text
        assert len(cmdlines(world)) == 3
        assert watermark(world) is None


def test_poll_when_thousands_of_rows_come_then_transactions_and_pages_stay_bounded(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(600)
        store_many(world.splunk, 5200, spread_s=500)
        world.clock.advance(60)
        world.journal.close()
        seen: list[int] = []

        def count() -> None:
            with reader.read() as tx:
                seen.append(cases.last_alert_number(tx))

        reader = Journal(world.config.state_dir, world.clock)
        journal = Journal(world.config.state_dir, world.clock, on_commit=count)
        runtime = Runtime(clock=world.clock, emulated=True)
        commands.pause(journal, "test", "only the poll is looked at")
        assert run_once(Service(world.config, journal, runtime), is_detailed=False).code == 0
        assert seen[-1] == 5200
        assert max(after - before for before, after in pairwise(seen)) <= 1000
        asked = [parse_qs(one.body) for one in world.splunk.requests if "/results" in one.path]
        assert [(one["offset"], one["count"]) for one in asked] == [
            (["0"], ["5000"]),
            (["5000"], ["200"]),
        ]
        journal.close()
        reader.close()


def test_poll_when_one_machine_makes_a_flood_of_cases_then_links_stay_few(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(600)
        store_many(world.splunk, 300, host="WS-1", spread_s=500)
        commands.pause(world.journal, "test", "only the poll is looked at")
        assert poll(world).code == 0
        with world.journal.read() as tx:
            found = cases.every(tx, limit=1000)
        assert len(found) == 300
        assert max(len(case.linked) for case in found) <= 20
        assert min(len(case.linked) for case in found) >= 1


# -- playbooks -------------------------------------------------------------------------------------


def test_poll_when_the_playbook_is_missing_then_the_hit_waits_and_the_watermark_with_it(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, playbook=None) as world:
        store(world)
        result = poll(world)
        assert result.code == 1
        assert "hits are not judged" in result.text
        assert "seen: it is nowhere" in result.text
        assert "\n" not in result.text
        assert (watermark(world), cmdlines(world), world.cases()) == (None, [], [])
        (world.folder / "playbooks" / "seen.yaml").write_text(SEEN)
        assert poll(world).code == 0, "a mended playbook is taken without a restart"
        assert len(cmdlines(world)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SEEN.replace("stop", "halt").encode(), "and 0 more"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"playbook: [", "seen.yaml"),
    ],
    ids=["an unknown step", "not UTF-8", "not YAML"],
)
def test_poll_when_the_playbook_cannot_be_read_then_the_hit_waits(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with polling_world(tmp_path) as world:
        (world.folder / "playbooks" / "seen.yaml").write_bytes(content)
        store(world)
        result = poll(world)
        assert result.code == 1
        assert "hits are not judged" in result.text
        assert words in result.text or "seen.yaml" in result.text
        assert "\n" not in result.text
        assert (watermark(world), world.cases()) == (None, [])
        assert not records(world.journal)[-1].ok


def test_poll_when_no_hit_needs_the_playbook_then_a_missing_one_stops_no_poll(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, playbook=None) as world:
        assert poll(world).code == 0
        assert watermark(world) is not None


# -- quiet or blind --------------------------------------------------------------------------------


def silence(world: World) -> None:
    """The role may read no index any more: every search is empty and none is refused."""
    for saved in world.splunk.saved.values():
        saved["search"] = 'index=* sourcetype="none of these"'


def test_canary_when_it_sings_and_nothing_was_hit_then_the_runner_is_quiet(tmp_path: Path) -> None:
    with polling_world(tmp_path, CANARY) as world:
        assert poll(world).code == 0
        status = views.show_status(world.journal, world.config, FIVE_MINUTES)
        assert status.code == 0
        assert "BLIND" not in status.text
        assert status.data["blind"] == []


def test_canary_when_it_never_sang_then_the_runner_is_blind(tmp_path: Path) -> None:
    with polling_world(tmp_path, CANARY) as world:
        silence(world)
        result = poll(world)
        assert result.code == 1
        assert "blind, not quiet" in result.text
        assert_blind(world)


def test_canary_when_it_falls_silent_then_the_runner_is_blind_at_once(tmp_path: Path) -> None:
    with polling_world(tmp_path, CANARY) as world:
        assert poll(world).code == 0
        silence(world)
        assert poll(world).code == 0, "the canary is heard every five minutes"
        result = poll(world, 301)
        assert result.code == 1
        assert "blind, not quiet" in result.text
        assert_blind(world)


def assert_blind(world: World) -> None:
    status = views.show_status(world.journal, world.config, FIVE_MINUTES)
    assert status.code == 1
    assert "BLIND: its canary is silent" in status.text
    assert status.data["blind"] == [f"{SEARCH}: its canary is silent"]
    assert any(one.canary is False for one in records(world.journal))


def test_canary_when_it_cannot_be_asked_once_then_the_runner_is_not_blind_yet(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, CANARY) as world:
        assert poll(world).code == 0
        world.splunk.misbehave(QUOTA_503, path="*canary/dispatch")
        assert poll(world, 301).code == 1
        assert views.show_status(world.journal, world.config, FIVE_MINUTES).code == 0
        assert poll(world).code == 0


def test_status_when_no_poll_was_whole_for_too_long_then_the_runner_is_dead_or_blind(
    world: World,
) -> None:
    assert views.show_status(world.journal, world.config, FIVE_MINUTES).code == 0
    world.clock.advance(301)
    status = views.show_status(world.journal, world.config, FIVE_MINUTES)
    assert status.code == 1
    assert re.search(r"BLIND: its last whole poll was \d+ min ago", status.text)
    assert views.show_status(world.journal, world.config, None).code == 0, "only when asked"


def test_status_when_the_last_poll_failed_then_its_sentence_is_shown(world: World) -> None:
    world.splunk.misbehave(QUOTA_503, path="*/dispatch")
    poll(world)
    status = views.show_status(world.journal, world.config, FIVE_MINUTES)
    assert "last error: splunk: " in status.text
    assert "concurrency_limit=6" in status.text


def test_status_when_never_polled_then_blind(tmp_path: Path) -> None:
    with polling_world(tmp_path) as world:
        status = views.show_status(world.journal, world.config, FIVE_MINUTES)
        assert status.code == 1
        assert "never polled to the end" in status.text


# -- history ---------------------------------------------------------------------------------------


def test_poll_when_it_is_done_then_its_record_tells_window_counts_and_both_watermarks(
    world: World,
) -> None:
    store(world, 1)
    poll(world)
    store(world, 2)
    poll(world)
    with world.journal.read() as tx:
        last = polls.last(tx, SEARCH)
    assert last is not None
    assert last.window is not None
    assert (last.rows, last.new, last.known, last.ok) == (2, 1, 1, True)
    assert last.watermark_after == last.window.end
    assert last.watermark_before == last.window.start + 300
    assert last.at <= world.clock.now()


def test_poll_when_the_watermark_is_lost_then_known_hits_stay_known(world: World) -> None:
    store(world)
    poll(world)
    with world.journal.write() as tx:
        tx.change("delete from watermark")
    poll(world)
    assert len(world.cases()) == 1
    assert len(world.runs()) == 1
    assert records(world.journal)[-1].known == 1
