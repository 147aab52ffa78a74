"""Triage measured on labelled lines from public sources (`tests/corpus/README.md`)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.triage import Line, groups_of, misses, read_lines
from connectors.model import AssessmentKind
from runner.wmic import assess_line

CORPUS = Path(__file__).parent / "corpus" / "cmdlines.jsonl"
PERMISSIVE = {"MIT", "Apache-2.0", "CC0-1.0"}
NOT_BENIGN = {
    "c0387": "a stylesheet of its own, lib/csv.xsl",
}
"""Benign lines whose value does not show it → why a person has to look."""


class Labelled(msgspec.Struct, frozen=True):
    id: str
    cmdline: str
    label: str
    technique: str | None
    matches_search: bool
    source: str
    license: str


LINES = [
    msgspec.json.decode(line, type=Labelled)
    for line in CORPUS.read_text(encoding="utf-8").splitlines()
]
STYLESHEET_ATTACKS = [line for line in LINES if line.technique == "T1220"]
BENIGN_HITS = [line for line in LINES if line.label == "benign" and line.matches_search]


def test_corpus_holds_permissively_licensed_lines_with_their_source_only() -> None:
    assert {line.license for line in LINES} <= PERMISSIVE
    assert all(line.source for line in LINES)
    assert (len(STYLESHEET_ATTACKS), len(BENIGN_HITS)) == (18, 21)


@pytest.mark.parametrize("line", STYLESHEET_ATTACKS, ids=lambda line: line.id)
def test_attack_by_stylesheet_is_never_benign(line: Labelled) -> None:
    expected = {AssessmentKind.SUSPICIOUS, AssessmentKind.MALICIOUS}
    assert assess_line(line.cmdline).assessment in expected


@pytest.mark.parametrize("line", BENIGN_HITS, ids=lambda line: line.id)
def test_harmless_hit_is_benign_unless_its_value_does_not_show_it(line: Labelled) -> None:
    is_benign = assess_line(line.cmdline).assessment is AssessmentKind.BENIGN
    assert is_benign is (line.id not in NOT_BENIGN)


def test_line_that_changes_something_or_reaches_another_machine_is_never_good_news() -> None:
    unseen = [line for line in LINES if line.label == "malicious"]
    assert len(unseen) > 40
    judged = {line.id: assess_line(line.cmdline).assessment for line in unseen}
    assert AssessmentKind.BENIGN not in judged.values()


def test_benchmark_meets_its_targets_on_this_corpus() -> None:
    groups = groups_of(read_lines(CORPUS))
    assert misses(groups) == []


def test_benchmark_names_a_target_that_is_missed() -> None:
    own = Line("wmic os get /format:own.xsl", "benign", None, matches_search=True)
    attack = Line("wmic os get /format:csv", "malicious", "T1220", matches_search=True)
    missed = misses(groups_of([own, own, attack]))
    assert [sentence.split(" ", 1)[0] for sentence in missed] == ["1", "2"]
