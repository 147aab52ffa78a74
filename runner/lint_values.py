"""Whether a value or a condition as written has a sound expression and the right type."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from runner.catalogue import ValueType
from runner.lint_names import Names
from runner.lint_state import State
from runner.playbook_rules import named
from runner.template import TemplateFault, check_template, is_template
from runner.yaml_reader import Path

Add = Callable[[Path, str, str, str], None]
"""Reports a finding: path, code, text, mend."""


class Value(Struct, frozen=True):
    """A value as written, its place, and the type that it must have (None: any)."""

    value: object
    path: Path
    wanted: ValueType | None = None


class Values:
    """Judges values; findings go to `add`."""

    def __init__(self, names: Names, add: Add) -> None:
        self._names = names
        self._add = add

    def value(self, item: Value, state: State) -> None:
        """Check a value's expressions, and its type where it can be proved."""
        for text, path in texts(item.value, item.path):
            self._references(text, path, state, is_condition=False)
        found = self._names.type_of_value(item.value)
        wanted = item.wanted
        if wanted is None or wanted.value == found:
            return
        if wanted in (ValueType.TARGET, ValueType.TARGETS):
            text = f"{named(item.path)} must be a {wanted.value} that a step found"
            mend = "Use the `target` of edr.find_host, or the `targets` of a hunt."
            self._add(item.path, "SP302", text, mend)
        elif found is not None and (wanted.value, found) not in _ALSO_FITS:
            text = f"{named(item.path)} is of type {found}, and must be {wanted.value}"
            self._add(item.path, "SP105", text, "Use a value of that type.")

    def condition(self, condition: str | bool | None, path: Path, state: State) -> None:
        """Check that a condition is one, and that it may be both true and false."""
        if isinstance(condition, str):
            if not self._references(condition, path, state, is_condition=True):
                return
            found = self._names.type_of_value(condition)
            if found not in (None, "boolean"):
                text = f"{named(path)} is of type {found}, not true or false"
                self._add(path, "SP107", text, "Compare it with something.")
                return
        always = None if condition is None else self._names.constant(condition)
        if always is not None:
            text = f"{named(path)} is always {'true' if always else 'false'}"
            self._add(path, "SP403", text, "Remove it, or what never runs.")

    def references(self, text: str, path: Path, state: State) -> bool:
        """Check an expression that is judged further by others; False when it cannot be read."""
        return self._references(text, path, state, is_condition=True)

    def _references(self, text: str, path: Path, state: State, *, is_condition: bool) -> bool:
        if not is_template(text):
            return True
        try:
            check_template(text)
        except TemplateFault as fault:
            self._add(path, "SP108", fault.text, "Write an expression as docs/playbooks.md has it.")
            return False
        for code, what, mend in self._names.findings(text, state, is_condition):
            self._add(path, code, f"{named(path)}: {what}", mend)
        return True


_ALSO_FITS = {("list", "targets"), ("object", "target"), ("object", "alert")}
"""Wanted and found: what is more special than it needs to be."""


def texts(value: object, path: Path) -> Iterator[tuple[str, Path]]:
    """Each text in a value, with its place; keys are no values."""
    if isinstance(value, str):
        yield value, path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, (*path, number))
