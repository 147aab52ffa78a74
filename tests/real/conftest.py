"""These tests start real servers: only with STOCKADE_REAL=1, as `make test-real` sets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import rt_server as rt
from tests.real import synapse_server as synapse
from tests.real.reaching import NEIGHBOR, SERVER
from tests.servers.lab import network as namespaces
from tests.world_settings import HOST

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("STOCKADE_REAL") == "1":
        return
    reason = "real servers are not asked for: run `make test-real`"
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def rt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rt.RtServer]:
    """One Request Tracker for all tests; each makes tickets of its own."""
    missing = rt.what_is_missing()
    if missing:
        pytest.skip(f"NOTHING IS PROVED OF REQUEST TRACKER: {missing}")
    with rt.running_rt(tmp_path_factory.mktemp("rt")) as server:
        yield server


@pytest.fixture(scope="session")
def synapse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[synapse.SynapseServer]:
    """One Synapse for all tests; each has rooms and people of its own."""
    missing = synapse.what_is_missing()
    if missing:
        pytest.skip(f"NOTHING IS PROVED OF MATRIX: {missing}")
    with synapse.running_synapse(tmp_path_factory.mktemp("synapse")) as server:
        yield server


@pytest.fixture
def lab() -> Iterator[namespaces.Network]:
    """A workstation, its neighbor, a server and the management plane."""
    missing = namespaces.what_is_missing()
    if missing:
        pytest.skip(f"NOTHING IS PROVED OF A HOST THAT IS REALLY CUT OFF: {missing}")
    with namespaces.network([HOST, NEIGHBOR, SERVER]) as built:
        yield built
