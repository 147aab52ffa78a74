"""What can go wrong at a product, grouped by what the caller does next.

    ConnectorError
    ├── Unavailable        nothing happened; wait and try again
    ├── Rejected           useless to repeat as it is
    │   ├── AuthFailed     the identity or its permission was refused (401, 403)
    │   └── NotFound       the thing that was named does not exist
    └── OutcomeUnknown     it may have happened: look before anything else

Facts are attributes; no code parses a message. It holds no secret: texts are redacted by
`connectors/http.py` before they come here.
"""

from __future__ import annotations


class ConnectorError(Exception):
    """A product did not do what was asked. `text` is one sentence for a person."""

    def __init__(
        self,
        product: str,
        text: str,
        *,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(f"{product}: {text}")
        self.product = product
        self.text = text
        self.status = status
        self.code = code


class Unavailable(ConnectorError):
    """Nothing happened at the product; the same request may be sent later."""

    def __init__(
        self,
        product: str,
        text: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(product, text, status=status, code=code)
        self.retry_after_s = retry_after_s


class Rejected(ConnectorError):
    """The product understood and said no; sending it again changes nothing."""

    def __init__(
        self,
        product: str,
        text: str,
        *,
        status: int | None = None,
        code: str | None = None,
        candidates: tuple[str, ...] = (),
    ) -> None:
        super().__init__(product, text, status=status, code=code)
        self.candidates = candidates


class AuthFailed(Rejected):
    """The credentials, or the permission behind them, were refused."""


class NotFound(Rejected):
    """The product does not know the thing that was named."""


class OutcomeUnknown(ConnectorError):
    """The request may have taken effect: no repeat before a look at the product."""
