"""After an isolation is confirmed, the host's own events are asked (`runner/talk_watch.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import views
from runner.case_stage import stage_of
from runner.isolations import show_isolations
from runner.journal.records import LedgerRow, LedgerState
from runner.journal.talk_records import TalkVerdict
from tests.world import World, running_world
from tests.world_settings import HOST

PEER, FOREIGN, EDR = "WORKSTATION50", "198.51.100.9", "203.0.113.7"
SILENCE: dict[str, Any] = {"silence": {"allowed": ["203.0.113.0/28"]}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, SILENCE) as built:
        yield built


def speak(
    world: World, to: str = FOREIGN, host: str = HOST, age_s: float = 10, **more: Any
) -> None:
    """A connection, as Sysmon on that host writes it down."""
    _event(
        world,
        host,
        age_s,
        EventID=3,
        DestinationIp=to,
        DestinationPort=443,
        Initiated="true",
        Image=r"C:\Windows\System32\svchost.exe",
        **more,
    )


def live(world: World, host: str = HOST, age_s: float = 10) -> None:
    """The start of a process: the host is heard, and speaks with nobody."""
    _event(world, host, age_s, EventID=5, Image=r"C:\Windows\System32\calc.exe")


def _event(world: World, host: str, age_s: float, **more: Any) -> None:
    raw: dict[str, Any] = {"Channel": "Microsoft-Windows-Sysmon/Operational", "Hostname": host}
    raw |= more
    world.splunk.add_event(raw, age_s=age_s, index_age_s=min(age_s, 1))


def isolate(world: World, spoke: tuple[float, ...] = (2500, 1200, 300)) -> None:
    """`spoke`: so many seconds before, it spoke with somebody."""
    world.arm()
    world.hit()
    for age_s in spoke:
        speak(world, age_s=age_s)
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.isolation_state() is LedgerState.CONFIRMED


def quarter(world: World, *events: Callable[[World], None]) -> None:
    """A quarter of an hour and some more go by, with others heard and what is given."""
    for _ in range(11):
        world.clock.advance(120)
        speak(world, host=PEER)
        for event in events:
            event(world)
    world.ticks(2, every_s=5)


def row_of(world: World) -> LedgerRow:
    row = world.isolation()
    assert row is not None
    return row


def verdict(world: World) -> TalkVerdict | None:
    talk = row_of(world).talk
    return None if talk is None else talk.verdict


def shown(world: World) -> str:
    """What `show` says, in one line."""
    return " ".join(views.show_case(world.journal, world.config, world.case().id).text.split())


def test_isolation_when_heard_and_silent_then_confirmed_by_silence_in_thread_ticket_and_show(
    world: World,
) -> None:
    isolate(world)
    question = world.questions()[0]
    quarter(world, live)
    assert verdict(world) is TalkVerdict.SILENT
    said = "confirmed by silence until "
    assert any(said in text for text in world.thread(question))
    assert any(said in text for text in world.ticket_texts())
    assert f"{HOST} isolated, confirmed by the EDR's record and by silence" in shown(world)
    assert said in show_isolations(world.journal, is_all=False).text
    assert world.entries("isolation_heard")[0].payload["verdict"] == "silent"


def test_isolation_when_it_talks_then_a_loud_contradiction_and_nothing_is_done(
    world: World,
) -> None:
    isolate(world)
    question = world.questions()[0]
    effects = (world.contains(), world.lifts(), len(world.questions()))
    quarter(world, live, speak)
    assert verdict(world) is TalkVerdict.TALKING
    assert world.isolation_state() is LedgerState.CONFIRMED
    said = "CONTRADICTION: isolated, says the EDR, yet it talks: 11 connection(s)"
    assert [text for text in world.thread(question) if said in text]
    assert any(said in text for text in world.ticket_texts())
    assert f"{HOST} isolated, says the EDR's record, YET IT TALKS" in shown(world)
    assert "isolated, confirmed by the EDR's record" not in shown(world)
    isolations = show_isolations(world.journal, is_all=False)
    assert isolations.code == 1
    assert isolations.data[0]["talked_with"] == [FOREIGN]
    status = views.show_status(world.journal, world.config, None).text
    assert f"A PERSON IS NEEDED: {HOST} " in status
    case = world.case()
    with world.journal.read() as tx:
        assert stage_of(tx, case) == "on_hold"
    assert (world.contains(), world.lifts(), len(world.questions())) == effects


def test_isolation_when_nothing_at_all_is_heard_of_it_then_silence_proves_nothing(
    world: World,
) -> None:
    isolate(world)
    question = world.questions()[0]
    quarter(world)
    assert verdict(world) is TalkVerdict.UNPROVED
    assert "not confirmed by silence: nothing at all of it is heard since" in shown(world)
    assert "and by silence" not in shown(world)
    assert not [text for text in world.thread(question) if "silence" in text]
    # Its events come later, in one go: the next look, twice as far off, sees them.
    quarter(world, live)
    assert verdict(world) is TalkVerdict.SILENT


def test_isolation_when_it_is_heard_to_talk_late_then_what_was_confirmed_is_taken_back(
    world: World,
) -> None:
    isolate(world)
    quarter(world, live)
    assert verdict(world) is TalkVerdict.SILENT
    quarter(world, live, speak)
    assert verdict(world) is TalkVerdict.TALKING
    # And it is not acquitted by being silent from then on, nor by a look that fails.
    world.splunk.misbehave(method="POST", path="*/jobs", status=403, times=None, body="{}")
    for _ in range(3):
        quarter(world, live)
    world.splunk.behave()
    assert verdict(world) is TalkVerdict.TALKING
    contradictions = [t for t in world.thread(world.questions()[0]) if "CONTRADICTION" in t]
    assert len(contradictions) == 1


def test_isolation_when_only_allowed_addresses_are_spoken_with_then_silent(world: World) -> None:
    isolate(world)
    quarter(world, lambda w: speak(w, EDR))
    assert verdict(world) is TalkVerdict.SILENT


def test_isolation_when_all_are_busy_then_the_newest_events_stand_for_all(world: World) -> None:
    isolate(world)

    def busy(world: World) -> None:
        for age_s in range(20):
            speak(world, host=PEER, age_s=age_s)

    quarter(world, live, busy)
    assert verdict(world) is TalkVerdict.SILENT


def test_isolation_when_it_spoke_once_in_an_hour_then_its_silence_proves_nothing(
    world: World,
) -> None:
    isolate(world, (2500,))
    quarter(world, live)
    assert verdict(world) is TalkVerdict.UNPROVED
    assert "not confirmed by silence: it spoke too rarely before" in shown(world)


def test_isolation_when_logging_was_changed_before_or_after_then_silence_proves_nothing(
    world: World,
) -> None:
    _event(world, HOST, 900, EventID=16)
    isolate(world)
    quarter(world, live)
    assert verdict(world) is TalkVerdict.UNPROVED
    assert "not confirmed by silence: its logging was changed or stopped" in shown(world)


def test_isolation_when_a_neighbor_behind_the_gateway_is_spoken_with_then_it_talks(
    world: World,
) -> None:
    isolate(world)
    device = row_of(world).device
    (shared,) = device.shared_addresses
    assert shared in device.addresses
    quarter(world, live, lambda w: speak(w, shared))
    assert verdict(world) is TalkVerdict.TALKING


def test_isolation_when_a_twin_of_another_domain_is_heard_then_neither_is_taken_for_the_other(
    world: World,
) -> None:
    world.falcon.set_device(HOST, machine_domain="corp.example.test")
    isolate(world)
    twin = f"{HOST}.twin.test"
    quarter(world, live, lambda w: speak(w, host=twin, dvc=HOST))
    assert verdict(world) is TalkVerdict.UNPROVED
    assert "not confirmed by silence: 2 hosts of that name are heard" in shown(world)


def test_isolation_when_the_search_fails_then_not_confirmed_and_looked_at_again(
    world: World,
) -> None:
    isolate(world)
    world.splunk.misbehave(method="POST", path="*/jobs", status=403, times=1, body="{}")
    quarter(world, live)
    assert verdict(world) is TalkVerdict.UNPROVED
    assert "not confirmed by silence: not searched" in shown(world)
    quarter(world, live)
    assert verdict(world) is TalkVerdict.SILENT


def test_looks_when_they_have_all_been_made_then_nobody_asks_any_more(tmp_path: Path) -> None:
    changes = {"silence": {**SILENCE["silence"], "looks": 2}}
    with running_world(tmp_path, changes) as world:
        isolate(world)
        for _ in range(3):
            quarter(world, live)
        talk = row_of(world).talk
        assert talk is not None
        assert (talk.looks, talk.due_at) == (2, None)
        sent = len(world.sent)
        world.ticks(2, every_s=3600)
        listened = [line for line in world.sent[sent:] if "POST" in line and line.endswith("/jobs")]
        assert listened == []


def test_isolation_when_nothing_is_configured_then_nothing_is_claimed(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        isolate(world)
        quarter(world, live)
        assert row_of(world).talk is None
        assert "silence" not in shown(world)


def test_isolation_when_released_then_nobody_listens_any_more(world: World) -> None:
    isolate(world)
    assert world.release(HOST).code == 0
    world.tick()
    world.yes(world.question())
    world.ticks(2, every_s=60)
    assert world.isolation_state() is LedgerState.RELEASED
    quarter(world, speak)
    assert row_of(world).talk is None
