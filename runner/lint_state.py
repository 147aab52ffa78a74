"""What is certain at one point of a playbook's flow."""

from __future__ import annotations

from msgspec import Struct


class State(Struct, frozen=True):
    """Which names have a value by then, and which steps at least a status. `is_ended`: the run does
    not get there."""

    values: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    is_ended: bool = False

    def with_value(self, name: str) -> State:
        return State(self.values | {name}, self.statuses, self.is_ended)

    def with_status(self, step_id: str) -> State:
        return State(self.values, self.statuses | {step_id}, self.is_ended)

    def ended(self) -> State:
        return State(self.values, self.statuses, True)

    def going_on(self) -> State:
        return State(self.values, self.statuses, False)

    def or_else(self, other: State) -> State:
        """After one of two ways: only what both have; a way that ended the run does not count."""
        if self.is_ended != other.is_ended:
            return other if self.is_ended else self
        return State(self.values & other.values, self.statuses & other.statuses, self.is_ended)

    def and_also(self, other: State) -> State:
        """After both of two ways."""
        return State(
            self.values | other.values,
            self.statuses | other.statuses,
            self.is_ended or other.is_ended,
        )


class Place(Struct, frozen=True):
    """Where in the playbook a step stands."""

    is_parallel: bool = False
    in_loop: bool = False
