"""Our triage beside the command-line part of published rules, on labelled wmic lines.

    python -m bench.triage [CORPUS.jsonl]

The rules are re-implemented from their public descriptions (SigmaHQ, Splunk security_content and
Elastic detection-rules, as read 2026-11-25); none of their text is copied. Exit code 1 when a
target is missed: no stylesheet attack is called benign, all are flagged; of the harmless lines
that the saved search returns at least 98 % are benign (of few, all but one) and none malicious.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from connectors.model import AssessmentKind
from runner.wmic import assess_line

DEFAULT = Path(__file__).parent.parent / "tests" / "corpus" / "cmdlines.jsonl"
LEAST_BENIGN = 0.98

_DASHES = "/\\-\u2013\u2014\u2015"
_FORMAT = re.compile(f"[{_DASHES}]format:", re.IGNORECASE)
_BUILT_IN = ("list", "htable", "hform", "table", "mof", "value", "rawxml", "xml", "csv")
_ELASTIC = re.compile(r"(?:^|\s)/?-?format[^\s]*:", re.IGNORECASE)


class Line(NamedTuple):
    cmdline: str
    label: str
    technique: str | None
    matches_search: bool


def saved_search(line: str) -> bool:
    return "format" in line.casefold()


def sigma_squiblytwo(line: str) -> bool:
    return bool(_FORMAT.search(line)) and ("://" in line or "\\\\" in line)


def sigma_xsl_script_processing(line: str) -> bool:
    lower = line.casefold()
    is_built_in = any(f"format:{name}" in lower for name in _BUILT_IN)
    is_remote = "://" in line or "\\\\" in line
    return bool(_FORMAT.search(line)) and not is_built_in and not is_remote


def splunk_via_url(line: str) -> bool:
    lower = line.casefold()
    return ("http://" in lower or "https://" in lower) and "/format:" in lower


def splunk_os_get_xsl(line: str) -> bool:
    lower = line.casefold()
    return "os get" in lower and "/format:" in lower and ".xsl" in lower


def elastic_argument(line: str) -> bool:
    """Its second half, a script engine loaded within two minutes, is not in a command line."""
    return bool(_ELASTIC.search(line)) and "/format:table" not in line.casefold().split()


RULES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("saved search *format*", saved_search),
    ("Sigma squiblytwo", sigma_squiblytwo),
    ("Sigma xsl_script_processing", sigma_xsl_script_processing),
    ("Splunk via URL", splunk_via_url),
    ("Splunk os get + .xsl", splunk_os_get_xsl),
    ("Elastic, argument half only", elastic_argument),
)


def read_lines(path: Path) -> list[Line]:
    """Lines that wmic itself got (`layer` wmic, or no layer), not invented ones left out."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(text)
        if row.get("layer", "wmic") == "wmic":
            found.append(
                Line(row["cmdline"], row["label"], row["technique"], bool(row["matches_search"]))
            )
    return found


def groups_of(lines: list[Line]) -> dict[str, list[Line]]:
    """The groups that are measured, by name."""
    return {
        "T1220 malicious": [
            one for one in lines if one.technique == "T1220" and one.label == "malicious"
        ],
        "suspicious hits": [
            one for one in lines if one.label == "suspicious" and one.matches_search
        ],
        "benign hits": [one for one in lines if one.label == "benign" and one.matches_search],
        "other malicious": [
            one for one in lines if one.label == "malicious" and one.technique != "T1220"
        ],
        "benign, no hit": [
            one for one in lines if one.label == "benign" and not one.matches_search
        ],
    }


def table(groups: dict[str, list[Line]]) -> list[str]:
    """Rules as rows, groups as columns: how many lines each would raise."""
    names = list(groups)
    rows = [["raised by", *(f"{name} ({len(groups[name])})" for name in names)]]
    for title, rule in RULES:
        counts = [sum(rule(one.cmdline) for one in groups[name]) for name in names]
        rows.append([title, *map(str, counts)])
    judged = {
        name: Counter(assess_line(o.cmdline).assessment for o in groups[name]) for name in names
    }
    flagged = [sum(judged[name].values()) - judged[name][AssessmentKind.BENIGN] for name in names]
    rows.append(["stockade, not benign", *map(str, flagged)])
    for kind in reversed(AssessmentKind):
        rows.append([f"  of these {kind}" if kind != "benign" else "stockade, benign"])
        rows[-1] += [str(judged[name][kind]) for name in names]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def misses(groups: dict[str, list[Line]]) -> list[str]:
    """Each target that is not met, in one sentence."""
    attacks = [assess_line(one.cmdline).assessment for one in groups["T1220 malicious"]]
    harmless = [assess_line(one.cmdline).assessment for one in groups["benign hits"]]
    found = []
    if AssessmentKind.BENIGN in attacks:
        found.append(f"{attacks.count(AssessmentKind.BENIGN)} stylesheet attacks are called benign")
    raised = len(harmless) - harmless.count(AssessmentKind.BENIGN)
    # Of fewer than fifty lines, one is more than two in a hundred.
    if raised > max(1, len(harmless) * (1 - LEAST_BENIGN)):
        found.append(f"{raised} of {len(harmless)} harmless hits are not benign")
    if AssessmentKind.MALICIOUS in harmless:
        found.append(f"{harmless.count(AssessmentKind.MALICIOUS)} harmless hits are malicious")
    return found


def main(arguments: list[str]) -> int:
    """Print the table; 1 when a target is missed."""
    path = Path(arguments[0]) if arguments else DEFAULT
    groups = groups_of(read_lines(path))
    harmless = groups["benign hits"]
    kinds = [assess_line(one.cmdline).assessment for one in harmless]
    write = sys.stdout.write
    write(
        "\n".join([f"{path.name}: {sum(map(len, groups.values()))} lines", *table(groups)]) + "\n"
    )
    share = kinds.count(AssessmentKind.BENIGN) / max(len(kinds), 1)
    write(f"harmless hits that are benign: {share:.1%} (target {LEAST_BENIGN:.0%})\n")
    for one, kind in zip(harmless, kinds, strict=True):
        if kind is not AssessmentKind.BENIGN:
            write(f"  {kind}: {one.cmdline}\n")
    missed = misses(groups)
    for sentence in missed:
        write(f"MISSED: {sentence}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
