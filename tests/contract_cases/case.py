"""What one case holds, and how a product's single path is faulted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import ConnectorError
from tests.fake_product import Answer, Fault, Reply, Request

Call = Callable[[Any], object]


def _never(_request: Request) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Case:
    """How one connector is called, and what its product says.

    `once`: calls whose request is never repeated when its answer was lost; `reads`: the others.
    `told`: what a call does with a status that the product means otherwise than the rule says: an
    error class, or None for an ordinary answer. `bodyless`: calls that take an empty
    body; `unread`: calls that look at no body.
    `waits_on_503`: the calls that wait as a 503 tells (None: all); a product may mean something of
    its own by it. `no_permission`: a fault, and the word that `check` must then say. `twins`: a
    fault by which two things match, and what the call gives then."""

    credentials: Mapping[str, str]
    answer: Answer
    reads: Mapping[str, Call]
    once: Mapping[str, Call]
    is_read: Callable[[Request], bool]
    refusal: Callable[[str], Any]
    no_permission: Sequence[tuple[Fault, str]]
    hidden_errors: Sequence[tuple[str, Reply, type[ConnectorError]]]
    empty_selectors: Mapping[str, Call]
    twins: Sequence[tuple[Fault, Call, object]]
    options: Mapping[str, Any] = field(default_factory=dict)
    more_secrets: tuple[str, ...] = ()
    is_session: Callable[[Request], bool] = _never
    told: Mapping[tuple[str, int], type[ConnectorError] | None] = field(default_factory=dict)
    bodyless: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    says_otherwise: frozenset[str] = frozenset()
    waits_on_503: frozenset[str] | None = None

    def calls(self) -> dict[str, Call]:
        return {**self.reads, **self.once}


def only(path: str, reply: Reply) -> Fault:
    """Answer one path with this reply, the others well."""
    return lambda request, good: reply if request.path.endswith(path) else good
