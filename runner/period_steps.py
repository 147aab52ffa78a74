"""What the steps of the last days say: who would have been asked, what guards refused, and why."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.base import Effect
from runner.config import Mode
from runner.guards import GuardAnswer, Ruling, strictest
from runner.journal import Tx, cases, runs, spans
from runner.journal.records import Approval, StepResult, StepStatus

NOT_JUDGED = "not judged"
VERBS = {Effect.CONTAIN: "isolate", Effect.RELEASE: "release"}
PERIOD_OF_BUDGET = timedelta(hours=1)


class HostLine(Struct, frozen=True, kw_only=True):
    """What became of one device or host in one case, and why."""

    at: datetime
    host: str
    case_id: str
    what: str
    why: str


class Observed(Struct, frozen=True, kw_only=True):
    """What people would have been asked: `questions` times, about so many devices. `most_in_hour`:
    the most devices in one hour, which the budget is to be compared with."""

    questions: int = 0
    devices: int = 0
    general: int = 0
    most_in_hour: int = 0


class Reading:
    """The steps of the time, and the lines about hosts that they give."""

    def __init__(self, tx: Tx, since: datetime) -> None:
        self._tx = tx
        self._since = since
        self.lines: list[HostLine] = []
        steps = [step for part in _PARTS for step in runs.steps_since(tx, part, since)]
        self._steps = steps
        self._runs = spans.runs_of(tx, {step.scope for step in steps})

    def _of(self, part: str) -> list[StepResult]:
        """Those that came to a value, of runs that are kept; a failed one has none."""
        return [
            step
            for step in self._steps
            if part in step.key and step.value is not None and step.scope in self._runs
        ]

    def _line(self, step: StepResult, host: str, what: str, why: str) -> None:
        case_id = self._runs[step.scope].case_id
        at = step.ended_at or step.intended_at
        self.lines.append(HostLine(at=at, host=host, case_id=case_id, what=what, why=why))

    def rulings(self) -> tuple[Observed, dict[str, dict[str, int]]]:
        """What would have been asked, and what guards refused to let be asked."""
        refused: dict[str, Counter[str]] = {}
        seen: list[tuple[datetime, str]] = []
        asked = 0
        for step in self._of("#rule."):
            is_observed = False
            names = self._names(step)
            for device_id, given in step.value["answers"].items():
                answers = msgspec.convert(given, list[GuardAnswer])
                host = names.get(device_id, device_id)
                if strictest(answers) is Ruling.DENY:
                    for one in answers:
                        if one.ruling is Ruling.DENY:
                            refused.setdefault(one.guard, Counter())[one.reason] += 1
                            self._line(step, host, f"refused by {one.guard}", one.reason)
                elif step.value["mode"] == Mode.OBSERVE and self._contains(step):
                    is_observed = True
                    seen.append((step.ended_at or step.intended_at, device_id))
                    self._line(step, host, "would have been asked about", self._reason(step))
            asked += is_observed
        observed = Observed(
            questions=asked,
            devices=len({device_id for _, device_id in seen}),
            general=sum(step.value == Mode.OBSERVE for step in self._of("#mode.")),
            most_in_hour=_most_in_hour(seen),
        )
        return observed, {guard: dict(counted) for guard, counted in refused.items()}

    def _contains(self, step: StepResult) -> bool:
        """Older entries do not say which effect was ruled; releases have a playbook of their
        own."""
        effect = step.value.get("effect")
        if effect is not None:
            return bool(effect == Effect.CONTAIN)
        return self._runs[step.scope].playbook != "release-host"

    def _names(self, step: StepResult) -> dict[str, str]:
        target = runs.step(self._tx, step.scope, step.key.split("#", 1)[0] + "#target")
        if target is None or not target.value:
            return {}
        return {
            device["device_id"]: device["hostname"]
            for one in target.value
            for device in one["devices"]
        }

    def _reason(self, step: StepResult) -> str:
        case = cases.find(self._tx, self._runs[step.scope].case_id)
        if case is None or case.assessment is None:
            return NOT_JUDGED
        judged = case.assessment
        return f"{judged.assessment}, score {judged.score}: {judged.summary}"

    def untraced(self) -> int:
        """How often there was no device to ask about."""
        found = 0
        for step in self._of("#device"):
            if step.value["devices"]:
                continue
            found += 1
            case = cases.find(self._tx, self._runs[step.scope].case_id)
            host = (case.host if case else None) or "no host"
            self._line(step, host, "no device found, nobody can be asked", step.value["proof"])
        return found

    def asked(self, questions: list[Approval]) -> None:
        """A line for each device that people were asked about, and what became of the question."""
        for one in questions:
            begin = "PRACTICE: asked" if one.mode is Mode.PRACTICE else "asked"
            by = f" by {', '.join(one.decided_by)}" if one.decided_by else ""
            self.lines += [
                HostLine(
                    at=one.created_at,
                    host=item.device.hostname,
                    case_id=one.case_id,
                    what=f"{begin} to {VERBS[one.effect]} it: {one.state}{by}",
                    why=one.reason,
                )
                for item in one.items
            ]

    def unsent(self) -> dict[str, int]:
        """Tickets and messages that observe only noted."""
        skipped = [step for step in self._steps if step.status is StepStatus.SKIPPED]
        return dict(
            Counter(kind for step in skipped for kind in _UNSENT if step.key.endswith(kind))
        )

    def shared(self) -> int:
        """Devices for which another case's isolation or refusal counted."""
        answered = [step.value.get("so_far", {}) for step in self._of("#ask.")]
        return sum(len(one.get("held", ())) + len(one.get("refused", ())) for one in answered)

    def practised(self) -> int:
        """Yeses in practice, which sent nothing, by device."""
        return sum(step.value.get("state") == "practised" for step in self._of("#do."))


_UNSENT = ("#ticket", "#message")
_PARTS = ("#rule.", "#device", "#mode.", "#ask.", "#do.", *_UNSENT)


def _most_in_hour(seen: list[tuple[datetime, str]]) -> int:
    """The most distinct devices in any one hour; `seen` is in order."""
    inside: Counter[str] = Counter()
    most = first = 0
    for at, device_id in seen:
        inside[device_id] += 1
        while at - seen[first][0] >= PERIOD_OF_BUDGET:
            gone = seen[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        most = max(most, len(inside))
    return most
