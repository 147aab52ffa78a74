"""A `requests.Session` that holds every exchange against a vendor's OpenAPI 3 document.

A request that breaks the contract raises before it is sent; a reply, after it came. In process, by
openapi-core.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.exceptions import OpenAPIError


class ContractError(AssertionError):
    """The exchange breaks the vendor's document; the text names the field."""


class _Exchange(RequestsOpenAPIRequest):
    @property
    def path(self) -> str:
        """Path values decoded, which openapi-core does not do, but for the slash, which must not
        split a segment."""
        encoded = str(super().path).replace("%2f", "%2F")
        return "%2F".join(unquote(part) for part in encoded.split("%2F"))


class ContractSession(requests.Session):
    """`waived`: ends of paths where the document itself is wrong; say why where you name one."""

    def __init__(self, api: OpenAPI, waived: Collection[str] = ()) -> None:
        super().__init__()
        self._api = api
        self._waived = tuple(waived)
        self.judged = 0

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        path = request.path_url.partition("?")[0]
        if self._waived and path.endswith(self._waived):
            return super().send(request, **how)
        exchange = _Exchange(request)
        try:
            self._api.validate_request(exchange)
        except OpenAPIError as error:
            raise ContractError(f"request {request.method} {path}\n{_told(error)}") from error
        reply = super().send(request, **how)
        if reply.content:  # an empty 204 is never a fault
            try:
                self._api.validate_response(exchange, RequestsOpenAPIResponse(reply))
            except OpenAPIError as error:
                where = f"reply {reply.status_code} to {request.method} {path}"
                raise ContractError(f"{where}\n{_told(error)}") from error
        self.judged += 1
        return reply


def on_loopback(document: dict[str, Any]) -> OpenAPI:
    """The document with a server on loopback in place of the vendor's cloud."""
    port = {"port": {"default": "80"}}
    servers = [{"url": "http://127.0.0.1:{port}", "variables": port}]
    return OpenAPI.from_dict({**document, "servers": servers})


@cache
def opened(file: Path) -> OpenAPI:
    """A document in a file, on loopback."""
    return on_loopback(json.loads(file.read_text(encoding="utf-8")))


def _told(error: BaseException | None) -> str:
    """The chain of causes, with the fields that a schema refused."""
    lines: list[str] = []
    while error is not None:
        lines.append(f"{type(error).__name__}: {str(error)[:300]}")
        for fault in getattr(error, "schema_errors", None) or ():
            where = "/".join(map(str, fault.absolute_path)) or "body"
            lines.append(f"  at {where}: {fault.message[:300]}")
        error = error.__cause__
    return "\n".join(lines)
