"""JSON Schemas of the configuration and of playbooks, for editors.

They are made from the very shapes that the reader uses, so that they cannot drift from it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runner.config_shapes import ConfigShape
from runner.playbook_reader import BLOCK_KEYS, BRANCH_KEYS
from runner.playbook_shapes import STEP_SHAPES, PlaybookShape
from runner.rehearsal_file import RehearsalShape
from runner.suppression_file import SuppressionShape

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STEP = {"$ref": "#/$defs/Step"}


def config_schema() -> dict[str, Any]:
    """The schema of `config.yaml`."""
    return {"$schema": _DIALECT, **msgspec.json.schema(ConfigShape)}


def suppressions_schema() -> dict[str, Any]:
    """The schema of the suppressions file."""
    return {"$schema": _DIALECT, **msgspec.json.schema(tuple[SuppressionShape, ...])}


def rehearsal_schema() -> dict[str, Any]:
    """The schema of a rehearsal's file."""
    return {"$schema": _DIALECT, **msgspec.json.schema(RehearsalShape)}


def playbook_schema() -> dict[str, Any]:
    """The schema of a playbook. A step's kind key chooses its shape: one of them is required, and
    then everything else is judged by that kind alone, so that an editor names the real fault."""
    shapes = [PlaybookShape, *STEP_SHAPES.values()]
    refs, defs = msgspec.json.schema_components(shapes, ref_template="#/$defs/{name}")
    for definition in defs.values():
        for key, spec in definition.get("properties", {}).items():
            if key in (*BLOCK_KEYS, *BRANCH_KEYS):
                _fill(spec)
    defs["Step"] = {
        "type": "object",
        "oneOf": [{"required": [kind]} for kind in STEP_SHAPES],
        "allOf": [
            {"if": {"required": [kind]}, "then": ref}
            for kind, ref in zip(STEP_SHAPES, refs[1:], strict=True)
        ],
    }
    return {"$schema": _DIALECT, **refs[0], "$defs": defs}


def _fill(spec: dict[str, Any]) -> None:
    """Put the step in the place of each list that may hold anything."""
    if spec.get("type") == "array":
        spec["items"] = _STEP
    for below in spec.get("anyOf", []):
        _fill(below)
    if isinstance(spec.get("additionalProperties"), dict):
        _fill(spec["additionalProperties"])
