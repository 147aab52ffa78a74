"""What differs between Jira Cloud (REST v3) and Jira Data Center (REST v2), and nothing else.

Sources: the vendor's OpenAPI document of the Cloud platform REST API v3, read 2026-11-25. For Data
Center there is no such document at hand: v2 as Atlassian's pages and the client `jira` 3.10.5 for
Python have it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from connectors.document import Document
from connectors.errors import Rejected, Unavailable
from connectors.model import JsonObject, Secret
from connectors.tickets.adf import adf_of, last_paragraph
from connectors.tickets.jira_product import JiraProduct
from connectors.tickets.jira_session import PRODUCT, JiraSession
from connectors.tickets.jira_text import shown
from connectors.tickets.wiki import escaped, last_line, wiki_of

_SEARCH_PAGE = 50


class Dialect(Protocol):
    """One of the two. `api`: the version in each path."""

    api: str

    def credentials(self, given: Mapping[str, Secret]) -> tuple[Secret, ...]:
        """Those that sign in. Errors: `KeyError` for one that is not there."""
        ...

    def signs_in(self, credentials: Sequence[Secret]) -> str:
        """What the header `Authorization` says."""
        ...

    def text_of(self, document: Document, tail: Sequence[str] = ()) -> Any:
        """Rich text as a field takes it, with a paragraph for each text of `tail` at its end."""
        ...

    def ends_with(self, body: object, marker: str) -> bool:
        """Is `marker` the last paragraph of this rich text? Nothing else in it counts."""
        ...

    def search(self, session: JiraSession, jql: str, fields: Sequence[str]) -> Iterator[Any]:
        """Each issue that matches. Errors: `Unavailable` for an answer that is not whole."""
        ...

    def is_known(self, me: JsonObject) -> bool:
        """Does the answer on who we are name an account?"""
        ...


class Cloud:
    """Basic with an e-mail address and an API token; Atlassian documents; pages by token."""

    api = "3"

    def credentials(self, given: Mapping[str, Secret]) -> tuple[Secret, ...]:
        return (given["email"], given["api_token"])

    def signs_in(self, credentials: Sequence[Secret]) -> str:
        pair = ":".join(secret.reveal() for secret in credentials).encode()
        return f"Basic {b64encode(pair).decode('ascii')}"

    def text_of(self, document: Document, tail: Sequence[str] = ()) -> Any:
        return adf_of(document, tail=tail)

    def ends_with(self, body: object, marker: str) -> bool:
        return last_paragraph(body) == shown(marker)

    def search(self, session: JiraSession, jql: str, fields: Sequence[str]) -> Iterator[Any]:
        """A short page is not the last one: only a missing token ends the list.
        Source: `POST /rest/api/3/search/jql`."""
        query: JsonObject = {"jql": jql, "fields": [*fields], "maxResults": _SEARCH_PAGE}
        seen: set[str] = set()
        while True:
            page = session.read(session.path("search", "jql"), query=query)
            yield from _issues(page)
            token = page.get("nextPageToken")
            if not token and page.get("isLast") is not False:
                return
            if not isinstance(token, str) or token in seen:
                raise Unavailable(PRODUCT, "the search does not lead to its next page")
            seen.add(token)
            query = {**query, "nextPageToken": token}

    def is_known(self, me: JsonObject) -> bool:
        return bool(me.get("accountId"))


class DataCenter:
    """A personal access token; wiki markup; pages by `startAt` and `total`."""

    api = "2"

    def credentials(self, given: Mapping[str, Secret]) -> tuple[Secret, ...]:
        return (given["token"],)

    def signs_in(self, credentials: Sequence[Secret]) -> str:
        return f"Bearer {credentials[0].reveal()}"

    def text_of(self, document: Document, tail: Sequence[str] = ()) -> Any:
        return wiki_of(document, tail=tail)

    def ends_with(self, body: object, marker: str) -> bool:
        return last_line(body) == escaped(shown(marker))

    def search(self, session: JiraSession, jql: str, fields: Sequence[str]) -> Iterator[Any]:
        """Source: `POST /rest/api/2/search`. An administrator may cap a page below what was asked
        (`jira.search.views.default.max`): only `total` ends the list."""
        start_at = 0
        while True:
            query: JsonObject = {"jql": jql, "fields": [*fields], "maxResults": _SEARCH_PAGE}
            page = session.read(session.path("search"), query={**query, "startAt": start_at})
            issues, total = _issues(page), page.get("total")
            if not isinstance(total, int):
                raise Unavailable(PRODUCT, "the search does not say how many issues there are")
            yield from issues
            start_at += len(issues)
            if start_at >= total:
                return
            if not issues:
                text = f"the search ended at {start_at} of {total} issues"
                raise Unavailable(PRODUCT, text)

    def is_known(self, me: JsonObject) -> bool:
        return bool(me.get("key") or me.get("name"))


def dialect_of(options: JiraProduct.Options, given: Mapping[str, Secret]) -> Dialect:
    """The dialect that `options.deployment` means. Errors: `Rejected` for the other's
    credentials."""
    dialect: Dialect = DataCenter() if options.deployment == "data_center" else Cloud()
    try:
        dialect.credentials(given)
    except KeyError as missing:
        text = f"with deployment {options.deployment} credentials need {missing}"
        raise Rejected(PRODUCT, text) from None
    return dialect


def _issues(page: JsonObject) -> list[Any]:
    issues = page.get("issues")
    if not isinstance(issues, list):
        raise Unavailable(PRODUCT, "the search gave no list of issues")
    return issues
