"""What may stand in a playbook's file, key by key.

The definition that the reader, the editor's schema and the docs test share.

Optional keys are unset when they are absent, and never null: an empty `when:` is a fault, because a
condition that was lost must not read as "always".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from runner.catalogue import ValueType
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
Items = Annotated[list[Any], Meta(min_length=1, description="a list of values")]
Most = Annotated[int, Meta(ge=1, le=1000)]
CaseValue = Annotated[str, Meta(min_length=1, max_length=200, description="a text")]
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


class SwitchShape(StepShape, frozen=True, kw_only=True):
    switch: Text
    cases: Annotated[dict[CaseValue, Steps], Meta(min_length=1)]
    default: Steps | UnsetType = UNSET


class ForEachShape(StepShape, frozen=True, kw_only=True):
    for_each: Text | Items
    as_: Id = field(name="as")
    max: Most
    steps: Steps


class RepeatShape(StepShape, frozen=True, kw_only=True):
    repeat: Steps
    until: Text
    max: Most
    every_s: Annotated[float, Meta(ge=1, le=86400)]
    timeout_s: Annotated[float, Meta(gt=0, le=604800)] | UnsetType = UNSET


class AskShape(StepShape, frozen=True, kw_only=True):
    ask: Annotated[str, Meta(min_length=1, max_length=500, description="a question")]
    answers: Annotated[
        dict[Id, Annotated[str, Meta(min_length=1, max_length=150)]],
        Meta(min_length=2, max_length=10),
    ]
    expires_s: Annotated[int, Meta(ge=60, le=604800)]
    on_expiry: Id
    quorum: Annotated[int, Meta(ge=1, le=20)] = 1


class RunShape(StepShape, frozen=True, kw_only=True):
    run: Name
    with_: dict[Id, Any] = field(name="with", default_factory=dict)


class StopBody(Shape, frozen=True, kw_only=True):
    reason: Text
    verdict: Text | UnsetType = UNSET


class StopShape(StepShape, frozen=True, kw_only=True):
    stop: StopBody


class InputShape(Shape, frozen=True, kw_only=True):
    """One input of a playbook: required, unless it has a default or says otherwise."""

    type: ValueType
    required: bool | UnsetType = UNSET
    default: Any = UNSET


class PlaybookShape(Shape, frozen=True, kw_only=True):
    """The whole file."""

    playbook: Name
    description: Text
    steps: Steps
    on: Name | UnsetType = UNSET
    severity: Literal["informational", "low", "medium", "high", "critical"] = "high"
    techniques: tuple[Technique, ...] = ()
    inputs: dict[Id, InputShape] = field(default_factory=dict)
    vars: dict[Id, Any] = field(default_factory=dict)
    on_error: Steps | UnsetType = UNSET


STEP_SHAPES: dict[str, type[StepShape]] = {
    "do": DoShape,
    "if": IfShape,
    "switch": SwitchShape,
    "for_each": ForEachShape,
    "repeat": RepeatShape,
    "parallel": ParallelShape,
    "ask": AskShape,
    "run": RunShape,
    "stop": StopShape,
}
"""The key that names a step's kind → what such a step may hold."""
