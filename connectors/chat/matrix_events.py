"""What events of a room say: what a message shows, whose it is, who reacted.

Pure functions over decoded events, any field of which may be missing. What an event does not say
never counts for an account.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from connectors.chat.matrix_calls import PRODUCT, object_of, text_of
from connectors.chat.matrix_html import KEY, shown_sha256
from connectors.chat.matrix_ids import EVENT, choice_of
from connectors.errors import NotFound, OutcomeUnknown, Unavailable
from connectors.model import Answer, JsonObject, MessageRef

MESSAGE = "m.room.message"
REACTION = "m.reaction"
LOOK_BACK = timedelta(hours=72)
LOOK_SLACK = timedelta(minutes=30)
"""How far our clock may be before the server's."""


def posted(answer: JsonObject, room: str, sha256: str) -> MessageRef:
    """Where a message stands that the server took, with the hash of what was sent."""
    event = text_of(answer.get("event_id"))
    if not EVENT.fullmatch(event):
        raise OutcomeUnknown(PRODUCT, "took the message and did not say which one it is")
    return MessageRef(channel=room, id=event, sha256=sha256)


def relation_of(event: JsonObject) -> JsonObject:
    return object_of(object_of(event.get("content")).get("m.relates_to"))


def is_writable(sender: str) -> bool:
    """Can what this account says be written down? JSON can carry half a character (a lone
    surrogate); no account has one, but a broken or hostile server may say so."""
    return bool(sender) and sender.isprintable()


def edit_of(event: JsonObject) -> JsonObject | None:
    """The latest edit, which servers put beside an event; only its own sender's are valid."""
    beside = object_of(object_of(event.get("unsigned")).get("m.relations"))
    edit = object_of(beside.get("m.replace"))
    return edit or None


def shown(event: JsonObject) -> str:
    """The hash of what a message shows now: its latest edit, else itself. An edit that came without
    what it shows has a hash that no card of ours has."""
    content = object_of(event.get("content"))
    edit = edit_of(event)
    if edit is not None:
        content = object_of(object_of(edit.get("content")).get("m.new_content"))
    return shown_sha256(content)


def check_is_message(event: JsonObject, ref: MessageRef, me: str) -> None:
    """Errors: `NotFound` for one that was deleted; `Unavailable` for one that is not ours."""
    if event.get("event_id") != ref.id:
        raise Unavailable(PRODUCT, "did not give the message that was asked for")
    if "redacted_because" in object_of(event.get("unsigned")) or event.get("content") == {}:
        raise NotFound(PRODUCT, "the message was deleted")
    if event.get("type") != MESSAGE or event.get("sender") != me:
        raise Unavailable(PRODUCT, "the message is none of ours")


def is_ours(event: JsonObject, key: str, me: str, *, in_thread: bool) -> bool:
    """Posted by us with this key, and no edit; anybody else may write the same key."""
    relation = text_of(relation_of(event).get("rel_type"))
    return (
        event.get("type") == MESSAGE
        and event.get("sender") == me
        and object_of(event.get("content")).get(KEY) == key
        and relation == ("m.thread" if in_thread else "")
        and bool(EVENT.fullmatch(text_of(event.get("event_id"))))
    )


def time_of(event: JsonObject) -> int:
    """Milliseconds since the epoch, as the sender's server wrote them; 0 when it wrote none."""
    sent = event.get("origin_server_ts")
    return sent if isinstance(sent, int) and not isinstance(sent, bool) else 0


def looked_back_to_ms(now: datetime, sent_at: datetime | None) -> float:
    """Since when a message is looked for: since it was about to be sent, where that is known."""
    oldest = now - LOOK_BACK if sent_at is None else sent_at - LOOK_SLACK
    return oldest.timestamp() * 1000


def since(pages: Iterable[list[JsonObject]], oldest_ms: float) -> Iterator[JsonObject]:
    """The events of pages that come newest first, until they are older."""
    for page in pages:
        yield from (event for event in page if time_of(event) >= oldest_ms)
        if page and time_of(page[-1]) < oldest_ms:
            return


def answers_of(events: Iterable[JsonObject], card: str, me: str) -> tuple[Answer, ...]:
    """Each account's choices, our own left out. A reaction that was taken back has lost what it
    said, or is not given at all; one with an emoji that no card offers is no answer."""
    found: dict[tuple[str, str], Answer] = {}
    for event in events:
        sender, relation = text_of(event.get("sender")), relation_of(event)
        choice = choice_of(text_of(relation.get("key")))
        is_answer = (
            event.get("type") == REACTION
            and relation.get("rel_type") == "m.annotation"
            and relation.get("event_id") == card
            and "redacted_because" not in object_of(event.get("unsigned"))
        )
        if is_answer and choice is not None and is_writable(sender) and sender != me:
            found[sender, choice] = Answer(account=sender, choice=choice)
    return tuple(found.values())
