"""A case's evidence as one JSON text: what was seen, judged, asked, answered, done and verified.

It leaves the house with the ticket, so passwords in command lines are masked.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from runner.case_graph import graph_files, graph_of
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.records import Case, LedgerRow
from runner.masking import mask_all


def case_files(tx: Tx, case: Case, edition: int = 1) -> dict[str, bytes]:
    """What is attached to a ticket, by name: the evidence, and the graph where there is one. A
    later edition is the evidence alone, under a name that says which."""
    if edition > 1:
        return {f"evidence-{case.id}-revision-{edition}.json": evidence_file(tx, case)}
    files = {f"evidence-{case.id}.json": evidence_file(tx, case)}
    graph = graph_of(tx, case)
    if graph is not None and graph.edges:
        files |= graph_files(case, graph)
    return files


def evidence_file(tx: Tx, case: Case) -> bytes:
    """UTF-8 JSON, indented. Keys: case, alert, runs, steps, approvals, ledger, journal_head."""
    its_runs = runs.of_case(tx, case.id)
    content = {
        "case": case,
        "alert": cases.read_alert(tx, case.alert_id),
        "runs": its_runs,
        "steps": [step for run in its_runs for step in runs.steps_of(tx, run.id)],
        "approvals": [one for run in its_runs for one in approvals.of_run(tx, run.id)],
        "ledger": ledger.of_case(tx, case.id),
        "journal_head": dict(zip(("seq", "sha256"), tx.head(), strict=True)),
    }
    plain = mask_all(msgspec.to_builtins(content))
    return msgspec.json.format(msgspec.json.encode(plain), indent=2)


def state_sha256(tx: Tx, case: Case) -> str:
    """The hash of what a reader of the evidence acts upon. Repeats of the hit, links to other cases
    and times do not change it: they would fill the ticket with files that say the same."""
    state: dict[str, Any] = {
        "assessment": case.assessment,
        "verdict": case.verdict,
        "undo": case.undo,
        "runs": [(run.id, run.status) for run in runs.of_case(tx, case.id)],
        "ledger": [_facts_of(row) for row in ledger.of_case(tx, case.id)],
    }
    return hashlib.sha256(msgspec.json.encode(state, order="sorted")).hexdigest()


def _facts_of(row: LedgerRow) -> tuple[object, ...]:
    """What was heard of the host counts only where it was listened to: the hash of a journal of
    before stays what it was."""
    facts = (row.subject, row.state, row.drift)
    heard = None if row.talk is None else row.talk.verdict
    return facts if heard is None else (*facts, heard, row.talk and row.talk.foreign)
