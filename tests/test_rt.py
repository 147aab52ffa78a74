"""The RT connector against RT's answers, good and bad, as a real RT 5.0.3 gave them
(`tests/real/test_real_rt.py`)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import requests
import responses
from hypothesis import example, given
from hypothesis import strategies as st
from responses import RequestsMock
from responses.matchers import header_matcher, query_param_matcher

from connectors.document import Bullets, Code, Document, Heading, Paragraph, Table
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft, TicketRef, TicketStatus
from connectors.tickets.rt import Rt
from connectors.tickets.rt_draft import comment_marker, correlation_key
from connectors.tickets.rt_text import MAX_CHARACTERS, text_of
from tests.fake_clock import FakeClock
from tests.strict_responses import StrictRegistry, strict_responses

__all__ = ["strict_responses"]

BASE = "https://rt.example.test/support"
API = f"{BASE}/REST/2.0"
TICKET = TicketRef(id="7", key="RT#7", url=f"{BASE}/Ticket/Display.html?id=7")
KEY = correlation_key("case-1")
PARTS = f"{API}/transaction/72/attachments"


def make(faults: list[ConnectorError] | None = None, **options: Any) -> Rt:
    return Rt(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=BASE),
        credentials={"token": Secret("1-14-made-up-5ec2e75ec2e7")},
        options=msgspec.convert({"queue": "Incidents", **options}, Rt.Options),
        runtime=Runtime(clock=FakeClock(), on_fault=(faults if faults is not None else []).append),
    )


def draft(title: str = "wmic on ws-1", **more: Any) -> TicketDraft:
    return TicketDraft(correlation="case-1", title=title, body=Document((Paragraph("x"),)), **more)


def ticket(**more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "Subject": "wmic on ws-1",
        "Status": "open",
        "CustomFields": [{"name": "Stockade Key", "values": [KEY]}],
        "_hyperlinks": [{"ref": "comment"}],
        **more,
    }


def with_fields(**values: list[str]) -> dict[str, Any]:
    listed = [{"name": "Stockade Key", "values": [KEY]}]
    listed += [{"name": name, "values": kept} for name, kept in values.items()]
    return ticket(CustomFields=listed)


def page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "count": len(items), "total": None, "pages": None}


def opened(api: RequestsMock, made: dict[str, Any]) -> None:
    """A ticket is created, and then reads so."""
    api.post(f"{API}/ticket", status=201, json={"id": "7", "type": "ticket"})
    api.get(f"{API}/ticket/7", json=made)


def commented(api: RequestsMock, *parts: dict[str, Any]) -> None:
    """The ticket is read, a comment is added, and then shows these parts."""
    api.get(f"{API}/ticket/7", json=ticket())
    api.post(
        f"{API}/ticket/7/comment",
        status=201,
        json=["Comments added"],
        headers={"Location": "/support/REST/2.0/transaction/72"},
    )
    api.get(PARTS, json=page(*parts))


def sent(api: RequestsMock, index: int) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(api.calls[index].request.body or b"")
    return decoded


# -- creating --------------------------------------------------------------------------------------


def test_create_when_kept_then_reference_and_exactly_what_a_ticket_needs(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.post(
        f"{API}/ticket",
        status=201,
        json={"id": "7"},
        match=[header_matcher({"Authorization": "token 1-14-made-up-5ec2e75ec2e7"})],
    )
    strict_responses.get(
        f"{API}/ticket/7",
        json={**with_fields(Severity=["high"], Host=["b", "a"]), "Priority": "70"},
    )
    faults: list[ConnectorError] = []
    rt = make(faults, fields={"Severity": "high", "Host": ["a", "b"]}, priorities={"high": 70})
    assert rt.create_ticket(draft()) == TICKET
    assert faults == []
    assert sent(strict_responses, 0) == {
        "Queue": "Incidents",
        "Subject": "wmic on ws-1",
        "Content": "x",
        "ContentType": "text/plain",
        "CustomFields": {"Severity": "high", "Host": ["a", "b"], "Stockade Key": KEY},
        "Priority": 70,
    }


def test_create_when_labels_are_given_then_they_end_the_text(
    strict_responses: RequestsMock,
) -> None:
    opened(strict_responses, ticket())
    make().create_ticket(draft(labels=("soc", "a\nb")))
    assert sent(strict_responses, 0)["Content"] == "x\n\nLabels: soc, a\\x0ab"


@pytest.mark.parametrize(
    ("made", "options", "lost"),
    [
        (with_fields(Severity=[]), {"fields": {"Severity": "odd"}}, "Severity"),
        (ticket(), {"fields": {"No Such": "x"}}, "No Such"),
        (with_fields(Host=["a"]), {"fields": {"Host": ["a", "b"]}}, "Host"),
        (ticket(Priority="0"), {"priorities": {"high": 70}}, "Priority"),
        (ticket(Subject="wmic"), {}, "Subject"),
    ],
)
def test_create_when_rt_dropped_something_then_told_as_a_fault_and_in_the_ticket(
    strict_responses: RequestsMock, made: dict[str, Any], options: dict[str, Any], lost: str
) -> None:
    opened(strict_responses, made)
    commented(strict_responses, {"Subject": comment_marker("lost")})
    faults: list[ConnectorError] = []
    assert make(faults, **options).create_ticket(draft()) == TICKET
    assert [fault.code for fault in faults] == ["field_dropped"]
    assert lost in faults[0].text
    assert lost in sent(strict_responses, 3)["Content"]


def test_create_when_a_drop_cannot_be_said_in_the_ticket_then_the_ticket_stands_all_the_same(
    strict_responses: RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    opened(strict_responses, ticket(Subject="wmic"))
    strict_responses.get(f"{API}/ticket/7", json=ticket())
    strict_responses.post(f"{API}/ticket/7/comment", status=500, body="")
    assert make().create_ticket(draft()) == TICKET
    assert "could not be said" in caplog.text


def test_create_when_rt_dropped_the_key_then_refused_and_nothing_more_is_sent(
    strict_responses: RequestsMock,
) -> None:
    for made in (
        ticket(CustomFields=[]),
        ticket(CustomFields=[{"name": "Stockade Key", "values": []}]),
        ticket(CustomFields=[{"name": "Stockade Key", "values": ["other"]}]),
    ):
        strict_responses.reset()
        opened(strict_responses, made)
        with pytest.raises(Rejected, match=r"RT#7 was opened.*ModifyCustomField.*close RT#7"):
            make().create_ticket(draft())


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ({"status": 403, "json": {"message": "Forbidden"}}, AuthFailed),
        ({"status": 401, "json": {"message": "Unauthorized"}}, AuthFailed),
        ({"status": 404, "json": {"message": "Not Found"}}, OutcomeUnknown),
        ({"status": 500, "body": ""}, OutcomeUnknown),
        ({"body": requests.ReadTimeout()}, OutcomeUnknown),
        ({"status": 200, "json": {"id": "7"}}, OutcomeUnknown),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, OutcomeUnknown),
    ],
)
def test_create_when_it_cannot_be_read_back_then_never_good_news(
    answer: dict[str, Any], rule: type[ConnectorError]
) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        api.post(f"{API}/ticket", status=201, json={"id": "7"})
        api.get(f"{API}/ticket/7", **answer)
        with pytest.raises(rule, match=r"RT#7") as caught:
            make().create_ticket(draft())
        assert type(caught.value) is rule
        assert [call.request.method for call in api.calls].count("POST") == 1


@example("é" * 300)
@example("\U0001f600" * 51)
@example("a" * 201)
@example(" \n ")
@given(st.text(max_size=400))
def test_subject_when_any_text_then_one_line_that_rt_does_not_cut(title: str) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        api.post(f"{API}/ticket", status=403, json={"message": "no"})
        with pytest.raises(AuthFailed):
            make().create_ticket(draft(title))
        subject = sent(api, 0)["Subject"]
    assert 0 < len(subject.encode()) <= 200
    assert subject == subject.strip()
    assert "\n" not in subject


# -- finding ---------------------------------------------------------------------------------------


def test_find_when_found_then_asked_by_key_oldest_first(strict_responses: RequestsMock) -> None:
    query = {
        "query": f"'CF.{{Case Key}}' = '{KEY}'",
        "fields": "CustomFields",
        "orderby": "id",
        "order": "ASC",
        "per_page": "20",
    }
    fields = [{"name": "Case Key", "values": [KEY]}]
    hit = {"id": "7", "CustomFields": fields}
    strict_responses.get(
        f"{API}/tickets", json=page(hit, {**hit, "id": "8"}), match=[query_param_matcher(query)]
    )
    assert make(key_field="Case Key").find_ticket("case-1") == TICKET


def test_find_when_nothing_is_found_then_none_only_where_the_field_can_be_seen(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(f"{API}/tickets", json=page())
    strict_responses.get(
        f"{API}/queue/Incidents", json={"TicketCustomFields": [{"name": "Stockade Key"}]}
    )
    strict_responses.get(f"{API}/tickets", json=page({"id": "1"}))
    assert make().find_ticket("case-1") is None
    assert "Incidents" in str(strict_responses.calls[-1].request.url)


def test_find_when_no_ticket_at_all_is_shown_then_an_error_and_never_none(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(f"{API}/tickets", json=page())
    strict_responses.get(
        f"{API}/queue/Incidents", json={"TicketCustomFields": [{"name": "Stockade Key"}]}
    )
    strict_responses.get(f"{API}/tickets", json=page())
    with pytest.raises(AuthFailed, match="give it ShowTicket"):
        make().find_ticket("case-1")


@pytest.mark.parametrize(
    ("queue", "rule"),
    [
        ({"json": {"TicketCustomFields": []}}, Rejected),
        ({"json": {}}, Unavailable),
        ({"status": 403, "json": {"message": "Forbidden"}}, AuthFailed),
        ({"status": 404, "json": {"message": "Not Found"}}, NotFound),
        ({"status": 502, "body": ""}, Unavailable),
    ],
)
def test_find_when_nothing_is_found_and_the_field_is_not_seen_then_an_error(
    queue: dict[str, Any], rule: type[ConnectorError]
) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        api.get(f"{API}/tickets", json=page())
        api.get(f"{API}/queue/Incidents", **queue)
        with pytest.raises(rule) as caught:
            make().find_ticket("case-1")
        assert type(caught.value) is rule


def test_find_when_the_search_gives_another_key_then_it_is_not_taken(
    strict_responses: RequestsMock,
) -> None:
    other = {"id": "7", "CustomFields": [{"name": "Stockade Key", "values": [KEY.upper()]}]}
    strict_responses.get(f"{API}/tickets", json=page(other))
    strict_responses.get(
        f"{API}/queue/Incidents", json={"TicketCustomFields": [{"name": "Stockade Key"}]}
    )
    strict_responses.get(f"{API}/tickets", json=page(other))
    assert make().find_ticket("case-1") is None


# -- status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["__Active__", "__Inactive__"])
def test_read_when_merged_then_the_status_of_the_other_ticket(
    strict_responses: RequestsMock, word: str
) -> None:
    strict_responses.get(f"{API}/ticket/7", json=ticket(id=9, Status="waiting"))

    def search(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        asked = str(request.params["query"])  # type: ignore[attr-defined]
        assert asked.startswith("id = 9 AND Status = ")
        return 200, {}, json.dumps(page({"id": "9"}) if word in asked else page())

    strict_responses.add_callback("GET", f"{API}/tickets", search, content_type="application/json")
    assert make().read_ticket(TICKET) == TicketStatus(
        name="waiting", is_closed=word == "__Inactive__"
    )


def test_read_when_neither_active_nor_inactive_then_unavailable(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(f"{API}/ticket/7", json=ticket(Status="odd\x1b"))
    strict_responses.get(f"{API}/tickets", json=page())
    with pytest.raises(Unavailable, match=r"odd\\x1b"):
        make().read_ticket(TICKET)


# -- comments and files ----------------------------------------------------------------------------


def test_comment_when_added_then_its_subject_carries_the_key(
    strict_responses: RequestsMock,
) -> None:
    commented(strict_responses, {"Subject": f"wmic {comment_marker('run/1')}"}, {"Subject": ""})
    make().comment_ticket(TICKET, "run/1", Document((Paragraph("Done."),)))
    assert sent(strict_responses, 1) == {
        "Subject": f"wmic on ws-1 {comment_marker('run/1')}",
        "Content": "Done.",
        "ContentType": "text/plain",
    }


@pytest.mark.parametrize(
    ("reading", "rule", "word"),
    [
        ({"json": ticket(_hyperlinks=[{"ref": "correspond"}])}, AuthFailed, "CommentOnTicket"),
        ({"json": ticket(Status="deleted")}, NotFound, "RT#7 was deleted"),
        ({"json": {"id": 7}}, Unavailable, "_hyperlinks"),
        ({"status": 403, "json": {"message": "Forbidden"}}, AuthFailed, "403"),
        ({"status": 404, "json": {"message": "Not Found"}}, NotFound, "404"),
        ({"status": 500, "body": ""}, Unavailable, "500"),
    ],
)
def test_comment_when_the_ticket_would_not_take_it_then_nothing_is_sent(
    reading: dict[str, Any], rule: type[ConnectorError], word: str
) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        api.get(f"{API}/ticket/7", **reading)
        with pytest.raises(rule, match=word) as caught:
            make().comment_ticket(TICKET, "k", Document(()))
        assert type(caught.value) is rule


def test_comment_when_refused_then_in_words_without_a_path_of_the_server(
    strict_responses: RequestsMock,
) -> None:
    said = "nicht erlaubt at /usr/share/x.pm line 12.\n"
    strict_responses.get(f"{API}/ticket/7", json=ticket())
    strict_responses.post(f"{API}/ticket/7/comment", status=400, json={"message": said})
    with pytest.raises(Rejected, match=r"nicht erlaubt$"):
        make().comment_ticket(TICKET, "k", Document(()))


@pytest.mark.parametrize(
    "answer",
    [
        {"json": ["Comments added"]},
        {"json": ["Comments added"], "headers": {"Location": "/elsewhere/72"}},
        {"json": {"message": "no"}, "headers": {"Location": "/REST/2.0/transaction/72"}},
        {"body": "<html>", "content_type": "text/html"},
    ],
)
def test_comment_when_the_answer_names_none_then_outcome_unknown(
    strict_responses: RequestsMock, answer: dict[str, Any]
) -> None:
    strict_responses.get(f"{API}/ticket/7", json=ticket())
    strict_responses.post(f"{API}/ticket/7/comment", status=201, **answer)
    with pytest.raises(OutcomeUnknown):
        make().comment_ticket(TICKET, "k", Document(()))


def test_comment_when_it_cannot_be_seen_then_the_right_is_named(
    strict_responses: RequestsMock,
) -> None:
    commented(strict_responses)
    with pytest.raises(AuthFailed, match="ShowTicketComments"):
        make().comment_ticket(TICKET, "k", Document(()))


@pytest.mark.parametrize(
    "parts", [{"status": 500, "body": ""}, {"status": 403, "json": {"message": "Forbidden"}}]
)
def test_comment_when_it_cannot_be_read_back_then_outcome_unknown(parts: dict[str, Any]) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        api.get(f"{API}/ticket/7", json=ticket())
        where = {"Location": "/support/REST/2.0/transaction/72"}
        api.post(f"{API}/ticket/7/comment", status=201, json=["ok"], headers=where)
        api.get(PARTS, **parts)
        with pytest.raises(OutcomeUnknown):
            make().comment_ticket(TICKET, "k", Document(()))


def test_find_comment_when_on_the_second_page_then_found_and_only_an_empty_page_ends(
    strict_responses: RequestsMock,
) -> None:
    def history(number: int, *items: dict[str, Any]) -> None:
        query = {"fields": "Type,Data", "per_page": "100", "page": str(number)}
        match = [query_param_matcher({**query, "orderby": "id", "order": "DESC"})]
        strict_responses.get(f"{API}/ticket/7/history", json=page(*items), match=match)

    imitated = {"Type": "Correspond", "Data": comment_marker("k")}
    quoted = {"Type": "Comment", "Data": f"{comment_marker('k')} was said"}
    history(1, imitated, quoted, {"Type": "Comment", "Data": comment_marker("j")})
    history(
        2,
        {"Type": "Create", "Data": ""},
        {"Type": "Comment", "Data": f"wmic {comment_marker('i')}\n"},
    )
    history(3)
    rt = make()
    assert rt.find_comment(TICKET, "i")
    assert not rt.find_comment(TICKET, "k")


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda rt: rt.find_comment(TICKET, "k"), "history"),
        (lambda rt: rt.find_attachment(TICKET, "a.json"), "attachments"),
    ],
)
def test_list_when_empty_because_the_ticket_is_hidden_then_an_error(
    strict_responses: RequestsMock, call: Callable[[Rt], bool], where: str
) -> None:
    strict_responses.get(f"{API}/ticket/7/{where}", json=page())
    strict_responses.get(f"{API}/ticket/7", status=403, json={"message": "Forbidden"})
    with pytest.raises(AuthFailed):
        call(make())


@pytest.mark.parametrize(
    ("told", "kept", "is_found"), [("3", b"abc", True), ("9", b"abc", False), ("0", b"", True)]
)
def test_find_attachment_when_rt_holds_less_than_was_sent_then_it_is_none(
    told: str, kept: bytes, is_found: bool
) -> None:
    with RequestsMock(assert_all_requests_are_fired=False) as api:
        unseen(api, shows_comments=True)
        listed = {"id": "9", "Filename": "a.json", "ContentLength": told}
        api.replace(responses.GET, f"{API}/ticket/7/attachments", json=page(listed))
        api.get(f"{API}/ticket/7/attachments", json=page())
        api.get(f"{API}/attachment/9", json={"Content": b64encode(kept).decode()})
        assert make().find_attachment(TICKET, "a.json") is is_found


@pytest.mark.parametrize("told", [None, "", "-1", "many", "٣"])
def test_find_attachment_when_no_length_is_told_then_unavailable(
    strict_responses: RequestsMock, told: str | None
) -> None:
    listed = {"id": "9", "Filename": "a.json", "ContentLength": told}
    strict_responses.get(f"{API}/ticket/7/attachments", json=page(listed))
    with pytest.raises(Unavailable, match="how long"):
        make().find_attachment(TICKET, "a.json")


def unseen(api: RequestsMock, *, shows_comments: bool) -> None:
    """Ticket 7 shows nothing but its beginning; ticket 6, of the same account, has a comment."""

    def once(number: int, where: str, *items: dict[str, Any]) -> None:
        api.get(f"{API}/ticket/{number}/{where}", json=page(*items))
        api.get(f"{API}/ticket/{number}/{where}", json=page())

    once(7, "history", {"Type": "Create", "Data": ""})
    once(7, "attachments", {"Filename": ""})
    comments = [{"Type": "Comment", "Data": "x"}] if shows_comments else []
    once(6, "history", *comments, {"Type": "Create", "Data": ""})
    api.get(f"{API}/ticket/7", json={"id": 7, "Status": "open"})
    api.get(f"{API}/tickets", json=page({"id": "6"}))


@pytest.mark.parametrize(
    "call",
    [lambda rt: rt.find_comment(TICKET, "k"), lambda rt: rt.find_attachment(TICKET, "a.json")],
)
@pytest.mark.parametrize("shows_comments", [True, False])
def test_find_when_no_comment_is_shown_anywhere_then_an_error_and_not_missing(
    call: Callable[[Rt], bool], shows_comments: bool
) -> None:
    with RequestsMock(assert_all_requests_are_fired=False) as api:
        unseen(api, shows_comments=shows_comments)
        if shows_comments:
            assert call(make()) is False
        else:
            with pytest.raises(AuthFailed, match="ShowTicketComments"):
                call(make())


def test_text_when_a_cell_holds_the_separator_then_no_column_is_forged() -> None:
    table = Table(header=("host", "state"), rows=(("evil | verified", "unknown"),))
    assert text_of(Document((table,))).splitlines()[1] == "evil \\x7c verified | unknown"


def test_attach_when_kept_then_sent_as_bytes_of_no_type(strict_responses: RequestsMock) -> None:
    commented(strict_responses, {"Filename": ""}, {"id": "9", "Filename": "a.json"})
    # As RT gives it: in lines.
    strict_responses.get(f"{API}/attachment/9", json={"Content": "AP97\nfQ==\n"})
    make().attach_file(TICKET, "a.json", b"\x00\xff{}")
    [attached] = sent(strict_responses, 1)["Attachments"]
    assert b64decode(attached.pop("FileContent")) == b"\x00\xff{}"
    assert attached == {"FileName": "a.json", "FileType": "application/octet-stream"}


def test_attach_when_rt_dropped_the_file_then_refused(strict_responses: RequestsMock) -> None:
    commented(strict_responses, {"Filename": ""}, {"id": "9", "Filename": "a.json.txt"})
    with pytest.raises(Rejected, match="dropped"):
        make().attach_file(TICKET, "a.json", b"{}")


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ({"json": {"Content": "AP8="}}, Rejected),
        ({"json": {"Content": ""}}, Rejected),
        ({"json": {"Content": "A"}}, OutcomeUnknown),
        ({"json": {"Content": 7}}, OutcomeUnknown),
        ({"json": {}}, OutcomeUnknown),
        ({"status": 403, "json": {"message": "Forbidden"}}, OutcomeUnknown),
        ({"status": 500, "body": ""}, OutcomeUnknown),
    ],
)
def test_attach_when_rt_does_not_give_back_what_was_sent_then_never_good_news(
    answer: dict[str, Any], rule: type[ConnectorError]
) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        commented(api, {"Filename": ""}, {"id": "9", "Filename": "a.json", "ContentLength": "4"})
        api.get(f"{API}/attachment/9", **answer)
        with pytest.raises(rule) as caught:
            make().attach_file(TICKET, "a.json", b"\x00\xff{}")
        assert type(caught.value) is rule


@pytest.mark.parametrize("name", ["../a.json", "a/b", "con.json", "LPT1", ".a", "a\n", "a", ""])
def test_attach_when_the_name_is_unsafe_then_refused_before_any_call(
    strict_responses: RequestsMock, name: str
) -> None:
    with pytest.raises(Rejected):
        make().attach_file(TICKET, name, b"x")


# -- text ------------------------------------------------------------------------------------------


def test_text_when_every_kind_of_block_then_lines_that_evidence_cannot_make() -> None:
    text = text_of(
        Document(
            (
                Heading("What\nhappened"),
                Paragraph("a\r\n=====\u202e"),
                Code("one\n=====\n[stockade:x]"),
                Bullets(("x\ny",)),
                Table(("host", "state"), (("ws\n-1", "up"),)),
            )
        ),
        tail=("end\n",),
    )
    assert text == (
        "What\\x0ahappened\n================\n\n"
        "a\\x0d\\x0a=====\\u202e\n\n"
        "    one\n    =====\n    [stockade:x]\n\n"
        "- x\\x0ay\n\n"
        "host | state\nws\\x0a-1 | up\n\n"
        "end\\x0a"
    )


@pytest.mark.parametrize(
    "document",
    [
        Document((Paragraph("x" * 1_000_000),)),
        Document(tuple(Paragraph("x" * 500) for _ in range(5000))),
        Document((Table(("a",), tuple(("y",) for _ in range(200_000))),)),
        Document((Code("\x00" * 200_000),)),
    ],
)
def test_text_when_too_long_then_shortened_and_it_says_so_and_the_end_is_whole(
    document: Document,
) -> None:
    text = text_of(document, tail=("the end",))
    assert len(text) <= MAX_CHARACTERS
    assert "left out" in text
    assert text.endswith("\n\nthe end")


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"queue": ""},
        {"queue": "1"},
        {"queue": "a'b"},
        {"queue": "a/b"},
        {"key_field": "a}b"},
        {"key_field": "it's"},
        {"fields": {"Stockade Key": "x"}},
        {"fields": {"Severity": ""}},
        {"fields": {"Severity": []}},
        {"priorities": {"high": "High"}},
        {"site_url": "http://rt.example.test"},
    ],
)
def test_options_when_unusable_then_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"queue": "Incidents", **options}, Rt.Options)


def test_url_when_people_read_elsewhere_then_site_url(strict_responses: RequestsMock) -> None:
    opened(strict_responses, ticket())
    ref = make(site_url="https://tickets.example.test/").create_ticket(draft())
    assert ref.url == "https://tickets.example.test/Ticket/Display.html?id=7"
