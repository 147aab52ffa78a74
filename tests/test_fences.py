"""Holds the project's fences (`tests/fences.py`), and proves by a bad sample that each can fail."""

from __future__ import annotations

import ast

import pytest

from tests import fences
from tests.fences import (
    BLIND_EXCEPT,
    FENCES,
    LONG,
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    Fence,
    edges,
    fence_blind_except,
    fence_containment,
    fence_doors,
    fence_downward,
    fence_from_outside,
    fence_only_places,
    fence_print,
    fence_room,
    fence_sides,
    fence_size,
    fence_tables,
    import_circles,
    level_of,
    project,
    source,
)

SAMPLES: tuple[tuple[Fence, str, str], ...] = (
    (fence_room, "runner/newcomer.py", ""),
    (fence_downward, "connectors/base.py", "from connectors.registry import CONNECTORS"),
    (fence_downward, "connectors/model.py", "import connectors.http"),
    (fence_downward, "runner/catalogue.py", "def late():\n    from . import wmic"),
    (fence_sides, "connectors/edr/falcon.py", "from runner import config"),
    (fence_sides, "connectors/chat/slack.py", "from connectors.registry import x\nimport runner"),
    (fence_doors, "runner/actions.py", "from runner.wmic.parser import parse"),
    (fence_only_places, "runner/engine.py", "import sqlite3 as store"),
    (fence_only_places, "connectors/edr/falcon.py", "from requests.adapters import HTTPAdapter"),
    (fence_only_places, "runner/poll.py", "from connectors.emulators import splunk"),
    (fence_only_places, "runner/service.py", "from urllib import request"),
    (fence_from_outside, "runner/poll.py", "from datetime import datetime as d\nd.now()"),
    (fence_from_outside, "runner/poll.py", "import datetime\ndatetime.datetime.now(None)"),
    (fence_from_outside, "connectors/http.py", "import time\nwait = time.sleep"),
    (fence_from_outside, "runner/journal/runs.py", "from uuid import uuid4\nuuid4()"),
    (fence_from_outside, "runner/journal/runs.py", "import random\nrandom.random()"),
    (fence_size, "runner/poll.py", "\n" * (MAX_FILE_LINES + 1)),
    (fence_size, "runner/poll.py", "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES),
    (fence_blind_except, "runner/poll.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (fence_blind_except, "runner/poll.py", "try:\n    f()\nexcept:\n    pass"),
    (fence_blind_except, "runner/poll.py", "try:\n    f()\nexcept (OSError, Exception):\n    g()"),
    (fence_blind_except, "runner/poll.py", "with suppress(BaseException):\n    f()"),
    (fence_blind_except, BLIND_EXCEPT, "try:\n    f()\nexcept Exception:\n    g()\n" * 2),
    (fence_containment, "runner/steps.py", "def f(edr):\n    edr.isolate_host('a', 'b')"),
    (fence_print, "runner/poll.py", "print('x')"),
    (fence_tables, "connectors/registry.py", "CONNECTORS = dict(scan())"),
    (fence_tables, "connectors/registry.py", "CONNECTORS = {**OTHERS, 'a': found()}"),
    (fence_tables, "runner/guards.py", "RULES = ()"),
)


@pytest.mark.parametrize("fence", FENCES, ids=lambda fence: fence.__name__)
def test_project_within_its_fences_has_no_fault(fence: Fence) -> None:
    faults = [fault for src in project() for fault in fence(src)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("fence", "path", "text"), SAMPLES)
def test_fence_given_a_bad_sample_finds_it(fence: Fence, path: str, text: str) -> None:
    assert list(fence(source(path, text)))


def test_every_fence_runs_and_has_a_bad_sample() -> None:
    written = {value for name, value in vars(fences).items() if name.startswith("fence_")}
    assert written == set(FENCES) == {fence for fence, _, _ in SAMPLES}


def test_imports_never_run_in_a_circle() -> None:
    graph = {src.path: {target for _, target in edges(src)} for src in project()}
    assert import_circles(graph) == []
    assert import_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]


def test_exemptions_from_length_are_all_needed() -> None:
    long_files = {src.path for src in project() if src.text.count("\n") > MAX_FILE_LINES}
    long_functions = {
        f"{src.path}:{node.name}"
        for src in project()
        for node in ast.walk(src.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert set(LONG) <= long_files | long_functions


def test_rooms_are_looked_up_by_the_first_row_that_fits() -> None:
    assert level_of("connectors/siem/splunk/spl.py") == 2
    assert level_of("runner/wmic/__init__.py") == 6
    assert level_of("runner/newcomer.py") is None
