"""A whole case, from the hit to the report, with a real Request Tracker as `tickets`: the runner
and its other products are as in every test of `tests/world.py`."""

from __future__ import annotations

import json
from pathlib import Path

from runner import views
from runner.checks import check
from tests.real.bindings import own_cmdline, with_rt
from tests.real.rt_server import Part, RtServer
from tests.world import World, running_world
from tests.world_settings import HOST


def told(server: RtServer, world: World) -> list[Part]:
    ticket = world.case().ticket
    assert ticket is not None
    assert ticket.key == f"RT#{ticket.id}"
    return server.parts(ticket.id)


def test_case_when_rt_keeps_the_tickets_then_opened_commented_attached_and_read_back(
    rt_server: RtServer, tmp_path: Path
) -> None:
    with running_world(tmp_path, with_rt(rt_server, tmp_path)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline() + " <b>bold</b>")
        world.tick()
        assert world.case().ticket is not None
        world.yes(world.question())
        world.tick()
        assert world.contains() == [HOST]
        world.ticks(3, every_s=120)
        parts = told(rt_server, world)
        texts = [part.content.decode() for part in parts if not part.file_name]
        assert "    wmic process" in texts[0]
        assert " <b>bold</b>" in texts[0]
        assert any(f"{HOST} isolated, confirmed by the EDR" in text for text in texts[1:]), texts
        [evidence] = [part for part in parts if part.file_name.startswith("evidence-")][:1]
        assert json.loads(evidence.content)
        assert {part.content_type for part in parts if not part.file_name} <= {
            "text/plain",
            "multipart/mixed",
        }
        # What was told once is told once: the same case again changes nothing.
        world.ticks(3, every_s=120)
        assert told(rt_server, world) == parts


def test_case_when_its_ticket_is_deleted_then_the_channel_is_told_and_none_is_opened(
    rt_server: RtServer, tmp_path: Path
) -> None:
    with running_world(tmp_path, with_rt(rt_server, tmp_path)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        ticket = world.case().ticket
        assert ticket is not None
        rt_server.as_root("PUT", f"ticket/{ticket.id}", json={"Status": "deleted"})
        world.yes(world.question())
        world.tick()
        world.ticks(2, every_s=120)
        said = [message["text"] for message in world.slack.messages()]
        assert any(ticket.key in text and "deleted" in text for text in said), said
        assert world.case().ticket == ticket


def test_case_when_the_account_may_not_open_tickets_then_it_is_said_and_the_host_is_contained(
    rt_server: RtServer, tmp_path: Path
) -> None:
    changes = with_rt(rt_server, tmp_path, "without-CreateTicket")
    with running_world(tmp_path, changes) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        world.yes(world.question())
        world.tick()
        assert world.contains() == [HOST]
        assert world.case().ticket is None
        shown = views.show_case(world.journal, world.config, world.case().id).text
        assert "ticket" in shown.lower()


def test_check_when_rt_keeps_the_tickets_then_each_thing_is_named(
    rt_server: RtServer, tmp_path: Path
) -> None:
    with running_world(tmp_path, with_rt(rt_server, tmp_path)) as world:
        world.arm()
        world.hit(cmdline=own_cmdline())
        world.tick()
        world.yes(world.question())
        world.tick()
        world.ticks(2, every_s=120)
        lines = check(world.service).text.splitlines()
        of_rt = [line for line in lines if "tickets (rt)" in line]
        assert len(of_rt) >= 8
        assert [line for line in of_rt if not line.startswith("ok")] == []
