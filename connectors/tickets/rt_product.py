"""What a configuration says of a queue of Request Tracker."""

from __future__ import annotations

import re

from msgspec import field

from connectors.product import Product

# What stands in TicketSQL or a path is letters, digits and a few harmless signs: no quote, brace,
# slash or backslash can come in.
_NAME = re.compile(r"\w[\w .:()-]{0,99}")


class RtProduct(Product):
    """One queue of one Request Tracker 5."""

    TYPE = "rt"
    ROLE = "tickets"
    CREDENTIALS = ("token",)

    class Options(Product.Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """`queue`: its name. `key_field`: name of the custom field (one value, free text) by which
        a case's ticket is found again. `fields`: name of a custom field → the value, or the list of
        values, that every ticket gets. `priorities`: severity → RT's number; none is sent without
        it. `site_url`: where people read tickets, when that is not `base_url`."""

        queue: str
        key_field: str = "Stockade Key"
        fields: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
        priorities: dict[str, int] = field(default_factory=dict)
        site_url: str | None = None

        def __post_init__(self) -> None:
            if not _NAME.fullmatch(self.queue) or self.queue.isdigit():
                raise ValueError("queue is a queue's name: letters, digits and blanks, no number")
            if not _NAME.fullmatch(self.key_field):
                raise ValueError("key_field is a custom field's name: letters, digits and blanks")
            if self.key_field in self.fields:
                raise ValueError(f"fields may not set {self.key_field}: it is the key_field")
            if empty := [name for name, value in self.fields.items() if not all(values_of(value))]:
                raise ValueError(f"fields gives no value to {empty}")
            if self.site_url is not None and not self.site_url.startswith("https://"):
                raise ValueError("site_url begins with https://")


def values_of(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """What a field is set to, as a tuple; nothing at all is one empty value."""
    return (value,) if isinstance(value, str) else (value or ("",))
