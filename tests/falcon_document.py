"""An OpenAPI 3 document of Falcon's host calls, made from the tables inside falconpy (Unlicense).

The tables name path, verb and parameters with their limits, and no bodies. The body of the one
destructive call is ours, from the vendor's public Go SDK. Nothing is committed: it is made from the
installed package.
"""

from __future__ import annotations

from typing import Any

from falconpy import _endpoint

_LIMITS = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
)
ACTIONS = "/devices/entities/devices-actions/v2"


def falcon_document() -> dict[str, Any]:
    """Paths of the host and token calls; no servers."""
    paths: dict[str, Any] = {}
    tables: Any = _endpoint
    for _, verb, path, *rest in [*tables._oauth2_endpoints, *tables._hosts_endpoints]:
        parameters = rest[-1] if rest and isinstance(rest[-1], list) else []
        paths.setdefault(path.partition("?")[0], {})[verb.lower()] = _operation(parameters)
    action = paths[ACTIONS]["post"]
    action["requestBody"]["content"]["application/json"]["schema"] = {
        "type": "object",
        "required": ["ids"],
        "additionalProperties": True,
        "properties": {
            "ids": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            }
        },
    }
    return {"openapi": "3.0.3", "info": {"title": "Falcon hosts", "version": "1"}, "paths": paths}


def _operation(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"parameters": [], "responses": {"default": {"description": "any"}}}
    form: dict[str, Any] = {}
    required: list[str] = []
    for given in parameters:
        schema = {key: given[key] for key in _LIMITS if key in given} or {"type": "string"}
        if given["in"] == "body":
            made["requestBody"] = _body("application/json", {"type": "object"})
        elif given["in"] == "formData":
            form[given["name"]] = schema
            required += [given["name"]] if given.get("required") else []
        else:
            made["parameters"].append(_parameter(given, schema))
    if form:
        schema = {"type": "object", "properties": form, "required": required}
        made["requestBody"] = _body("application/x-www-form-urlencoded", schema)
    return made


def _body(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": schema}}}


def _parameter(given: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    made = {
        "name": given["name"],
        "in": given["in"],
        "required": bool(given.get("required")),
        "schema": schema,
    }
    if schema.get("type") == "array":
        schema.setdefault("items", {"type": "string"})
        made |= {"style": "form", "explode": given.get("collectionFormat") == "multi"}
    return made
