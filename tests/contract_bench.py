"""A connector on the bench: its fake product, its clock, and the calls of its case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from connectors.base import Connector
from connectors.errors import (
    ConnectorError,
)
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret
from connectors.registry import CONNECTORS, load_connector
from tests.contract_cases import CASES, Case
from tests.fake_clock import FakeClock
from tests.fake_product import (
    Conversation,
    FakeTransport,
    Reply,
)

NAMES = sorted({*CONNECTORS, *CASES})
PURE = {"card_sha256", "is_card", "can_mention"}
"""Role methods that send nothing."""


def class_of(name: str) -> type[Connector]:
    return load_connector(name.partition(",")[0])


def case_of(name: str) -> Case:
    if name not in CASES:
        pytest.fail(
            f"the connector {name!r} has no case: describe its fake product and its calls in "
            "tests/contract_cases/, and the whole contract applies to it",
            pytrace=False,
        )
    return CASES[name]


def build(name: str, base_url: str, runtime: Runtime, **settings: Any) -> Any:
    case, cls = case_of(name), class_of(name)
    return cls(
        name=f"{name}-test",
        tenant="tenant-1",
        settings=HttpSettings(base_url=base_url, **settings),
        credentials={key: Secret(value) for key, value in case.credentials.items()},
        options=msgspec.convert(dict(case.options), cls.Options),
        runtime=runtime,
    )


@dataclass
class Bench:
    """A connector, the product that it talks to, and the clock between them."""

    name: str
    case: Case
    product: Conversation
    clock: FakeClock
    connector: Any

    def call(self, name: str) -> object:
        return self.case.calls()[name](self.connector)

    def warm(self, name: str) -> None:
        """Call once while all is well, so that tokens and versions are known."""
        self.call(name)
        # Past what is kept for a minute (a product's clock), not past a session.
        self.clock.advance(120)
        self.product.forget()
        self.clock.sleeps.clear()

    def break_with(self, reply: Reply) -> None:
        """Answer everything but signing in with this."""
        self.product.fault = lambda request, good: good if self.case.is_session(request) else reply

    def due_error(self, call: str, status: int, rule: type[ConnectorError]) -> Any:
        return self.case.told.get((call, status), rule)


def bench(name: str) -> Bench:
    case = case_of(name)
    product, clock = Conversation(case.answer), FakeClock()
    runtime = Runtime(clock=clock, transport=lambda: FakeTransport(product))
    return Bench(name, case, product, clock, build(name, "https://product.example.test", runtime))


def each_call(kind: str) -> list[tuple[str, str]]:
    """(connector, call) for all calls of a kind; a connector without a case still shows up."""
    found: list[tuple[str, str]] = []
    for name in NAMES:
        calls = getattr(CASES[name], kind) if name in CASES else {"no case": None}
        found += [(name, call) for call in (calls() if callable(calls) else calls)]
    return found


def waits(pair: tuple[str, str]) -> bool:
    """Does this call wait as a 503 tells, or does its product mean something of its own by it?"""
    case = CASES.get(pair[0])
    return case is None or case.waits_on_503 is None or pair[1] in case.waits_on_503


ALL_CALLS = pytest.mark.parametrize(("name", "call"), each_call("calls"))
READS = pytest.mark.parametrize(("name", "call"), each_call("reads"))
ONCE = pytest.mark.parametrize(("name", "call"), each_call("once"))
EACH = pytest.mark.parametrize("name", NAMES)
