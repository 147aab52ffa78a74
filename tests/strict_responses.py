"""A `responses` registry under which an unregistered call fails the test.

Plain `responses` answers such a call with a connection error, which our own code takes for an
outage, so that a wrong URL looks like a product that is down. `pytest.fail` raises a
`BaseException`: no error handling of ours can swallow it.

    from tests.strict_responses import strict_responses

    def test_x(strict_responses: RequestsMock) -> None:
        strict_responses.get("https://siem.example.test/…", json={…})
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from requests import PreparedRequest
from responses import BaseResponse, RequestsMock
from responses.registries import FirstMatchRegistry

__all__ = ["StrictRegistry", "strict_responses"]


class StrictRegistry(FirstMatchRegistry):
    """Finds as usual (first match, used up while others match too); finding nothing is a fault."""

    def find(self, request: PreparedRequest) -> tuple[BaseResponse | None, list[str]]:
        found, reasons = super().find(request)
        if found is None:
            why = "\n".join(f"  - {reason}" for reason in reasons) or "  - no response fits its URL"
            pytest.fail(f"unregistered call: {request.method} {request.url}\n{why}", pytrace=False)
        return found, reasons


@pytest.fixture
def strict_responses() -> Iterator[RequestsMock]:
    """No network: only what the test registers is answered, and all of it must be called."""
    with RequestsMock(registry=StrictRegistry, assert_all_requests_are_fired=True) as mock:
        yield mock
