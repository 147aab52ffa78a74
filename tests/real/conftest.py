"""These tests start real servers: only with STOCKADE_REAL=1, as `make test-real` sets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.rt_server import RtServer, running_rt, what_is_missing

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("STOCKADE_REAL") == "1":
        return
    reason = "real servers are not asked for: run `make test-real`"
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def rt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtServer]:
    """One Request Tracker for all tests; each makes tickets of its own."""
    missing = what_is_missing()
    if missing:
        pytest.skip(f"NOTHING IS PROVED OF REQUEST TRACKER: {missing}")
    with running_rt(tmp_path_factory.mktemp("rt")) as server:
        yield server
