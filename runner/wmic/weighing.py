"""How do signed, explained contributions make a score, and a score an assessment?

What the line itself says sets bounds that no context leaves: known software as a parent never makes
a remote stylesheet harmless, and suspicion around a built-in format never makes it an attack.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from connectors.model import Assessment, AssessmentKind, Observable

START = 40
"""The score of a line of which nothing is known."""

LEAST = {
    AssessmentKind.BENIGN: 0,
    AssessmentKind.UNKNOWN: 25,
    AssessmentKind.SUSPICIOUS: 50,
    AssessmentKind.MALICIOUS: 80,
}
"""From which score on an assessment holds, out of 100."""

WEIGHTS = {
    AssessmentKind.BENIGN: -40,
    AssessmentKind.UNKNOWN: 0,
    AssessmentKind.SUSPICIOUS: 20,
    AssessmentKind.MALICIOUS: 50,
}
"""What the line itself weighs."""

ORDER = tuple(LEAST)


class Contribution(Struct, frozen=True, kw_only=True):
    """One sentence with its weight: positive speaks for an attack, 0 proves nothing. `event` is
    what it rests on. `corroborates`: an event of the same process shows what it did."""

    weight: int
    text: str
    event: str | None = None
    corroborates: bool = False


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that the line says. `weight` None: its kind's own; `more` is what else the same
    part of the line shows."""

    kind: AssessmentKind
    text: str
    indicators: tuple[Observable, ...] = ()
    more: tuple[Contribution, ...] = ()
    weight: int | None = None

    @property
    def own_weight(self) -> int:
        return WEIGHTS[self.kind] if self.weight is None else self.weight


def kind_of(score: int) -> AssessmentKind:
    """The gravest assessment whose least score is reached."""
    return next(kind for kind in reversed(ORDER) if score >= LEAST[kind])


def score_text(judged: Assessment) -> str:
    """The score so that a reader can add it up: where each line begins, and the bound that was met
    where the reasons come to another sum."""
    total = START + sum(reason.weight for reason in judged.reasons)
    held = "" if total == judged.score else f"; the sum, {total}, is held to this"
    return f"score {judged.score} of 100 (each line begins at {START}{held})"


def score_of(line: AssessmentKind, contributions: Iterable[Contribution]) -> int:
    """The sum, from `START`, within the bounds that the line sets; 0 to 100."""
    weighed = tuple(contributions)
    total = START + sum(item.weight for item in weighed)
    return max(LEAST[line], min(total, _most(line, weighed), 100))


def _most(line: AssessmentKind, weighed: tuple[Contribution, ...]) -> int:
    is_proved = any(item.corroborates and item.weight > 0 for item in weighed)
    is_open = line in (AssessmentKind.BENIGN, AssessmentKind.UNKNOWN) and not is_proved
    return LEAST[AssessmentKind.MALICIOUS] - 1 if is_open else 100
