"""What a configuration may say of a product; nothing of how the product is called."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Product:
    """What a configuration may and must say of one product. It lies apart from the client, so that
    a configuration is read without loading the clients that a tick does not need."""

    TYPE: ClassVar[str]
    """The word in a configuration's `type`."""
    ROLE: ClassVar[str]
    CREDENTIALS: ClassVar[tuple[str, ...]]
    """Names of the credentials that a configuration must give."""
    OR_CREDENTIALS: ClassVar[tuple[str, ...]] = ()
    """Names of those that it may give in place of them, all together; never both."""
    MAY_CREDENTIALS: ClassVar[tuple[str, ...]] = ()
    """Names of those that it may give beside them, for what is not always wanted."""
    OR_OPTIONS: ClassVar[dict[str, str]] = {}
    """Options that go with those, and only with those; empty when no option depends on them."""
    USUAL_URL: ClassVar[str] = ""
    """The address that most have; what `stockade init` offers."""

    class Options(Struct, frozen=True, forbid_unknown_fields=True):
        """The keys of a configuration that only this product has."""
