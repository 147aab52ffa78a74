"""What a configuration says of a CrowdStrike Falcon tenant."""

from __future__ import annotations

import re

from connectors.product import Product

_CUSTOMER = re.compile(r"[0-9a-fA-F]{32}(-[0-9a-fA-F]{2})?")


class FalconProduct(Product):
    """One tenant's API client."""

    TYPE = "falcon"
    ROLE = "edr"
    CREDENTIALS = ("client_id", "client_secret")
    USUAL_URL = "https://api.crowdstrike.com"

    class Options(Product.Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """`member_cid`: the customer id of one child tenant, when the API client belongs to the
        parent; the token is then locked to it, and devices of others are not ours."""

        member_cid: str | None = None

        def __post_init__(self) -> None:
            if self.member_cid is not None and not _CUSTOMER.fullmatch(self.member_cid):
                raise ValueError("member_cid is a customer id: 32 hexadecimal digits")
