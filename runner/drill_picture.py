"""What a story came to, in plain lines: the same each time, whatever was killed on the way.

A quiet run gives the picture; each other one is held against it. Ids, times and heads of the chain
are left out, because they differ by nature.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qs

from connectors.emulators.falcon import Falcon
from connectors.model import JsonObject
from runner.drill_world import DrillWorld
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.records import Approval, Case

Picture = dict[str, Counter[str]]
"""What is told of → its lines, with how often each is there."""

BY_NATURE = r"\d+:[0-9a-f]{16}|[0-9a-f]{8,}|\d{4}-\d\d-\d\d|\d\d:\d\d(:\d\d)?"
"""Anchors, ids, dates and times of day: two runs of one story differ in them."""
PASSING = ("seconds after the card was posted", "NOT confirmed")
"""What a thread tells of a moment that a slower run does not have."""


def picture_of(world: DrillWorld) -> Picture:
    """What the journal and the products hold now."""
    with world.journal() as journal, journal.read() as tx:
        found = cases.every(tx)
        picture: Picture = {
            "cases": Counter(_case_line(tx, case) for case in found),
            "questions": Counter(_question_line(one) for one in questions(tx)),
            "ledger": Counter(
                f"{row.device.hostname} is {row.state}, {'ours' if row.is_ours else 'not ours'},"
                f" drift {row.drift}"
                for row in ledger.every(tx)
            ),
            "hits": Counter({"a stored hit": int(tx.one("select count(*) from alert")[0])}),
        }
    picture["posts"] = Counter(_plain(one) for one in world.posts())
    picture["threads"] = Counter(
        text
        for one in world.replies()
        if not any(word in (text := _plain(one)) for word in PASSING)
    )
    issues = world.products.jira.all_issues()
    picture["tickets"] = Counter(str(issue["fields"]["summary"]) for issue in issues)
    picture["ticket_texts"] = Counter(line for issue in issues for line in ticket_lines(issue))
    picture["cuts"] = Counter(cut_requests(world.products.falcon))
    picture["devices"] = Counter(
        f"{device['hostname']} is {device['status']}"
        for device in world.products.falcon.devices.values()
        if device["status"] != "normal"
    )
    return picture


def differences(quiet: Picture, seen: Picture) -> Iterator[str]:
    """A sentence for each line that only one of the two has, or that one has more often. A thread
    may tell of a doubt that the quiet story had no reason for."""
    for what, lines in quiet.items():
        for line, count in lines.items():
            if (now := seen[what][line]) != count:
                yield f"{what}: «{line}» is there {now} times, and {count} without a kill"
        more = set() if what == "threads" else seen[what].keys() - lines.keys()
        for line in sorted(more):
            yield f"{what}: «{line}» is there, and is not without a kill"


def questions(tx: Tx) -> list[Approval]:
    """Every question that was ever asked."""
    return [
        approval
        for case in cases.every(tx)
        for run in runs.of_case(tx, case.id)
        for approval in approvals.of_run(tx, run.id)
    ]


def cut_requests(falcon: Falcon) -> Iterator[str]:
    """Each request to contain or to lift that reached the EDR, refused repeats included."""
    for request in falcon.requests:
        if "devices-actions" in request.path and request.status:
            action = parse_qs(request.query)["action_name"][0]
            for device_id in json.loads(request.body)["ids"]:
                yield f"{action} {falcon.devices[device_id]['hostname']}"


def _case_line(tx: Tx, case: Case) -> str:
    judged = case.assessment.assessment if case.assessment else "not judged"
    statuses = ", ".join(sorted(run.status for run in runs.of_case(tx, case.id)))
    ticket = "a ticket" if case.ticket else "no ticket"
    return f"{case.host}: {judged}; runs {statuses}; {ticket}"


def _question_line(approval: Approval) -> str:
    names = {item.device.device_id: item.device.hostname for item in approval.items}
    chosen = sorted(names.get(one, one) for one in approval.chosen)
    about = ", ".join(sorted(names.values())) or "no device"
    closed = "closed" if approval.closed else "not closed"
    return f"{approval.action} about {about}: {approval.state} ({', '.join(chosen)}), {closed}"


def _plain(message: JsonObject) -> str:
    """A message's text without what differs by nature."""
    return re.sub(BY_NATURE, "…", str(message["text"]))


def ticket_lines(issue: JsonObject) -> Iterator[str]:
    """Which files an issue has, and whether its last comment tells the end."""
    names = {_file_kind(one["filename"]) for one in issue["fields"]["attachment"]}
    yield from (f"{issue['key']} has the file {name}" for name in sorted(names))
    comments = issue["fields"]["comment"]["comments"]
    tells = bool(comments) and "run ended" in " ".join(texts_of(comments[-1]["body"]))
    yield f"the last comment of {issue['key']} {'tells' if tells else 'does not tell'} the end"


def _file_kind(name: str) -> str:
    """`evidence-case-1f70b59f4b-r14.json` → `evidence.json`."""
    return f"{name.partition('-')[0]}.{name.rpartition('.')[2]}"


def texts_of(node: object) -> Iterator[str]:
    """The words of a rich text, in order."""
    if isinstance(node, dict):
        if node.get("type") == "text":
            yield str(node["text"])
        yield from texts_of(node.get("content"))
    elif isinstance(node, list):
        for child in node:
            yield from texts_of(child)
