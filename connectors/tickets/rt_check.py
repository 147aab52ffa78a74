"""May this RT account do what we need, and has the queue our custom fields? Reads only.

RT's REST interface does not list an account's rights. What it does show is taken: a queue names
what may be done with it, and the newest ticket that the account opened proves those on tickets.
Where nothing can be seen, the result is not good, and says what would show it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from connectors.errors import AuthFailed, ConnectorError, NotFound, Rejected
from connectors.model import CheckResult, JsonObject
from connectors.tickets.rt_product import RtProduct
from connectors.tickets.rt_session import (
    PRODUCT,
    RtSession,
    api_path,
    entries_of,
    field_values,
    links_of,
)

_MAJOR = re.compile(r"(\d+)\.")
_LEAST_MAJOR = 5


def check_queue(session: RtSession, options: RtProduct.Options) -> list[CheckResult]:
    """One result for each thing that a ticket needs."""
    signed_in = _tried("RT: sign in", lambda: _sign_in(session))
    if not signed_in.ok:
        return [signed_in]
    seen: list[JsonObject] = []
    queue = _tried(
        f"RT: queue {options.queue} (right SeeQueue)",
        lambda: seen.append(_queue(session, options.queue)),
    )
    if not queue.ok:
        return [signed_in, queue]
    return [
        signed_in,
        queue,
        _tried("RT: right CreateTicket", lambda: _may_create(seen[0], options.queue)),
        *(
            _tried(f"RT: custom field {name} (right SeeCustomField)", _shows(seen[0], name))
            for name in (options.key_field, *options.fields)
        ),
        *_on_a_ticket(session, options),
    ]


def require_key_field(session: RtSession, options: RtProduct.Options) -> None:
    """Errors: `Rejected` when the account does not see the key's field in the queue."""
    _shows(_queue(session, options.queue), options.key_field)()


def require_tickets(session: RtSession, options: RtProduct.Options) -> None:
    """Errors: `AuthFailed` when the account sees no ticket in the queue: without ShowTicket each
    run would open one more, and none would be found again."""
    if not session.search(f"Queue = '{options.queue}'", newest=True):
        text = (
            f"shows this account no ticket at all in queue {options.queue}, so none is known to be "
            "missing: give it ShowTicket, and open a first one as docs/products/rt.md says"
        )
        raise AuthFailed(PRODUCT, text)


def require_comments(session: RtSession, options: RtProduct.Options) -> None:
    """Errors: `AuthFailed` when no comment is shown on any of the account's first tickets: then a
    comment that is not seen may be there all the same."""
    own = session.search(f"Queue = '{options.queue}' AND Creator = '__CurrentUser__'")
    if not any(_has_comment(session, str(ticket.get("id"))) for ticket in own[:5]):
        text = (
            "shows no comment on any ticket of this account, so none is known to be missing: give "
            f"it ShowTicketComments in queue {options.queue}"
        )
        raise AuthFailed(PRODUCT, text)


def _sign_in(session: RtSession) -> None:
    version = str(session.read(api_path("rt")).get("Version"))
    major = _MAJOR.match(version)
    if not major or int(major[1]) < _LEAST_MAJOR:
        raise Rejected(PRODUCT, f"RT 5 is needed; this is {session.http.redact(version)}")


def _queue(session: RtSession, name: str) -> JsonObject:
    try:
        return session.read(api_path("queue", name))
    except (AuthFailed, NotFound) as fault:
        if fault.status == 401:
            raise
        # RT answers 403 in both cases: it cannot be told which.
        text = f"there is no queue {name}, or the account lacks SeeQueue in it"
        raise type(fault)(PRODUCT, text, status=fault.status) from None


def _may_create(queue: JsonObject, name: str) -> None:
    if str(queue.get("Disabled", "0")) not in ("0", ""):
        raise Rejected(PRODUCT, f"queue {name} is disabled")
    if "create" not in links_of(queue):
        raise AuthFailed(PRODUCT, f"give the account CreateTicket in queue {name}")


def _shows(queue: JsonObject, field: str) -> Callable[[], None]:
    def probe() -> None:
        if field not in [one.get("name") for one in entries_of(queue, "TicketCustomFields")]:
            text = f"apply a ticket custom field {field} to the queue, or give SeeCustomField"
            raise Rejected(PRODUCT, text)

    return probe


def _on_a_ticket(session: RtSession, options: RtProduct.Options) -> Iterator[CheckResult]:
    """The rights that only a ticket shows, by the newest one that the account opened itself."""
    queue, what = options.queue, "RT: rights on a ticket"
    query = f"Queue = '{queue}' AND Creator = '__CurrentUser__'"
    try:
        found = session.search(query, fields="CustomFields,_hyperlinks", newest=True)
        if not found:
            mend = (
                f"not proved: this account sees no ticket of its own in queue {queue}; give it "
                "ShowTicket, and open one as docs/products/rt.md says"
            )
            yield CheckResult(what=what, ok=False, mend=mend)
            return
        number = str(found[0].get("id"))
        is_filled = any(field_values(found[0]).get(options.key_field, ()))
        may_comment = "comment" in links_of(found[0])
        sees_comments = _has_comment(session, number)
    except ConnectorError as fault:
        yield CheckResult(what=what, ok=False, mend=fault.text)
        return
    yield CheckResult(what="RT: right ShowTicket", ok=True)
    yield _right("CommentOnTicket", may_comment, f"give it in queue {queue}")
    yield _right(
        "ShowTicketComments",
        sees_comments,
        f"give it in queue {queue}; or RT#{number} has no comment yet: add one",
    )
    yield _right(
        "ModifyCustomField",
        is_filled,
        f"give it in queue {queue}: RT#{number}, which the account opened, has no value in "
        f"{options.key_field}",
    )


def _has_comment(session: RtSession, number: str) -> bool:
    pages = session.pages(api_path("ticket", number, "history"), {"fields": "Type"})
    return any(entry.get("Type") == "Comment" for entry in pages)


def _right(name: str, has: bool, mend: str) -> CheckResult:
    return CheckResult(what=f"RT: right {name}", ok=has, mend=None if has else mend)


def _tried(what: str, probe: Callable[[], None]) -> CheckResult:
    try:
        probe()
    except ConnectorError as fault:
        return CheckResult(what=what, ok=False, mend=fault.text)
    return CheckResult(what=what, ok=True)
