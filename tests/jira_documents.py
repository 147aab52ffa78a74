"""Atlassian's own documents as judges: of each request to Jira, and of each rich text (ADF).

The files and their licences: `tests/specs/README.md`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from jsonschema import Draft4Validator
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest

BASE = "https://jira.example.test"
SPECS = Path(__file__).parent / "specs"


def vendor_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SPECS / "jira.json").read_text("utf-8"))
    document["servers"] = [{"url": BASE}]
    return document


OUR_NODES = (
    *("doc_node", "codeBlock_node", "bulletList_node", "listItem_node", "text_with_no_marks_node"),
    *("heading_with_no_marks_node", "paragraph_with_no_marks_node", "formatted_text_inline_node"),
    *("table_node", "table_row_node", "table_cell_node", "table_header_node", "inline_node"),
)


def narrowed(schema: Any) -> Any:
    """The vendor's schema with only our nodes among its alternatives: it allows less than the whole
    one, never more, and answers some fifty times sooner."""
    if isinstance(schema, list):
        return [narrowed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: narrowed(value) for key, value in schema.items()}
    if "anyOf" in kept:
        names = [part.get("$ref", "").rpartition("/")[2] for part in kept["anyOf"]]
        kept["anyOf"] = [
            part
            for part, name in zip(kept["anyOf"], names, strict=True)
            if not name or name in OUR_NODES
        ] or kept["anyOf"]
    return kept


VENDOR = OpenAPI.from_dict(vendor_document())
WHOLE_ADF = Draft4Validator(json.loads((SPECS / "adf.json").read_text("utf-8")))
ADF = Draft4Validator(narrowed(WHOLE_ADF.schema))


class SentRequest(RequestsOpenAPIRequest):
    """openapi-core checks path values before decoding them: decode all but an encoded slash."""

    @property
    def path(self) -> str:
        parts = str(super().path).replace("%2f", "%2F").split("%2F")
        return "%2F".join(unquote(part) for part in parts)


def assert_in_vendor_document(request: requests.PreparedRequest) -> None:
    # The document allows strangers everywhere; we never ask as one.
    assert str(request.headers.get("Authorization", "")).startswith("Basic ")
    if urlsplit(str(request.url)).path.endswith("/attachments"):
        # The document calls the multipart body a JSON array, which no client can send: only this
        # one body is waived, and `test_attach_…` reads it itself.
        return
    VENDOR.validate_request(SentRequest(request))
