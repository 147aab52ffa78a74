"""What must hold after any crash, judged by what the products saw and by what the journal says.

Each check is a function over one world that gives sentences, one a violation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from connectors.model import AssessmentKind, JsonObject
from runner.audit import verify
from runner.journal import Journal, Tx, approvals, cases, ledger, runs
from runner.journal.records import (
    Approval,
    ApprovalState,
    LedgerState,
    RunStatus,
    StepClass,
    StepStatus,
)
from tests.crash_world import CrashWorld

HITS = 4
ASSESSED = {AssessmentKind.MALICIOUS: 1, AssessmentKind.BENIGN: 3}
CUT_OFF = ("WORKSTATION5", "WORKSTATION7-SYNTHETIC")
"""The story's hosts: the alert's own, and the one that the hunt finds."""


def violations(world: CrashWorld) -> list[str]:
    """Everything that is not as it must be once the story is over."""
    with world.journal() as journal:
        return [
            f"{check.__name__.strip('_')}: {text}"
            for check in CHECKS
            for text in check(world, journal)
        ]


def _hits(_world: CrashWorld, journal: Journal) -> Iterator[str]:
    with journal.read() as tx:
        stored = int(tx.one("select count(*) from alert")[0])
        found = cases.every(tx)
    if stored != HITS:
        yield f"{stored} hits were stored, not {HITS}"
    if len(found) != HITS:
        yield f"{len(found)} cases, not {HITS}"
    judged = Counter(case.assessment.assessment for case in found if case.assessment)
    if judged != ASSESSED:
        yield f"judged as {dict(judged)}"


def _runs(_world: CrashWorld, journal: Journal) -> Iterator[str]:
    with journal.read() as tx:
        for case in cases.every(tx):
            statuses = [run.status for run in runs.of_case(tx, case.id)]
            if statuses != [RunStatus.SUCCEEDED]:
                yield f"{case.id} has runs {statuses}"
        for step in runs.parked_steps(tx):
            yield f"nobody knows whether {step.key} of {step.scope} happened"


def _steps(_world: CrashWorld, journal: Journal) -> Iterator[str]:
    """Every effect has an outcome, but for a ticket's comment that the next revision's overtook,
    and for the choices under a card that was answered without them."""
    with journal.read() as tx:
        scopes = [str(row[0]) for row in tx.all("select distinct scope from step")]
        for scope in scopes:
            for step in runs.steps_of(tx, scope):
                is_overtaken = step.key == "seed" or step.key.startswith("comment.")
                is_open = step.status in (StepStatus.INTENDED, StepStatus.PENDING)
                if step.step_class is StepClass.EFFECT and is_open and not is_overtaken:
                    yield f"{step.key} of {scope} is {step.status}"
                if step.status is StepStatus.FAILED:
                    yield f"{step.key} of {scope} failed: {step.error}"


def _cuts(world: CrashWorld, _journal: Journal) -> Iterator[str]:
    """One request a device reached the EDR, refused repeats included."""
    falcon = world.products.falcon
    seen: Counter[tuple[str, str]] = Counter()
    for request in falcon.requests:
        if "devices-actions" in request.path and request.status:
            action = parse_qs(request.query)["action_name"][0]
            for device_id in json.loads(request.body)["ids"]:
                seen[action, falcon.devices[device_id]["hostname"]] += 1
    wanted = {("contain", name): 1 for name in CUT_OFF}
    if seen != wanted:
        yield f"the EDR was asked for {dict(seen)}"
    contained = {
        device["hostname"] for device in falcon.devices.values() if device["status"] != "normal"
    }
    if contained != set(CUT_OFF):
        yield f"cut off are {sorted(contained)}"


def _ledger(world: CrashWorld, journal: Journal) -> Iterator[str]:
    with journal.read() as tx:
        rows = ledger.every(tx)
    for row in rows:
        record = world.products.falcon.device_status(row.device.hostname)
        if (row.state, record, row.drift) != (LedgerState.CONFIRMED, "contained", None):
            yield f"{row.device.hostname} is {row.state} ({row.drift}), and {record} at the EDR"
        if not row.is_ours:
            yield f"{row.device.hostname} is told to have been cut off by somebody else"
    if len(rows) != len(CUT_OFF):
        yield f"{len(rows)} rows"


def _tickets(world: CrashWorld, journal: Journal) -> Iterator[str]:
    issues = world.products.jira.all_issues()
    labels = Counter(label for issue in issues for label in issue["fields"]["labels"])
    yield from _repeated("label", labels)
    with journal.read() as tx:
        named = [case.ticket.key for case in cases.every(tx) if case.ticket]
    if named != [issue["key"] for issue in issues] or len(named) != 1:
        yield f"tickets {[issue['key'] for issue in issues]}, and the cases name {named}"


def _ticket_texts(world: CrashWorld, _journal: Journal) -> Iterator[str]:
    """No comment twice, the last one tells the end, one file of evidence."""
    for issue in world.products.jira.all_issues():
        texts = [" ".join(_texts_of(one["body"])) for one in issue["fields"]["comment"]["comments"]]
        markers = [re.findall(r"\[stockade:(\w+)\]", text)[-1:] for text in texts]
        yield from _repeated("comment", Counter(key for found in markers for key in found))
        if not all(markers):
            yield "a comment without a marker"
        if not texts or "run ended" not in texts[-1]:
            yield f"the last of {len(texts)} comments does not tell the end"
        files = Counter(one["filename"] for one in issue["fields"]["attachment"])
        kinds = sorted(re.sub(r"-case-\w+", "", name) for name in files)
        if kinds != ["evidence.json", "graph.json", "graph.mmd", "graph.svg"]:
            yield f"files {dict(files)}"
        yield from _repeated("file", files)


def _texts_of(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "text":
            yield str(node["text"])
        yield from _texts_of(node.get("content"))
    elif isinstance(node, list):
        for child in node:
            yield from _texts_of(child)


def _cards(world: CrashWorld, journal: Journal) -> Iterator[str]:
    """Each question that was asked has one card that people see, and it is locked by now."""
    shown = Counter(_key_of(card) for card in world.cards())
    yield from _repeated("card", shown)
    with journal.read() as tx:
        asked = _questions(tx)
    if set(shown) != {one.card.key for one in asked if one.card}:
        yield f"cards {sorted(shown)}, and questions {sorted(one.id for one in asked)}"
    for one in asked:
        if one.state is not ApprovalState.APPROVED or not one.closed:
            yield f"{one.id} is {one.state}, {'closed' if one.closed else 'not closed'}"
    devices = Counter(item.device.hostname for one in asked for item in one.items)
    if devices != Counter(CUT_OFF):
        yield f"asked about {dict(devices)}"
    for card in world.cards():
        if not str(card["text"]).startswith("APPROVED by responder-a"):
            yield f"a card is not locked: {card['text']}"


def _threads(world: CrashWorld, _journal: Journal) -> Iterator[str]:
    """Nothing is told twice, and the decision and the outcome are told in each thread."""
    yield from _repeated("reply", Counter(_key_of(reply) for reply in world.replies()))
    for card in world.cards():
        texts = [str(one["text"]) for one in world.replies() if one["thread_ts"] == card["ts"]]
        for wanted in ("APPROVED by", "confirmed by the EDR"):
            if sum(wanted in text for text in texts) != 1:
                yield f"a thread tells «{wanted}» not once: {texts}"


def _key_of(message: JsonObject) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("key"))


def _questions(tx: Tx) -> list[Approval]:
    return [
        approval
        for case in cases.every(tx)
        for run in runs.of_case(tx, case.id)
        for approval in approvals.of_run(tx, run.id)
    ]


def _order(_world: CrashWorld, journal: Journal) -> Iterator[str]:
    """At no moment two questions about one device, and none cut off before people agreed."""
    with journal.read() as tx:
        rows = tx.all(
            "select e.kind, e.refs, p.body from entry e left join payload p on p.seq = e.seq"
            " order by e.seq"
        )
    asked_by: dict[str, list[str]] = {}
    is_open: dict[str, str] = {}
    agreed: set[str] = set()
    for kind, refs_text, body in rows:
        refs = json.loads(refs_text)
        if kind == "question_opened":
            subjects = json.loads(body)["subjects"]
            asked_by[refs["approval"]] = subjects
            for subject in subjects:
                if subject in is_open:
                    yield f"{subject} was asked about twice at once"
                is_open[subject] = refs["approval"]
        elif kind.startswith("question_"):
            for subject in asked_by[refs["approval"]]:
                is_open.pop(subject, None)
                if kind == "question_approved":
                    agreed.add(subject)
        elif kind == "ledger_requested" and refs["subject"] not in agreed:
            yield f"{refs['subject']} was cut off before people agreed"
    if is_open:
        yield f"still asked: {sorted(is_open)}"


def _chain(_world: CrashWorld, journal: Journal) -> Iterator[str]:
    with journal.read() as tx:
        yield from verify(tx).faults
        if any(row[0] == "journal_lost" for row in tx.all("select kind from entry")):
            yield "the journal was taken for lost"
    lost = journal.lost_since_head()
    if lost is not None:
        yield lost


def _repeated(what: str, counts: Counter[str]) -> Iterator[str]:
    for name, count in counts.items():
        if count > 1:
            yield f"{what} {name} is there {count} times"


CHECKS: tuple[Callable[[CrashWorld, Journal], Iterable[str]], ...] = (
    _hits,
    _runs,
    _steps,
    _cuts,
    _ledger,
    _tickets,
    _ticket_texts,
    _cards,
    _threads,
    _order,
    _chain,
)
