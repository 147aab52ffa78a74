"""These tests start real servers: only with STOCKADE_REAL=1, as `make test-real` sets it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("STOCKADE_REAL") == "1":
        return
    reason = "real servers are not asked for: run `make test-real`"
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))
