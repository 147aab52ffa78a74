"""What a playbook is, once it has been read: types only; `runner/playbook.py` is the door."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from runner.yaml_reader import Fault, Path


class Retry(Struct, frozen=True, kw_only=True):
    """How often an investigating action is tried again, and how long to wait before each."""

    max: int
    wait_s: float = 30.0


class _Common(Struct, frozen=True, kw_only=True):
    """What each step has. `id` is always set: the given one, or the kind and the place in the
    playbook. `path` leads from the file's root to the step. `else_value` is the step's value when
    `when` skips it."""

    id: str
    path: Path
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


class Stop(_Common, frozen=True, kw_only=True):
    """Ends the run. `verdict` stays empty unless the playbook's author gives one: it is a person's
    word, never the machine's."""

    reason: str
    verdict: str | None = None


Step: TypeAlias = Do | If | Parallel | Stop


class Playbook(Struct, frozen=True, kw_only=True):
    """One playbook, with its exact text and that text's hash, to which runs are pinned."""

    name: str
    description: str
    on: str | None
    severity: str
    techniques: tuple[str, ...]
    steps: tuple[Step, ...]
    file: str
    source: str
    sha256: str


class PlaybookFaults(Exception):
    """A playbook cannot be used. `faults` are all of them, in the order of the file."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
