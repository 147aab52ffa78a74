"""Triage measured on labelled lines from public sources (`tests/corpus/README.md`)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from connectors.model import AssessmentKind
from runner.wmic import assess_line

CORPUS = Path(__file__).parent / "corpus" / "cmdlines.jsonl"
PERMISSIVE = {"MIT", "Apache-2.0", "CC0-1.0"}
NOT_BENIGN = {
    "c0295": "no format switch: it matches by a class name",
    "c0310": "no format switch: it matches by a class name",
    "c0387": "a stylesheet of its own, lib/csv.xsl",
}
"""Benign lines whose value does not show it → why a person has to look."""


class Line(msgspec.Struct, frozen=True):
    id: str
    cmdline: str
    label: str
    technique: str | None
    matches_search: bool
    source: str
    license: str


LINES = [
    msgspec.json.decode(line, type=Line) for line in CORPUS.read_text(encoding="utf-8").splitlines()
]
STYLESHEET_ATTACKS = [line for line in LINES if line.technique == "T1220"]
BENIGN_HITS = [line for line in LINES if line.label == "benign" and line.matches_search]


def test_corpus_holds_permissively_licensed_lines_with_their_source_only() -> None:
    assert {line.license for line in LINES} <= PERMISSIVE
    assert all(line.source for line in LINES)
    assert (len(STYLESHEET_ATTACKS), len(BENIGN_HITS)) == (18, 21)


@pytest.mark.parametrize("line", STYLESHEET_ATTACKS, ids=lambda line: line.id)
def test_attack_by_stylesheet_is_never_benign(line: Line) -> None:
    expected = {AssessmentKind.SUSPICIOUS, AssessmentKind.MALICIOUS}
    assert assess_line(line.cmdline).assessment in expected


@pytest.mark.parametrize("line", BENIGN_HITS, ids=lambda line: line.id)
def test_harmless_hit_is_benign_unless_its_value_does_not_show_it(line: Line) -> None:
    is_benign = assess_line(line.cmdline).assessment is AssessmentKind.BENIGN
    assert is_benign is (line.id not in NOT_BENIGN)


def test_line_that_the_search_would_not_return_is_never_good_news() -> None:
    unseen = [line for line in LINES if not line.matches_search]
    assert {assess_line(line.cmdline).assessment for line in unseen} == {AssessmentKind.UNKNOWN}
