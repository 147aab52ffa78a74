"""Changes of a configuration under which a real server stands in a stand-in's place."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from tests.real.rt_server import RtServer
from tests.real.synapse_server import User
from tests.world_settings import malicious

FIELDS = {"Severity": "high", "Affected Host": ["ws-1", "ws-2"]}
"""Custom fields that each ticket of these tests carries besides its key."""


_numbers = count(1000)


def own_cmdline() -> str:
    """A command line that no other test of this run has: a case is known by it, and its ticket by
    the case, so that no test takes the ticket of another one for its own."""
    return malicious(number=next(_numbers))


def with_rt(server: RtServer, folder: Path, account: str = "stockade") -> dict[str, Any]:
    """The change that binds RT in Jira's place; its token lies where the configuration says."""
    _keep_secret(folder, "rt.token", server.tokens[account])
    rt = {
        "type": "rt",
        "base_url": server.base_url,
        "credentials": {"token": {"file": "secrets/rt.token"}},
        "settle_s": 1,
        "options": {"queue": "Incidents", "fields": FIELDS},
    }
    return {"connectors": {"jira": None, "rt": rt}, "roles": {"tickets": "rt"}}


def with_matrix(
    folder: Path, bot: User, room: str, responder_a: User, responder_b: User
) -> dict[str, Any]:
    """The change that binds a room of Synapse in Slack's place, with two approvers in it."""
    _keep_secret(folder, "matrix.token", bot.token)
    matrix = {
        "type": "matrix",
        "base_url": bot.base_url,
        "credentials": {"token": {"file": "secrets/matrix.token"}},
        "options": {"room": room},
        "settle_s": 1,
    }
    return {
        "people": {
            "responder-a": {"slack": None, "matrix": responder_a.id},
            "responder-b": {"slack": None, "matrix": responder_b.id},
        },
        "connectors": {"slack": None, "matrix": matrix},
        "roles": {"chat": "matrix"},
    }


def _keep_secret(folder: Path, name: str, value: str) -> None:
    secret = folder / "secrets" / name
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(value)
