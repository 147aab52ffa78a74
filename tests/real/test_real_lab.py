"""Isolation that is real: the stand-in of Falcon acts on hosts that nftables cuts off."""

from __future__ import annotations

from pathlib import Path

from runner.journal.records import LedgerState
from tests.real.reaching import ALL, CUT, paths
from tests.servers.lab.network import Network
from tests.world import running_world
from tests.world_settings import HOST


def test_host_when_approved_then_cut_off_from_all_but_the_plane_until_it_is_released(
    lab: Network, tmp_path: Path
) -> None:
    with running_world(tmp_path, hook=lab.act) as world:
        world.arm()
        world.hit()
        world.tick()
        assert paths(lab) == ALL
        world.yes(world.question())
        world.tick()
        assert world.isolation_state() is LedgerState.CONFIRMED
        assert paths(lab) == CUT
        assert world.release(HOST).code == 0
        world.tick()
        assert paths(lab) == CUT
        world.yes(world.question())
        world.ticks(2, every_s=60)
        assert world.lifts() == [HOST]
        assert world.isolation_state() is LedgerState.RELEASED
        assert paths(lab) == ALL


def test_host_when_its_sensor_does_not_act_then_it_is_not_told_as_isolated(
    lab: Network, tmp_path: Path
) -> None:
    with running_world(tmp_path, hook=lambda _action, _host: False) as world:
        world.arm()
        world.hit()
        world.tick()
        world.yes(world.question())
        world.tick()
        assert world.contains() == [HOST]
        assert world.isolation_state() is not LedgerState.CONFIRMED
        assert paths(lab) == ALL
