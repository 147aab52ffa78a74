"""What a playbook is, once it has been read: types only; `runner/playbook.py` is the door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from runner.catalogue import ValueType
from runner.yaml_reader import Fault, Path


class Retry(Struct, frozen=True, kw_only=True):
    """How often an investigating action is tried again, and how long to wait before each."""

    max: int
    wait_s: float = 30.0


class _Common(Struct, frozen=True, kw_only=True):
    """What each step has. `id` is always set: the given one, or the kind and the place in the
    playbook. `path` leads from the file's root to the step, `line` is its own. `else_value` is the
    step's value when `when` skips it."""

    id: str
    path: Path
    line: int
    name: str | None = None
    when: str | bool | None = None
    else_value: object | UnsetType = UNSET
    on_error: Literal["fail", "continue"] | tuple[Step, ...] = "fail"


class Do(_Common, frozen=True, kw_only=True):
    """One action. `with_` holds its inputs as written, templates included."""

    action: str
    with_: dict[str, object] = {}
    targets: object | None = None
    max: int | None = None
    timeout_s: float | None = None
    retry: Retry | None = None
    approval_quorum: int | None = None


class If(_Common, frozen=True, kw_only=True):
    condition: str | bool
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...] = ()


class Parallel(_Common, frozen=True, kw_only=True):
    """Branches side by side, by name."""

    branches: dict[str, tuple[Step, ...]]


class Switch(_Common, frozen=True, kw_only=True):
    """One of many branches, by a text's exact value; no fall-through. `default` None: a value
    without a case fails the step."""

    value: str
    cases: dict[str, tuple[Step, ...]]
    default: tuple[Step, ...] | None = None


class ForEach(_Common, frozen=True, kw_only=True):
    """The same steps for each entry of a list, one after the other. Its value is the list of what
    the last step gave each time."""

    items: object
    as_: str
    max: int
    steps: tuple[Step, ...]


class Repeat(_Common, frozen=True, kw_only=True):
    """The same steps again until a condition holds. Its value is what the last step gave last."""

    steps: tuple[Step, ...]
    until: str
    max: int
    every_s: float
    timeout_s: float | None = None


class Ask(_Common, frozen=True, kw_only=True):
    """A question to people with named answers; `on_expiry` is the answer that silence counts as."""

    question: str
    answers: dict[str, str]
    expires_s: int
    on_expiry: str
    quorum: int = 1


class RunPlaybook(_Common, frozen=True, kw_only=True):
    """Another playbook, with its inputs as written."""

    playbook: str
    with_: dict[str, object] = {}


class Stop(_Common, frozen=True, kw_only=True):
    """Ends the run. `verdict` stays empty unless the playbook's author gives one: it is a person's
    word, never the machine's."""

    reason: str
    verdict: str | None = None


Step: TypeAlias = Do | If | Switch | ForEach | Repeat | Parallel | Ask | RunPlaybook | Stop


def blocks_of(step: Step) -> Iterator[tuple[Step, ...]]:
    """The blocks inside a step, `on_error` included."""
    if isinstance(step, If):
        yield from (step.then, step.otherwise)
    elif isinstance(step, Switch):
        yield from step.cases.values()
        yield step.default or ()
    elif isinstance(step, ForEach | Repeat):
        yield step.steps
    elif isinstance(step, Parallel):
        yield from step.branches.values()
    if isinstance(step.on_error, tuple):
        yield step.on_error


def every_step(steps: tuple[Step, ...]) -> Iterator[Step]:
    """All steps of a block, those inside others included."""
    for step in steps:
        yield step
        for block in blocks_of(step):
            yield from every_step(block)


class Declared(Struct, frozen=True, kw_only=True):
    """One input as a playbook declares it. Without a default and not required, it may be null."""

    type: ValueType
    required: bool = True
    default: object | UnsetType = UNSET


class Playbook(Struct, frozen=True, kw_only=True):
    """One playbook, with its exact text and that text's hash, to which runs are pinned."""

    name: str
    description: str
    on: str | None
    severity: str
    techniques: tuple[str, ...]
    steps: tuple[Step, ...]
    inputs: dict[str, Declared] = {}
    vars: dict[str, object] = {}
    on_error: tuple[Step, ...] = ()
    file: str
    source: str
    sha256: str


class PlaybookFaults(Exception):
    """A playbook cannot be used. `faults` are all of them, in the order of the file."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
