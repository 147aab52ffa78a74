"""What a configuration says of a Splunk deployment."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from connectors.product import Product

SAVED_ROW_CAP = 500_000
"""Splunk's own default of `dispatch.max_count`; it is always sent, so that the cap is known."""


class SplunkProduct(Product):
    """One deployment, searched by one account: a token, or a user name with its password."""

    TYPE: ClassVar[str] = "splunk"
    ROLE: ClassVar[str] = "siem"
    CREDENTIALS: ClassVar[tuple[str, ...]] = ("token",)
    OR_CREDENTIALS: ClassVar[tuple[str, ...]] = ("username", "password")

    class Options(Struct, frozen=True, forbid_unknown_fields=True):
        """`ignored_warnings`: parts of warnings that do not mean missing rows on this deployment.
        Without them a standing warning keeps the watermark where it is, and says so.
        `row_cap`: rows that a saved search may return at once; more is a truncated answer."""

        ignored_warnings: tuple[str, ...] = ()
        row_cap: int = SAVED_ROW_CAP

        def __post_init__(self) -> None:
            if not 1 <= self.row_cap <= SAVED_ROW_CAP:
                raise ValueError(f"row_cap is between 1 and {SAVED_ROW_CAP}")
            if any(len(part.strip()) < 10 for part in self.ignored_warnings):
                raise ValueError("a part of a warning has at least ten characters")
