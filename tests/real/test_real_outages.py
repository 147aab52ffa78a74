"""Servers that go away in the middle, and come back: nothing is lost, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

from runner.journal.records import ApprovalState
from tests.real.bindings import own_cmdline, with_matrix, with_rt
from tests.real.chain import YES, key_of
from tests.real.rt_server import RtServer
from tests.real.synapse_server import SynapseServer, User
from tests.world import running_world
from tests.world_settings import HOST, merged


def test_case_when_rt_is_down_for_three_ticks_then_one_ticket_that_tells_all(
    rt_server: RtServer, tmp_path: Path
) -> None:
    with running_world(tmp_path, with_rt(rt_server, tmp_path)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        rt_server.process.stop()
        try:
            ticks = [world.tick(), *world.ticks(1, every_s=60)]
            world.yes(world.question())
            ticks += world.ticks(1, every_s=60)
        finally:
            rt_server.process.start()
        assert len(ticks) == 3
        assert world.contains() == [HOST]
        assert world.case().ticket is None
        world.ticks(4, every_s=120)
        ticket = world.case().ticket
        assert ticket is not None
        assert rt_server.ids_of(key_of(world.case())) == [ticket.id]
        texts = [part.content.decode() for part in rt_server.parts(ticket.id)]
        assert any(f"{HOST} isolated, confirmed by the EDR" in text for text in texts)


def test_case_when_rt_goes_down_after_the_ticket_was_opened_then_its_news_are_told_once(
    rt_server: RtServer, tmp_path: Path
) -> None:
    with running_world(tmp_path, with_rt(rt_server, tmp_path)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        ticket = world.case().ticket
        assert ticket is not None
        rt_server.process.stop()
        try:
            world.yes(world.question())
            ticks = [world.tick(), *world.ticks(2, every_s=60)]
        finally:
            rt_server.process.start()
        assert world.contains() == [HOST]
        assert all(any("no connection" in said for said in tick.errors) for tick in ticks[1:])
        world.ticks(4, every_s=120)
        assert rt_server.ids_of(key_of(world.case())) == [ticket.id]
        texts = [part.content.decode() for part in rt_server.parts(ticket.id)]
        told = [text for text in texts if f"{HOST} isolated, confirmed by the EDR" in text]
        assert len(told) == len(set(told)) >= 1


def test_question_when_synapse_restarts_then_one_card_and_the_vote_counts_once(
    synapse_server: SynapseServer, tmp_path: Path
) -> None:
    server = synapse_server
    lead, alice, bot = server.user("lead"), server.user("alice"), server.user("stockade")
    room = lead.create_room([alice, bot])
    changes = with_matrix(tmp_path, bot, room, lead, alice)
    with running_world(tmp_path, merged(changes, {"approvals": {"quorum": 2}})) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        question = world.question()
        assert question.message is not None
        lead.react(room, question.message.id, YES)
        world.ticks(1, 10)
        server.process.stop()
        try:
            blind = world.ticks(3, 10)
        finally:
            server.process.start()
        assert all(tick.errors for tick in blind)
        assert world.again(question).state is ApprovalState.OPEN
        world.ticks(2, 10)
        assert world.again(question).state is ApprovalState.OPEN
        assert cards(lead, bot, room) == [question.message.id]
        alice.react(room, question.message.id, YES)
        world.ticks(2, 10)
        decided = world.again(question)
        assert decided.state is ApprovalState.APPROVED
        assert set(decided.decided_by) == {"responder-a", "responder-b"}
        assert world.contains() == [HOST]
        assert cards(lead, bot, room) == [question.message.id]


def cards(reader: User, bot: User, room: str) -> list[str]:
    """The messages of the bot that are in no thread and no edits: its cards."""
    chunk = reader.in_room("GET", room, "messages?dir=f&limit=100")["chunk"]
    return [
        str(event["event_id"])
        for event in chunk
        if event["type"] == "m.room.message"
        and event["sender"] == bot.id
        and "m.relates_to" not in event["content"]
    ]
