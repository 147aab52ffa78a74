"""What a connector can list for a person who sets it up. Optional: else names are typed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from connectors.model import Device, DeviceKind


@runtime_checkable
class ListsSearches(Protocol):
    """A SIEM that says which saved searches the account sees."""

    def saved_search_names(self, app: str) -> Sequence[str]:
        """By name, those of an app. Errors: `ConnectorError`."""
        ...


@runtime_checkable
class ListsKinds(Protocol):
    """An EDR that says which devices are of a kind."""

    def devices_of_kind(self, kind: DeviceKind) -> Sequence[Device]:
        """All of them. Errors: `ConnectorError`; `Rejected` when they are too many to list."""
        ...
