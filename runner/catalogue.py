"""What a playbook may call: each action's name, effect, inputs and outputs.

A visible table and nothing else; `runner/actions.py` holds the functions behind it. The playbook
reader, the linter, the schema and the docs all read this one definition.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from connectors.base import Effect
from connectors.model import AssessmentKind


class ValueType(StrEnum):
    """What an input or an output is, as a playbook's author sees it."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"
    ALERT = "alert"
    TARGET = "target"
    """A device with the proof of its identity, as `edr.find_host` gives it."""
    TARGETS = "targets"
    """A list of such targets."""


def fits(value: object, wanted: ValueType) -> bool:
    """Is a value of the type at all? What an alert or a device holds is judged where it is used."""
    if wanted in (ValueType.TEXT, ValueType.BOOLEAN):
        return isinstance(value, str if wanted is ValueType.TEXT else bool)
    if wanted is ValueType.NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted in (ValueType.LIST, ValueType.TARGETS):
        return isinstance(value, list | tuple)
    return isinstance(value, dict)


class Input(Struct, frozen=True, kw_only=True):
    type: ValueType
    required: bool = True


class ActionSpec(Struct, frozen=True, kw_only=True):
    """One verb. `takes_targets`: its devices come by `targets:`, never by `with:`."""

    name: str
    about: str
    effect: Effect
    inputs: dict[str, Input]
    outputs: dict[str, ValueType]
    takes_targets: bool = False
    inverse: str | None = None
    words: dict[str, tuple[str, ...]] = {}
    """Outputs that are one of so many texts, and which."""


_TEXT = Input(type=ValueType.TEXT)
_ALERT = Input(type=ValueType.ALERT)
_CONTAINMENT_OUTPUTS = {
    "state": ValueType.TEXT,
    "summary": ValueType.TEXT,
    "devices": ValueType.LIST,
}

TOLD = ("sent", "observed", "denied")
"""What became of a ticket or a message: the mode only observes, or `allowed_effects` lacks it."""

CATALOGUE: dict[str, ActionSpec] = {
    spec.name: spec
    for spec in (
        ActionSpec(
            name="wmic.assess",
            about="Judge a wmic command line by the value of its format switch, and by what events "
            "show of its process.",
            effect=Effect.INVESTIGATE,
            inputs={"alert": _ALERT, "around": Input(type=ValueType.TEXT, required=False)},
            outputs={
                "assessment": ValueType.TEXT,
                "score": ValueType.NUMBER,
                "summary": ValueType.TEXT,
                "reasons": ValueType.LIST,
                "indicators": ValueType.LIST,
                "is_corroborated": ValueType.BOOLEAN,
            },
            words={"assessment": tuple(kind.value for kind in AssessmentKind)},
        ),
        ActionSpec(
            name="edr.find_host",
            about="Find the alert's device in the EDR and prove that it is the one.",
            effect=Effect.INVESTIGATE,
            inputs={"alert": _ALERT},
            outputs={
                "found": ValueType.BOOLEAN,
                "proved": ValueType.BOOLEAN,
                "target": ValueType.TARGET,
                "summary": ValueType.TEXT,
            },
        ),
        ActionSpec(
            name="edr.isolate_host",
            about="Cut devices off the network. Asks by itself.",
            effect=Effect.CONTAIN,
            inputs={
                "reason": _TEXT,
                "lease_h": Input(type=ValueType.NUMBER, required=False),
            },
            outputs=_CONTAINMENT_OUTPUTS,
            takes_targets=True,
            inverse="edr.release_host",
        ),
        ActionSpec(
            name="edr.release_host",
            about="Let isolated devices back on the network. Asks by itself.",
            effect=Effect.RELEASE,
            # Whole: whichever other case holds the device, too; else this case's hold alone is
            # dropped, and the device is let back when it was the last one.
            inputs={"reason": _TEXT, "is_whole": Input(type=ValueType.BOOLEAN, required=False)},
            outputs=_CONTAINMENT_OUTPUTS,
            takes_targets=True,
        ),
        ActionSpec(
            name="hunt.origin",
            about="Follow the alert's process back through parents, sessions and machines.",
            effect=Effect.INVESTIGATE,
            inputs={"alert": _ALERT},
            outputs={
                "outcome": ValueType.TEXT,
                "delivery": ValueType.TEXT,
                "host": ValueType.TEXT,
                "hosts": ValueType.LIST,
                "targets": ValueType.TARGETS,
                "summary": ValueType.TEXT,
                "not_searched": ValueType.LIST,
            },
        ),
        ActionSpec(
            name="hunt.spread",
            about="Look for the same on other hosts, and for what was started there from here.",
            effect=Effect.INVESTIGATE,
            inputs={
                "alert": _ALERT,
                "indicators": Input(type=ValueType.LIST),
                "sources": Input(type=ValueType.TARGETS, required=False),
            },
            outputs={
                "outcome": ValueType.TEXT,
                "hosts": ValueType.LIST,
                "targets": ValueType.TARGETS,
                "summary": ValueType.TEXT,
                "not_searched": ValueType.LIST,
            },
        ),
        ActionSpec(
            name="tickets.create_ticket",
            about="Open the case's one ticket; it is kept up without the playbook.",
            effect=Effect.DOCUMENT,
            inputs={"title": _TEXT},
            outputs={"key": ValueType.TEXT, "url": ValueType.TEXT, "state": ValueType.TEXT},
            words={"state": TOLD},
        ),
        ActionSpec(
            name="tickets.comment_ticket",
            about="Add a comment to the case's ticket.",
            effect=Effect.DOCUMENT,
            inputs={"text": _TEXT},
            outputs={"key": ValueType.TEXT, "state": ValueType.TEXT},
            words={"state": (*TOLD, "no_ticket")},
        ),
        ActionSpec(
            name="chat.post_message",
            about="Say something in the responders' channel.",
            effect=Effect.NOTIFY,
            inputs={"text": _TEXT},
            outputs={"id": ValueType.TEXT, "state": ValueType.TEXT},
            words={"state": TOLD},
        ),
    )
}
"""Every action, by the name that a playbook uses."""
