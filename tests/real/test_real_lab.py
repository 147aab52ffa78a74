"""Isolation that is real: the stand-in of Falcon acts on hosts that nftables cuts off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.journal.records import LedgerState
from tests.servers.lab.network import Network, network, what_is_missing
from tests.world import running_world
from tests.world_settings import HOST

NEIGHBOR, SERVER, PLANE = "neighbor", "server", "management"


@pytest.fixture
def lab() -> Iterator[Network]:
    missing = what_is_missing()
    if missing:
        pytest.skip(f"NOTHING IS PROVED OF A HOST THAT IS REALLY CUT OFF: {missing}")
    with network([HOST, NEIGHBOR, SERVER]) as built:
        yield built


def paths(lab: Network) -> dict[str, bool]:
    """Which of the connections that matter come about now."""
    ways = {
        "out": (HOST, SERVER),
        "in": (NEIGHBOR, HOST),
        "beside": (NEIGHBOR, SERVER),
        "plane": (PLANE, HOST),
        "to plane": (HOST, PLANE),
    }
    return {name: lab.reaches(*way) for name, way in ways.items()}


ALL = {"out": True, "in": True, "beside": True, "plane": True, "to plane": True}
CUT = {**ALL, "out": False, "in": False}


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
