"""A fence for tests that run vendors' clients: nothing may leave this machine.

A vendor's client knows its vendor's cloud and may turn to it by itself (falconpy does when a reply
names a region). `pytest.fail` raises a `BaseException`: no client can take it for an outage.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

__all__ = ["loopback_only"]


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up any name but loopback's fails the test."""
    real = socket.getaddrinfo

    def guarded(host: Any, *others: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in ("127.0.0.1", "localhost", None, ""):
            pytest.fail(f"a client left loopback: {name}", pytrace=False)
        return real(host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
