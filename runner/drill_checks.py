"""What must hold after any crash, judged by what the products saw and by what the journal says.

Each check is a function over one world that gives sentences, one a violation. What a story must
come to besides is what it came to without a kill (`runner/drill_picture.py`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from connectors.model import JsonObject
from runner.audit import verify
from runner.drill_picture import Picture, cut_requests, differences, picture_of, questions, texts_of
from runner.drill_world import DrillWorld
from runner.journal import Journal, ledger, runs
from runner.journal.records import ApprovalState, LedgerState, StepClass, StepStatus

AT_THE_EDR = {LedgerState.CONFIRMED: "contained", LedgerState.RELEASED: "normal"}
"""What the EDR must show where the ledger says so."""


def violations(world: DrillWorld, quiet: Picture | None = None) -> list[str]:
    """Everything that is not as it must be once the story is over. `quiet`: what it came to where
    nobody was killed."""
    with world.journal() as journal:
        found = [
            f"{check.__name__.strip('_')}: {text}"
            for check in CHECKS
            for text in check(world, journal)
        ]
    return found if quiet is None else [*found, *differences(quiet, picture_of(world))]


def _steps(_world: DrillWorld, journal: Journal) -> Iterator[str]:
    """Every effect has an outcome, but for a ticket's comment that the next revision's overtook,
    and for the choices under a card that was answered without them."""
    with journal.read() as tx:
        for step in runs.parked_steps(tx):
            yield f"nobody knows whether {step.key} of {step.scope} happened"
        scopes = [str(row[0]) for row in tx.all("select distinct scope from step")]
        for scope in scopes:
            for step in runs.steps_of(tx, scope):
                is_overtaken = step.key.endswith("seed") or step.key.startswith("comment.")
                is_open = step.status in (StepStatus.INTENDED, StepStatus.PENDING)
                if step.step_class is StepClass.EFFECT and is_open and not is_overtaken:
                    yield f"{step.key} of {scope} is {step.status}"


def _cuts(world: DrillWorld, _journal: Journal) -> Iterator[str]:
    """One request of a kind for each device."""
    yield from _repeated("the request to", Counter(cut_requests(world.products.falcon)))


def _ledger(world: DrillWorld, journal: Journal) -> Iterator[str]:
    """What the ledger is sure of, the EDR shows; and the EDR contains nothing else."""
    with journal.read() as tx:
        rows = ledger.every(tx)
    falcon = world.products.falcon
    for row in rows:
        record = falcon.device_status(row.device.hostname)
        if record != AT_THE_EDR.get(row.state, record):
            yield f"{row.device.hostname} is {row.state}, and {record} at the EDR"
    known = {row.device.hostname for row in rows}
    for device in falcon.devices.values():
        if device["status"] != "normal" and device["hostname"] not in known:
            yield f"{device['hostname']} is {device['status']} at the EDR, and nobody wrote it down"


def _tickets(world: DrillWorld, _journal: Journal) -> Iterator[str]:
    """A case has one ticket, which has no comment and no file twice."""
    issues = world.products.jira.all_issues()
    yield from _repeated("label", Counter(one for i in issues for one in i["fields"]["labels"]))
    for issue in issues:
        texts = [" ".join(texts_of(one["body"])) for one in issue["fields"]["comment"]["comments"]]
        markers = [re.findall(r"\[stockade:(\w+)\]", text)[-1:] for text in texts]
        yield from _repeated("comment", Counter(key for found in markers for key in found))
        if not all(markers):
            yield "a comment without a marker"
        names = Counter(str(one["filename"]) for one in issue["fields"]["attachment"])
        yield from _repeated("file", names)


def _cards(world: DrillWorld, journal: Journal) -> Iterator[str]:
    """Each question that was asked has one card that people see, and it is locked by now."""
    shown = Counter(_key_of(card) for card in world.posts())
    yield from _repeated("card", shown)
    with journal.read() as tx:
        asked = questions(tx)
    for one in asked:
        if one.id not in shown:
            yield f"{one.id} was asked, and nobody sees a card"
        if one.state in (ApprovalState.POSTING, ApprovalState.OPEN) or not one.closed:
            yield f"{one.id} is {one.state}, {'closed' if one.closed else 'not closed'}"


def _threads(world: DrillWorld, _journal: Journal) -> Iterator[str]:
    """Nothing is told twice: neither one piece of news, nor the same words in one thread."""
    yield from _repeated("reply", Counter(_key_of(reply) for reply in world.replies()))
    told = Counter((str(one["thread_ts"]), str(one["text"])) for one in world.replies())
    for (_, text), count in told.items():
        if count > 1:
            yield f"a thread tells «{text}» {count} times"


def _key_of(message: JsonObject) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("key"))


def _order(_world: DrillWorld, journal: Journal) -> Iterator[str]:
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


def _chain(_world: DrillWorld, journal: Journal) -> Iterator[str]:
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


CHECKS: tuple[Callable[[DrillWorld, Journal], Iterable[str]], ...] = (
    _steps,
    _cuts,
    _ledger,
    _tickets,
    _cards,
    _threads,
    _order,
    _chain,
)
