"""Negative twins of the chain: what must not happen, on the same real servers and hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner import views
from runner.journal.records import ApprovalState, LedgerState
from runner.journal.talk_records import TalkVerdict
from tests.real.bindings import own_cmdline, with_matrix, with_rt
from tests.real.chain import NO, YES
from tests.real.reaching import ALL, CUT, paths
from tests.real.rt_server import RtServer
from tests.real.sensors import observed_paths
from tests.real.synapse_server import SynapseServer, User
from tests.servers.lab.network import MANAGEMENT, Network
from tests.world import World, running_world
from tests.world_settings import HOST, merged

SILENCE: dict[str, Any] = {"silence": {"allowed": [MANAGEMENT]}}


def people(synapse: SynapseServer, folder: Path) -> tuple[User, User, dict[str, Any]]:
    """Two approvers in a room with the bot, and the change that binds that room."""
    lead, alice, bot = synapse.user("lead"), synapse.user("alice"), synapse.user("stockade")
    room = lead.create_room([alice, bot])
    return lead, alice, with_matrix(folder, bot, room, lead, alice)


def card_of(world: World) -> tuple[str, str]:
    """The room and the event of the only question."""
    message = world.question().message
    assert message is not None
    return message.channel, message.id


def quarter(world: World, lab: Network) -> None:
    """A quarter of an hour and some more, in which the hosts try their ways now and then."""
    for _ in range(5):
        world.clock.advance(280)
        observed_paths(lab, world.splunk)
    world.ticks(2, every_s=5)


def test_approval_when_withdrawn_before_the_quorum_then_nobody_is_cut_off(
    synapse_server: SynapseServer, lab: Network, tmp_path: Path
) -> None:
    lead, alice, bound = people(synapse_server, tmp_path)
    changes = merged(bound, {"approvals": {"quorum": 2}})
    with running_world(tmp_path, changes, hook=lab.act) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        room, card = card_of(world)
        question = world.question()
        yes = lead.react(room, card, YES)
        world.ticks(2, 10)
        assert world.again(question).state is ApprovalState.OPEN
        lead.redact(room, yes)
        alice.react(room, card, YES)
        world.ticks(3, 10)
        assert world.again(question).state is ApprovalState.OPEN
        assert world.contains() == []
        assert paths(lab) == ALL
        lead.react(room, card, YES)
        world.ticks(2, 10)
        assert world.contains() == [HOST]
        assert paths(lab) == CUT


def test_approval_when_somebody_says_no_beside_a_yes_then_nobody_is_cut_off(
    synapse_server: SynapseServer, lab: Network, tmp_path: Path
) -> None:
    lead, alice, bound = people(synapse_server, tmp_path)
    with running_world(tmp_path, bound, hook=lab.act) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        room, card = card_of(world)
        question = world.question()
        lead.react(room, card, NO)
        alice.react(room, card, YES)
        world.ticks(2, 10)
        assert world.again(question).state is ApprovalState.DENIED
        assert world.contains() == []
        assert paths(lab) == ALL


def test_isolation_when_the_hosts_are_heard_and_silent_then_confirmed_by_silence(
    lab: Network, tmp_path: Path
) -> None:
    with running_world(tmp_path, SILENCE, hook=lab.act) as world:
        isolate(world, lab)
        assert paths(lab) == CUT
        quarter(world, lab)
        assert verdict(world) is TalkVerdict.SILENT


def test_isolation_when_the_edr_says_so_and_nothing_is_cut_then_its_events_contradict(
    lab: Network, tmp_path: Path
) -> None:
    with running_world(tmp_path, SILENCE, hook=lambda _action, _host: True) as world:
        isolate(world, lab)
        assert world.isolation_state() is LedgerState.CONFIRMED
        assert paths(lab) == ALL
        quarter(world, lab)
        assert verdict(world) is TalkVerdict.TALKING
        shown = views.show_case(world.journal, world.config, world.case().id).text
        assert "YET IT TALKS" in " ".join(shown.split())
        assert world.contains() == [HOST]
        assert world.lifts() == []


def isolate(world: World, lab: Network) -> None:
    # Who never speaks proves nothing by being silent: they speak all through the hour before.
    for _ in range(7):
        observed_paths(lab, world.splunk)
        world.clock.advance(500)
    observed_paths(lab, world.splunk)
    world.arm()
    world.hit(cmdline=own_cmdline())
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.isolation_state() is LedgerState.CONFIRMED


def verdict(world: World) -> TalkVerdict | None:
    row = world.isolation()
    return None if row is None or row.talk is None else row.talk.verdict


@pytest.mark.parametrize("expires", ["splunk", "falcon"])
def test_case_when_a_credential_expires_in_mid_run_then_cut_off_once_and_hunted(
    rt_server: RtServer, lab: Network, tmp_path: Path, expires: str
) -> None:
    signed_in = {"username": {"file": "secrets/splunk.username"}}
    signed_in |= {"password": {"file": "secrets/splunk.password"}}
    splunk = {"connectors": {"splunk": {"credentials": {"token": None, **signed_in}}}}
    changes = merged(with_rt(rt_server, tmp_path), splunk)
    with running_world(tmp_path, changes, hook=lab.act) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        if expires == "splunk":
            world.before.append(("POST */search/v2/jobs", world.splunk.expire_sessions))
        world.tick()
        if expires == "falcon":
            rule = "POST /devices/entities/devices-actions/*action_name=contain"
            world.before.append((rule, world.falcon.expire_tokens))
        world.yes(world.question())
        world.ticks(3, every_s=60)
        assert world.before == [], "it never expired"
        assert world.contains() == [HOST]
        assert paths(lab) == CUT
        shown = views.show_case(world.journal, world.config, world.case().id).text
        assert "not searched: HTTP 401" not in shown
        ticket = world.case().ticket
        assert ticket is not None
        texts = [part.content.decode() for part in rt_server.parts(ticket.id)]
        assert any(f"{HOST} isolated, confirmed by the EDR" in text for text in texts)
        # RT answers well to a refused PUT: nothing that a case does may rest on one.
        asked = [line for line in world.sent if "/REST/2.0/" in line]
        assert {line.split()[0] for line in asked} == {"GET", "POST"}


def test_case_when_rt_drops_a_field_then_the_ticket_says_which_and_all_goes_on(
    rt_server: RtServer, tmp_path: Path
) -> None:
    dropped = {"connectors": {"rt": {"options": {"fields": {"Severity": "apocalyptic"}}}}}
    with running_world(tmp_path, merged(with_rt(rt_server, tmp_path), dropped)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        world.yes(world.question())
        world.tick()
        assert world.contains() == [HOST]
        ticket = world.case().ticket
        assert ticket is not None
        texts = [part.content.decode() for part in rt_server.parts(ticket.id)]
        told = [text for text in texts if "did not keep what was sent for: Severity" in text]
        assert len(told) == 1, texts
