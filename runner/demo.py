"""The whole job against emulated products, on recorded events: what a newcomer sees first.

It is the real runner with a real configuration; only the products are stand-ins on loopback, which
this room and the drill alone import. The folder can be looked at afterwards with every
command: `stockade status -c DIR/config.yaml`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

from msgspec import Struct

from connectors.document import visible
from connectors.emulators.fleet import Emulators, start_all
from connectors.emulators.slack_workspace import CHANNEL
from connectors.http import Runtime
from connectors.model import AssessmentKind, Clock
from runner import arming, commands
from runner.card_text import decision_sentence
from runner.config import load_config
from runner.demo_config import write_config
from runner.effects import plain
from runner.journal import Journal, Tx, approvals, cases, ledger, runs
from runner.journal.records import LIVE, Approval, ApprovalState, ChoiceRole
from runner.result import Result
from runner.service import Service
from runner.terminal import text_of
from runner.wording import LEDGER_WORDS

RESPONDER = "U0RESPONDA"
LONGEST_S = 120.0


class Story(Struct, kw_only=True):
    """What happened in this start of the demo."""

    hits: int = 0
    cases: int = 0
    approvals: int = 0
    writes: int = 0
    needs: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def run_demo(arguments: argparse.Namespace, clock: Clock) -> Result:
    """Do the job once on `--state`; a second start on the same folder finds nothing new to do."""
    is_quiet = arguments.json
    say: Callable[[str], None] = _silent if is_quiet else _loud
    is_unattended = arguments.unattended or arguments.deny or not sys.stdin.isatty()
    begun = clock.monotonic()
    state: Path = arguments.state.resolve()
    world = start_all(state / "world", clock)
    try:
        write_config(state, world)
        say(
            f"Emulated Splunk, Falcon, Slack and Jira are up, as {arguments.state}/config.yaml says"
        )
        config = load_config(state / "config.yaml", os.environ)
        journal = Journal(config.state_dir, clock, actor="demo")
        try:
            service = Service(config, journal, Runtime(clock=clock, emulated=True))
            person = _Person(world, say, is_unattended=is_unattended, says_no=arguments.deny)
            story = _play(service, world, person, say)
            data = _summary(journal, story, clock.monotonic() - begun)
        finally:
            journal.close()
    finally:
        world.stop()
    say(_ending(data, arguments.state))
    is_good = not story.errors and not story.needs
    return Result(code=0 if is_good else 1, data=data, text="")


def _loud(text: str) -> None:
    print(visible(text, keep_newlines=True), flush=True)


def _silent(_text: str) -> None:
    return None


class _Person:
    """The responder in the emulated Slack: the terminal's user, or a standing answer."""

    def __init__(
        self, world: Emulators, say: Callable[[str], None], *, is_unattended: bool, says_no: bool
    ) -> None:
        self._world = world
        self._say = say
        self._is_unattended = is_unattended
        self._says_no = says_no

    def answer(self, approval: Approval) -> None:
        """Read the card, and react to it in the emulated Slack."""
        if approval.card is None or approval.message is None:
            return
        self._say(f"\n── In Slack, channel {CHANNEL} " + "─" * 40)
        # Its heading is the line that a phone shows.
        self._say(text_of(approval.card.body).lstrip("\n"))
        for choice in approval.card.choices:
            self._say(f"  • react with :{choice.emoji}: → {choice.label}")
        emoji = self._choose(approval)
        if emoji is None:
            return
        self._world.slack.react(RESPONDER, CHANNEL, approval.message.id, emoji)
        self._say(f"responder-a reacted with :{emoji}:")

    def _choose(self, approval: Approval) -> str | None:
        no = next(a.choice.emoji for a in approval.choices if a.role is ChoiceRole.DENY)
        yes = next(a.choice.emoji for a in approval.choices if a.role is not ChoiceRole.DENY)
        if self._is_unattended:
            return no if self._says_no else yes
        while True:
            try:
                typed = input("Your answer as responder-a? [y = yes, n = no, Enter = look again] ")
            except EOFError:
                # The terminal has ended: the same as an interruption, and no answer.
                raise KeyboardInterrupt from None
            match typed.strip().lower():
                case "y":
                    return yes
                case "n":
                    return no
                case "":
                    return None


def _play(service: Service, world: Emulators, person: _Person, say: Callable[[str], None]) -> Story:
    """Arm, then tick and answer until nothing is left to do."""
    journal = service.journal
    story = Story()
    writes_before = _writes(world)
    with journal.read() as tx:
        is_armed = arming.arming(tx) is not None
        known = {case.id for case in cases.every(tx)}
        asked = {approval.id for approval in _questions(tx)}
        seen_alerts = cases.last_alert_number(tx)
    if not is_armed:
        armed = commands.arm(service, "demo", "the demo arms itself")
        say(armed.text)
    deadline = service.clock.monotonic() + LONGEST_S
    told: set[str] = set()
    with journal.read() as tx:
        # What an earlier start has told is no news.
        _tell(tx, told, _silent)
    while service.clock.monotonic() < deadline:
        tick = service.tick(linger_s=6.0)
        story.needs, story.errors = tick.needs, tick.errors
        with journal.read() as tx:
            _tell(tx, told, say)
            waiting = [a for a in _questions(tx) if a.state is ApprovalState.OPEN]
            is_over = _is_over(tx)
        for approval in waiting:
            person.answer(approval)
            # The time that a person takes to read is not the runner's.
            deadline = service.clock.monotonic() + LONGEST_S
        if is_over or tick.needs or tick.errors:
            break
    with journal.read() as tx:
        story.cases = len({case.id for case in cases.every(tx)} - known)
        story.approvals = len({approval.id for approval in _questions(tx)} - asked)
        story.hits = cases.last_alert_number(tx) - seen_alerts
    story.writes = _writes(world) - writes_before
    return story


def _writes(world: Emulators) -> int:
    """What changed something at the products; searches and tokens do not."""
    return sum(
        len([one for one in emulator.effects()])
        for emulator in (world.falcon, world.slack, world.jira)
    )


def _questions(tx: Tx) -> list[Approval]:
    return [
        approval
        for case in cases.every(tx)
        for run in runs.of_case(tx, case.id)
        for approval in approvals.of_run(tx, run.id)
    ]


def _is_over(tx: Tx) -> bool:
    """No run is alive, every card is closed, every ticket is told."""
    counts = runs.count_by_status(tx)
    alive = sum(counts.get(status, 0) for status in LIVE)
    pending = [row for row in ledger.every(tx) if row.state in ("requested", "accepted")]
    return not alive and not approvals.unclosed(tx) and not cases.has_unreported(tx) and not pending


def _tell(tx: Tx, told: set[str], say: Callable[[str], None]) -> None:
    """Say what is new since the last tick, each thing once."""
    for case in reversed(cases.every(tx)):
        judged = case.assessment.assessment if case.assessment else "not judged yet"
        _once(told, say, f"hit on {case.host}: {judged} ({case.id})")
        if case.ticket is not None:
            _once(told, say, f"ticket {case.ticket.key} opened for {case.id}")
        for run in runs.of_case(tx, case.id):
            for step in runs.steps_of(tx, run.id):
                if step.key.endswith("#result") and step.value:
                    _once(told, say, f"hunt: {step.value['summary']}")
            for approval in approvals.of_run(tx, run.id):
                if approval.decided_at is not None:
                    _once(told, say, decision_sentence(approval))
    for row in ledger.every(tx):
        _once(told, say, f"{row.device.hostname}: {LEDGER_WORDS[row.state]}")


def _once(told: set[str], say: Callable[[str], None], line: str) -> None:
    if line not in told:
        told.add(line)
        say(f"• {line}")


def _summary(journal: Journal, story: Story, duration_s: float) -> dict[str, Any]:
    """The object that `--json` prints. `hits` (not known before), `cases`, `approvals`, `writes`
    count this start; the rest is what the folder holds by now."""
    with journal.read() as tx:
        found = cases.every(tx)
        steps = [
            step.value
            for case in found
            for run in runs.of_case(tx, case.id)
            for step in runs.steps_of(tx, run.id)
            if step.key.endswith("#result") and step.value
        ]
        tickets = [case.ticket.key for case in found if case.ticket is not None]
        isolated = [
            {"device_id": row.device.device_id, "hostname": row.device.hostname, "state": row.state}
            for row in ledger.standing(tx)
        ]
    benign = [
        case
        for case in found
        if case.assessment is not None and case.assessment.assessment is AssessmentKind.BENIGN
    ]
    return {
        "hits": story.hits,
        "benign": len(benign),
        "cases": story.cases,
        "approvals": story.approvals,
        "isolated": plain(isolated),
        "spread": [host for value in steps for host in value["hosts"]],
        "ticket": tickets[0] if tickets else None,
        "writes": story.writes,
        "needs": list(story.needs),
        "errors": list(story.errors),
        "duration_s": round(duration_s, 1),
    }


def _own_name() -> str:
    """How the user can start this program again."""
    return "stockade" if which("stockade") else sys.argv[0]


def _ending(data: dict[str, Any], state: Path) -> str:
    isolated = (
        ", ".join(f"{row['hostname']} ({row['state']})" for row in data["isolated"]) or "nobody"
    )
    is_old = data["ticket"] is not None and not data["hits"]
    lines = [
        "",
        f"{data['hits']} new hits, {data['cases']} new cases, {data['benign']} benign, "
        f"{data['approvals']} questions; isolated: {isolated}; ticket {data['ticket']}",
        *data["errors"],
        *data["needs"],
        *([f"Played already in {state}; with another --state it plays anew"] if is_old else []),
        f"Look around:  {_own_name()} cases -c {state}/config.yaml",
        "              (also show, status, audit verify)",
    ]
    return "\n".join(lines)
