"""The table of field cases is true: each case once, each named test there, and no silent gap."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
TABLE = HERE / "field_cases.md"
CASES = 90
OPEN = 0
"""How many cases no test holds yet. This number may only fall."""
REASON = re.compile(r"cannot occur here: \S.{20,}")
NOT_YET = "not covered yet"
TEST = re.compile(r"`(?P<file>test_\w+\.py)::(?P<name>test_\w+)`")


class Case(NamedTuple):
    """One row of the table."""

    id: str
    what: str
    source: str
    held_by: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        return [(found["file"], found["name"]) for found in TEST.finditer(self.held_by)]


def rows() -> list[Case]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[:4] == "| FC"]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Case(*row) for row in cells]


@cache
def defined_in(file: str) -> frozenset[str]:
    """The tests that a file defines, read off its syntax tree."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def test_table_when_counted_then_each_case_stands_once_and_in_order() -> None:
    ids = [row.id for row in rows()]
    assert len(ids) == CASES
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"FC-\d{3}", one) for one in ids)
    assert all(row.what and row.source for row in rows())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_case_when_looked_up_then_its_tests_exist_or_a_reason_stands_for_them(row: Case) -> None:
    missing = [test for test in row.tests if test[1] not in defined_in(test[0])]
    assert missing == []
    if not row.tests:
        assert row.held_by == NOT_YET or REASON.fullmatch(row.held_by)


def test_open_cases_when_counted_then_never_more_and_the_table_says_how_many() -> None:
    found = sum(row.held_by == NOT_YET for row in rows())
    assert found == OPEN
    assert f"Not covered yet: {OPEN}." in TABLE.read_text(encoding="utf-8")
