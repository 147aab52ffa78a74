"""What may stand in a rehearsal's file, and how it is read: strictly, with all faults at once.

One definition for the reader, the editor's schema and the docs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from connectors.base import Effect
from connectors.model import AssessmentKind, DeviceKind, Row
from runner.hit_row import read_time
from runner.schema import Shape, decode
from runner.yaml_reader import Fault, Report, read_yaml

Text = Annotated[str, Meta(min_length=1, max_length=4000, description="a text that is not empty")]
Instant = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
        description='an instant with its offset, like "2026-11-25T12:00:00Z"',
    ),
]
Role = Literal["siem", "edr", "chat", "tickets"]


class DeviceShape(Shape, frozen=True, kw_only=True):
    """A device that the EDR knows."""

    hostname: Text
    device_id: Text
    domain: Text | None = None
    kind: DeviceKind = DeviceKind.WORKSTATION
    users: tuple[Text, ...] = ()
    addresses: tuple[Text, ...] = ()


class SearchShape(Shape, frozen=True, kw_only=True):
    """What the SIEM answers to a hunt in which each text of `has` is looked for. `alert`: with the
    alert's own row; `fails`: with this refusal instead of rows."""

    has: tuple[Text, ...] = ()
    alert: bool = False
    rows: tuple[dict[str, str | list[str]], ...] = ()
    fails: Text | None = None


class GivenShape(Shape, frozen=True, kw_only=True):
    """The world before the alert. `fleet`: how many devices there are in all."""

    devices: tuple[DeviceShape, ...] = ()
    isolated: tuple[Text, ...] = ()
    protected: tuple[Text, ...] = ()
    fleet: Annotated[int, Meta(ge=1)] = 1000
    searches: tuple[SearchShape, ...] = ()
    without: tuple[Role, ...] = ()


class PolicyShape(Shape, frozen=True, kw_only=True):
    """The part of a configuration that a rehearsal may set."""

    allowed_effects: tuple[Effect, ...] = tuple(Effect)
    quorum: Annotated[int, Meta(ge=1, le=5)] = 1
    per_hour: Annotated[int, Meta(ge=0, le=1000)] = 3
    fleet_percent: Annotated[float, Meta(ge=0, le=100)] = 2.0
    index: Text | None = "main"
    security_index: Text | None = None


class AnswerShape(Shape, frozen=True, kw_only=True):
    """What people say to the question about these hosts (or with this text): `agree`, `refuse`,
    `silence`, the host that they pick, or the name of an answer."""

    about: tuple[Text, ...]
    says: Text
    veto: tuple[Text, ...] = ()


class CallShape(Shape, frozen=True, kw_only=True):
    """A call that changes the world, and at what."""

    call: Literal[
        "tickets.create_ticket",
        "tickets.comment_ticket",
        "chat.post_card",
        "chat.post_message",
        "edr.isolate_host",
        "edr.release_host",
    ]
    target: Text


class ExpectShape(Shape, frozen=True, kw_only=True):
    """How it must end. `calls` are all of them, in order."""

    calls: tuple[CallShape, ...]
    run: Literal["succeeded", "failed"] = "succeeded"
    isolated: tuple[Text, ...] = ()
    assessment: AssessmentKind | None = None
    reason: Text | None = None
    refused: tuple[Text, ...] | None = None


class RehearsalShape(Shape, frozen=True, kw_only=True):
    """One rehearsal. `playbook`: a shipped one by name, or a file beside this one. `target`: the
    host that the playbook's input `target` is pointed at."""

    rehearsal: Text
    playbook: Text
    at: Instant
    alert: dict[str, str | list[str]]
    expect: ExpectShape
    inputs: dict[str, Any] = field(default_factory=dict)
    target: Text | None = None
    policy: PolicyShape = PolicyShape()
    given: GivenShape = GivenShape()
    people: tuple[AnswerShape, ...] = ()

    @property
    def start(self) -> datetime:
        return (read_time(self.at, is_utc=True) or datetime.fromisoformat(self.at)).astimezone(UTC)

    @property
    def row(self) -> Row:
        return dict(self.alert)


class RehearsalFaults(Exception):
    """The file cannot be rehearsed. `faults` are all of them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def read_rehearsal(path: Path) -> RehearsalShape:
    """Read one file. Errors: `RehearsalFaults`."""
    report = Report(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        report.add((1, 1), f"the file cannot be read ({why})", "Name a file.", "rehearsal-file")
        raise RehearsalFaults(report.sorted()) from None
    root = read_yaml(text, report)
    shape = None if root is None else decode(root, RehearsalShape, report)
    if shape is None or root is None or report.faults:
        raise RehearsalFaults(report.sorted())
    known = {one.hostname for one in shape.given.devices}
    named = [*shape.given.isolated, *([shape.target] if shape.target else [])]
    for name in named:
        if name not in known:
            text = f"{name} is none of given.devices"
            report.add(root, text, "Add it there.", "rehearsal-device")
    if report.faults:
        raise RehearsalFaults(report.sorted())
    return shape
