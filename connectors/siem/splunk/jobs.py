"""What splunkd's words about a job mean: its state, its messages, its rows, its error bodies.

Pure reading of bodies that were already received. Whatever is not known to be good is not good: an
unknown state is a failure, an unknown kind of message makes an answer partial.

Source: docs.splunk.com REST API Reference "search/jobs"; splunk-sdk 2.1.1 `client.py`; read
2026-11-25."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from msgspec import Struct

from connectors.errors import Unavailable
from connectors.model import JsonObject, Row, SearchPhase, SearchStatus

PRODUCT = "splunk"

_UNFINISHED = frozenset({"QUEUED", "PARSING", "RUNNING", "PAUSED", "FINALIZING"})
_WAITING = {
    "QUEUED": "INFO: it is QUEUED, because as many searches run as the role or the system may run",
    "PAUSED": "INFO: it is PAUSED, and goes on only when somebody lets it",
}
_LATEST_SLACK_S = 300
_TALK = frozenset({"INFO", "DEBUG"})
"""Kinds of message that say nothing about missing rows."""
_XML_MESSAGE = re.compile(r"<msg\b[^>]*>(.*?)</msg>", re.DOTALL)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_NOT_STARTED = ("concurren", "not executed", "could not be dispatched")
"""Parts of what splunkd says when a limit kept a search from starting: how many run, the disk that
a role may use, the disk that is left."""
_MAX_EXCERPT_BYTES = 4000


class Message(Struct, frozen=True):
    """One thing that splunkd said. `kind`: FATAL, ERROR, WARN, INFO, DEBUG, or what came."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def messages_in(value: object) -> tuple[Message, ...]:
    """The messages of a reply or a job: a list of objects, or (older) an object of lists by kind.
    A shape that is neither counts as an error that nobody could read."""
    if not value:
        return ()
    if isinstance(value, dict):
        pairs = [(kind, text) for kind, texts in value.items() for text in _listed(texts)]
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        pairs = [(item.get("type"), item.get("text")) for item in value]
    else:
        pairs = [("ERROR", f"unreadable messages: {json.dumps(value)}")]
    return tuple(Message(str(kind or "ERROR").upper(), _text(text)) for kind, text in pairs)


def doubts(messages: Sequence[Message], ignored_warnings: Sequence[str]) -> tuple[Message, ...]:
    """The messages after which rows may be missing. A warning may be declared harmless by a part of
    its text; an error may not."""
    return tuple(
        message
        for message in messages
        if message.kind not in _TALK
        and not (
            message.kind == "WARN"
            and any(part.lower() in message.text.lower() for part in ignored_warnings)
        )
    )


def read_status(
    reply: object,
    row_cap: int,
    ignored_warnings: Sequence[str] = (),
    asked: tuple[int | None, int | None] = (None, None),
) -> SearchStatus:
    """A job's status reply as a phase. `asked`: start and end of the event time that was asked
    for. Errors: `Unavailable` when it is no status at all."""
    content = content_of(reply)
    messages = messages_in(content.get("messages"))
    if isinstance(reply, dict):
        messages += messages_in(reply.get("messages"))
    messages += narrowed(content, *asked)
    serious = doubts(messages, ignored_warnings)
    row_count = _count(content.get("resultCount"))
    phase = _phase(content, row_count, row_cap, serious)
    said = tuple(str(message) for message in dict.fromkeys(messages) if message.kind != "DEBUG")
    state = str(content.get("dispatchState"))
    if phase is SearchPhase.FAILED and not said:
        said = (f"ERROR: the job ended as {state}",)
    if phase is SearchPhase.RUNNING and state in _WAITING:
        said += (_WAITING[state],)
    return SearchStatus(phase=phase, row_count=row_count, messages=said)


def narrowed(content: JsonObject, start: int | None, end: int | None) -> tuple[Message, ...]:
    """Words about a search that looked over less event time than was asked for: by `srchTimeWin` of
    the role, or by time words in its own text, both of which splunkd applies without a warning.
    `ERROR`, so that no setting can declare it harmless.
    Source: authorize.conf.spec; REST API Reference "search/jobs", 2026-11-25."""
    first, last = event_range(content)
    cut = []
    if start is not None and first is not None and first > start + 1:
        cut.append(f"it begins at {first:.0f} and not at {start}")
    if end is not None and last is not None and last + _LATEST_SLACK_S < end:
        cut.append(f"it ends at {last:.0f} and not at {end}")
    if not cut:
        return ()
    text = f"the time range was narrowed: {', '.join(cut)}; look at srchTimeWin and the text"
    return (Message("ERROR", text),)


def event_range(content: JsonObject) -> tuple[float | None, float | None]:
    """The event time that a job looks over, in epoch seconds; None for what it does not tell."""
    return _epoch(content.get("searchEarliestTime")), _epoch(content.get("searchLatestTime"))


def _epoch(value: object) -> float | None:
    """Epoch seconds; None for what is not told (0 too)."""
    try:
        at = float(str(value))
    except ValueError:
        return None
    return at if math.isfinite(at) and at > 0 else None


def _phase(
    content: JsonObject, row_count: int, row_cap: int, serious: Sequence[Message]
) -> SearchPhase:
    state = str(content.get("dispatchState"))
    if is_set(content.get("isFailed")) or is_set(content.get("isZombie")):
        return SearchPhase.FAILED
    if state in _UNFINISHED:
        return SearchPhase.RUNNING
    if state != "DONE":
        return SearchPhase.FAILED
    if not is_set(content.get("isDone")):
        return SearchPhase.RUNNING
    if any(message.kind == "FATAL" for message in serious):
        return SearchPhase.FAILED
    # Cut short by a limit on time or size: the same question would be cut again, half of it may
    # not.
    if is_set(content.get("isFinalized")) or row_count >= row_cap:
        return SearchPhase.TRUNCATED
    return SearchPhase.PARTIAL if serious else SearchPhase.COMPLETE


def is_set(value: object) -> bool:
    """A boolean of splunkd: true, 1, "1", "true", "t"; nothing else."""
    return value is True or str(value).strip().lower() in ("1", "true", "t")


def content_of(reply: object) -> JsonObject:
    """`entry[0].content`. Errors: `Unavailable`."""
    entries = reply.get("entry") if isinstance(reply, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    content = first.get("content") if isinstance(first, dict) else None
    if not isinstance(content, dict):
        raise Unavailable(PRODUCT, "answered without the entry that was asked for")
    return content


def names_of(reply: object) -> list[str]:
    """The names of all entries of a feed. Errors: `Unavailable`."""
    entries = reply.get("entry") if isinstance(reply, dict) else None
    if not isinstance(entries, list):
        raise Unavailable(PRODUCT, "answered without the list that was asked for")
    return [str(one["name"]) for one in entries if isinstance(one, dict) and "name" in one]


def _count(value: object) -> int:
    try:
        count = int(str(value))
    except ValueError:
        raise Unavailable(PRODUCT, "gave no number of results for the job") from None
    if count < 0:
        raise Unavailable(PRODUCT, "gave a negative number of results for the job")
    return count


# -- rows ------------------------------------------------------------------------------------------


class Page(Struct, frozen=True):
    """One page of results, read whole before any row of it is handed on."""

    rows: tuple[Row, ...]
    messages: tuple[Message, ...]


def read_page(reply: object) -> Page:
    """Errors: `Unavailable` when it is no page of results."""
    if not isinstance(reply, dict) or not isinstance(reply.get("results"), list):
        messages = messages_in(reply.get("messages")) if isinstance(reply, dict) else ()
        said = f": {messages[0]}" if messages else ""
        raise Unavailable(PRODUCT, f"answered without results{said}")
    if is_set(reply.get("preview")):
        raise Unavailable(PRODUCT, "gave a preview in place of results")
    return Page(tuple(map(_row, reply["results"])), messages_in(reply.get("messages")))


def merge_pairs(pairs: list[tuple[str, Any]]) -> JsonObject:
    """For the JSON reader: a name that comes twice keeps both values, as a multivalue field does,
    so that a second `host` cannot silently replace the first."""
    merged = dict(pairs)
    if len(merged) < len(pairs):
        for name in merged:
            values = [value for key, value in pairs if key == name]
            if len(values) > 1:
                merged[name] = [item for value in values for item in _listed(value)]
    return merged


def _row(item: object) -> Row:
    """One row with texts only. What is no object stays visible as `_raw`, and its neighbours
    live."""
    if not isinstance(item, dict):
        return {"_raw": _text(item)}
    if _is_plain(item):
        return item
    row: Row = {}
    for name, value in item.items():
        if isinstance(value, list):
            row[_text(name)] = [_text(part) for part in value if part is not None]
        elif value is not None:
            row[_text(name)] = _text(value)
    return row


def _is_plain(item: dict[str, Any]) -> bool:
    """Is each value a text that can be stored as it is? So are nearly all, and of a million rows it
    must be seen fast."""
    try:
        return "".join(item.values()).isascii() and "".join(item).isascii()
    except TypeError:
        return False


def _text(value: object) -> str:
    """Text that can be stored: lone surrogates, which UTF-8 cannot carry, become visible
    escapes."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


# -- error bodies ----------------------------------------------------------------------------------


def explain(_status: int, body: bytes) -> str | None:
    """What an error body says: splunkd's JSON or XML messages, a proxy's page by its title, or the
    start of whatever else came. Errors come as XML whatever was asked for, so XML is only scanned
    for its messages, never parsed."""
    said = list(_said(body))
    if said:
        return "; ".join(said)
    text = body[:_MAX_EXCERPT_BYTES].decode("utf-8", "replace").strip()
    title = _HTML_TITLE.search(text)
    if title:
        return f"a web page, not splunkd: {unescape(title[1]).strip()}"
    return " ".join(text.split())[:200] or None


def _said(body: bytes) -> Iterator[str]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        text = body[:_MAX_EXCERPT_BYTES].decode("utf-8", "replace")
        yield from (unescape(found).strip() for found in _XML_MESSAGE.findall(text))
        return
    if isinstance(reply, dict):
        yield from (message.text for message in messages_in(reply.get("messages")))


def is_splunkd(body: bytes) -> bool:
    """True when an error body is splunkd's own and no proxy's page."""
    return any(True for _ in _said(body))


def is_quota(body: bytes) -> bool:
    """True for the 503 that says that a limit kept the search from being started.
    Source: hasadna/open-bus#177 and dmuth/SeptaStats#27 show the text; limits.conf.spec and
    authorize.conf.spec (`srchDiskQuota`); read 2026-11-25."""
    texts = [text.lower() for text in _said(body) if "search" in text.lower()]
    return any(part in text for text in texts for part in _NOT_STARTED)
