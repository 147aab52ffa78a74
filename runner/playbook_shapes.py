"""What may stand in a playbook's file, key by key.

The definition that the reader, the editor's schema and the docs test share.

Optional keys are unset when they are absent, and never null: an empty `when:` is a fault, because a
condition that was lost must not read as "always".
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from runner.schema import Shape

Text = Annotated[str, Meta(min_length=1, max_length=4000, description="a text that is not empty")]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="a name of letters, digits, `_`, `.` and `-`",
    ),
]
Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="an id of small letters, digits and `_`, beginning with a letter",
    ),
]
ActionName = Annotated[
    str, Meta(pattern=r"^[a-z_]+\.[a-z_]+$", description="an action's name, like `edr.find_host`")
]
Technique = Annotated[
    str, Meta(pattern=r"^T\d{4}(\.\d{3})?$", description="an ATT&CK technique, like T1220")
]
Steps = Annotated[list[Any], Meta(min_length=1, description="a list of steps")]
Condition = bool | Text


class RetryShape(Shape, frozen=True, kw_only=True):
    max: Annotated[int, Meta(ge=1, le=5)]
    wait_s: Annotated[float, Meta(ge=0, le=3600)] = 30


class ApprovalShape(Shape, frozen=True, kw_only=True):
    quorum: Annotated[int, Meta(ge=1, le=20)]


class StepShape(Shape, frozen=True, kw_only=True):
    """What any step may have."""

    id: Id | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    when: Condition | UnsetType = UNSET
    else_value: Any = UNSET
    on_error: Literal["fail", "continue"] | Steps = "fail"


class DoShape(StepShape, frozen=True, kw_only=True):
    do: ActionName
    with_: dict[Name, Any] = field(name="with", default_factory=dict)
    targets: Text | Steps | UnsetType = UNSET
    max: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    timeout_s: Annotated[float, Meta(gt=0, le=86400)] | UnsetType = UNSET
    retry: RetryShape | UnsetType = UNSET
    approval: ApprovalShape | UnsetType = UNSET


class IfShape(StepShape, frozen=True, kw_only=True):
    if_: Condition = field(name="if")
    then: Steps
    else_: Steps | UnsetType = field(name="else", default=UNSET)


class ParallelShape(StepShape, frozen=True, kw_only=True):
    parallel: Annotated[dict[Name, Steps], Meta(min_length=1)]


class StopBody(Shape, frozen=True, kw_only=True):
    reason: Text
    verdict: Text | UnsetType = UNSET


class StopShape(StepShape, frozen=True, kw_only=True):
    stop: StopBody


class PlaybookShape(Shape, frozen=True, kw_only=True):
    """The whole file."""

    LATER: ClassVar[tuple[str, ...]] = ("inputs", "on_error", "vars")

    playbook: Name
    description: Text
    steps: Steps
    on: Name | UnsetType = UNSET
    severity: Literal["informational", "low", "medium", "high", "critical"] = "high"
    techniques: tuple[Technique, ...] = ()


STEP_SHAPES: dict[str, type[StepShape]] = {
    "do": DoShape,
    "if": IfShape,
    "parallel": ParallelShape,
    "stop": StopShape,
}
"""The key that names a step's kind → what such a step may hold."""
LATER_KINDS = ("switch", "for_each", "repeat", "ask", "run")
"""Kinds that the design knows and this version does not."""
