"""Rows in lists that one transaction can take, so that a poll of any size holds little memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from connectors.model import Row

ROWS_AT_ONCE = 1000
"""Rows stored in one transaction."""


def chunks_of(rows: Iterator[Row]) -> Iterator[tuple[list[Row], bool]]:
    """Lists of rows, the last one marked; one empty list when there are none."""
    chunk = list(islice(rows, ROWS_AT_ONCE))
    while True:
        following = list(islice(rows, ROWS_AT_ONCE))
        yield chunk, not following
        if not following:
            return
        chunk = following
