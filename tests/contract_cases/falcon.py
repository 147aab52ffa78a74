"""Falcon, for the contract suite."""

from __future__ import annotations

import json
from typing import Any

from connectors.errors import (
    AuthFailed,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

_DEVICE = "0123456789abcdef0123456789abcdef"
_TWIN = "fedcba9876543210fedcba9876543210"


def _said(resources: list[Any], **meta: Any) -> dict[str, Any]:
    return {"meta": {"trace_id": "t", **meta}, "resources": resources, "errors": []}


def _answer(request: Request) -> Reply:
    match request.path:
        case "/oauth2/token":
            token = {"access_token": "made-up-session-token-5ec2e75ec2e7", "expires_in": 1799}
            return json_reply({**token, "token_type": "bearer"}, 201)
        case "/devices/queries/devices/v1":
            page = {"total": 1, "offset": 0, "limit": 500}
            return json_reply(_said([_DEVICE], pagination=page))
        case "/devices/entities/devices/v2":
            record = {
                "device_id": _DEVICE,
                "cid": "0" * 32,
                "hostname": "WS-042",
                "machine_domain": "corp.example.test",
                "product_type_desc": "Workstation",
                "platform_name": "Windows",
                "status": "normal",
                "last_seen": "2026-11-25T11:59:00Z",
                "local_ip": "192.0.2.42",
                "tags": ["FalconGroupingTags/lab"],
            }
            return json_reply(_said([record]))
        case "/devices/entities/devices-actions/v2":
            if request.json["ids"] != [_DEVICE]:
                return json_reply(_error(404, "no such device"), 404)
            return json_reply(_said([{"id": _DEVICE, "path": "/x"}]), 202)
    return json_reply(_error(404, "no such path"), 404)


def _error(code: int, text: str) -> dict[str, Any]:
    return {"meta": {}, "resources": [], "errors": [{"code": code, "message": text}]}


_DENIES = json_reply(_error(403, "denied"), 403)


def _two_devices(request: Request, good: Reply) -> Reply:
    said = json.loads(good.body)
    if request.path == "/devices/queries/devices/v1":
        said["resources"].append(_TWIN)
        said["meta"]["pagination"]["total"] = 2
    elif request.path == "/devices/entities/devices/v2":
        said["resources"].append({**said["resources"][0], "device_id": _TWIN})
    return good.with_json(said)


CASE = Case(
    credentials={
        "client_id": "made-up-client-id",
        "client_secret": "made-up-client-secret-5ec2e75ec2e7",
    },
    answer=_answer,
    reads={
        "find_devices": lambda edr: edr.find_devices(hostname="WS-042"),
        "find_devices by id": lambda edr: edr.find_devices(device_id=_DEVICE),
        "read_device": lambda edr: edr.read_device(_DEVICE),
        "count_devices": lambda edr: edr.count_devices("WS-*"),
        "contained_devices": lambda edr: edr.contained_devices(),
    },
    once={
        "isolate_host": lambda edr: edr.isolate_host(_DEVICE, "case 1"),
        "release_host": lambda edr: edr.release_host(_DEVICE, "case 1"),
    },
    is_read=lambda request: (
        request.method == "GET" or request.path in ("/devices/entities/devices/v2",)
    ),
    is_session=lambda request: request.path == "/oauth2/token",
    refusal=lambda text: {"errors": [{"code": 400, "message": text}], "resources": []},
    no_permission=(
        (only("/queries/devices/v1", _DENIES), "Hosts: Read"),
        (only("-actions/v2", _DENIES), "Hosts: Write"),
        (only("/oauth2/token", json_reply(_error(401, "access denied"), 401)), "denied"),
    ),
    hidden_errors=(
        ("isolate_host", json_reply(_error(409, "already contained"), 202), Rejected),
        ("isolate_host", json_reply(_error(500, "broken"), 202), OutcomeUnknown),
        ("isolate_host", json_reply(_said([]), 202), OutcomeUnknown),
        ("release_host", json_reply(_said([{"id": "f" * 32}]), 202), OutcomeUnknown),
        ("find_devices", json_reply(_error(403, "denied")), AuthFailed),
        ("find_devices", json_reply(_error(500, "broken")), Unavailable),
        ("read_device", json_reply(_said([])), NotFound),
        ("count_devices", json_reply(_error(500, "broken")), Unavailable),
    ),
    # Two sensors of one name: both, and never the first.
    twins=((_two_devices, lambda edr: len(edr.find_devices(hostname="WS-042")), 2),),
    empty_selectors={
        "find_devices": lambda edr: edr.find_devices(hostname=""),
        "find_devices by nothing": lambda edr: edr.find_devices(),
        "read_device": lambda edr: edr.read_device(""),
        "isolate_host": lambda edr: edr.isolate_host("", "case 1"),
        "release_host": lambda edr: edr.release_host("", "case 1"),
    },
    told={
        # An id that Falcon does not know is an ordinary answer of a search: nobody has it.
        ("find_devices by id", 404): None,
    },
    # An empty 202 is taken as "accepted"; that it holds is read from the device afterwards.
    bodyless=frozenset({"isolate_host", "release_host"}),
)
