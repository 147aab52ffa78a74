"""The Jira connector against Jira's answers, good and bad. Every request is held against the
vendor's OpenAPI document, and every rich text against the vendor's schema of rich text (ADF)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from openapi_core.validation.request.exceptions import InvalidRequestBody
from responses import RequestsMock
from responses.matchers import header_matcher, json_params_matcher, query_param_matcher

from connectors.document import Block, Code, Document, Paragraph
from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft, TicketRef, TicketStatus
from connectors.tickets.adf import adf_of
from connectors.tickets.jira import Jira
from connectors.tickets.jira_create import correlation_label
from connectors.tickets.jira_text import units
from tests.fake_clock import FakeClock
from tests.jira_documents import ADF, BASE, assert_in_vendor_document
from tests.strict_responses import StrictRegistry

ISSUES = f"{BASE}/rest/api/3/issue"
SEARCH = f"{BASE}/rest/api/3/search/jql"
TICKET = TicketRef(id="10042", key="SEC-42", url=f"{BASE}/browse/SEC-42")
ISSUE = f"{ISSUES}/10042"
LABEL = correlation_label("case-1")


@pytest.fixture
def api() -> Iterator[RequestsMock]:
    """Jira as the test scripts it; afterwards every request must fit the vendor's document."""
    with RequestsMock(registry=StrictRegistry, assert_all_requests_are_fired=True) as mock:
        yield mock
        for call in mock.calls:
            assert_in_vendor_document(call.request)


def make(**options: Any) -> Jira:
    return Jira(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=BASE),
        credentials={
            "email": Secret("bot@example.test"),
            "api_token": Secret("token-0001-5ec2e75ec2e7"),
        },
        options=msgspec.convert({"project": "SEC", **options}, Jira.Options),
        runtime=Runtime(clock=FakeClock()),
    )


@pytest.fixture
def jira() -> Jira:
    return make()


def draft(title: str = "wmic on ws-1", *blocks: Block, **more: Any) -> TicketDraft:
    return TicketDraft(correlation="case-1", title=title, body=Document(blocks), **more)


def created(api: RequestsMock) -> None:
    api.post(ISSUES, status=201, json={"id": "10042", "key": "SEC-42", "self": f"{ISSUES}/10042"})


def sent(api: RequestsMock, index: int = -1) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(api.calls[index].request.body or b"")
    return decoded


def issue(key: str = "SEC-42", *labels: str, issue_id: str = "10042") -> dict[str, Any]:
    return {"id": issue_id, "key": key, "fields": {"labels": list(labels)}}


@pytest.mark.parametrize(
    "body",
    [{"fields": []}, {"summary": 1, "fields": {}, "update": []}],
)
def test_vendor_document_when_a_body_is_wrong_then_the_judge_objects(body: Any) -> None:
    request = requests.Request("POST", ISSUES, json=body, auth=("bot", "x")).prepare()
    with pytest.raises(InvalidRequestBody):
        assert_in_vendor_document(request)


# -- creating --------------------------------------------------------------------------------------


def test_create_when_accepted_then_reference_and_exactly_the_fields_of_a_ticket(
    api: RequestsMock,
) -> None:
    created(api)
    jira = make(issue_type="Incident", labels=["soc"], priorities={"high": "P1"})
    ref = jira.create_ticket(
        draft("wmic on ws-1", Code("wmic os get"), labels=("two words", "soc"))
    )
    assert ref == TICKET
    [call] = api.calls
    assert call.request.headers["Authorization"].startswith("Basic ")
    fields = sent(api)["fields"]
    ADF.validate(fields.pop("description"))
    assert fields == {
        "project": {"key": "SEC"},
        "issuetype": {"name": "Incident"},
        "summary": "wmic on ws-1",
        "labels": [LABEL, "soc", "two-words"],
        "priority": {"name": "P1"},
    }


def test_create_when_no_priority_is_configured_then_none_is_sent(
    api: RequestsMock, jira: Jira
) -> None:
    created(api)
    jira.create_ticket(draft(severity="critical"))
    assert "priority" not in sent(api)["fields"]


def test_create_when_base_url_is_the_gateway_then_people_read_it_on_the_site(
    api: RequestsMock,
) -> None:
    created(api)
    jira = make(site_url="https://site.example.test/")
    assert jira.create_ticket(draft()).url == "https://site.example.test/browse/SEC-42"


@given(st.text(max_size=600))
def test_create_when_the_title_is_anything_then_one_line_within_the_limit(title: str) -> None:
    with RequestsMock(registry=StrictRegistry) as api:
        created(api)
        make().create_ticket(draft(title))
        summary = sent(api)["fields"]["summary"]
    assert 0 < units(summary) <= 255
    assert summary.isprintable() or not set(summary) & set("\r\n\t\v\f\x00\x1b\u2028\u2029\u202e")
    assert len(summary.splitlines()) == 1


def test_create_when_the_title_is_all_pairs_then_jiras_way_of_counting_holds(
    api: RequestsMock, jira: Jira
) -> None:
    created(api)
    jira.create_ticket(draft("\U0001f600" * 250))
    assert 200 < units(sent(api)["fields"]["summary"]) <= 255


def test_create_when_a_priority_is_refused_then_once_more_without_extras_and_it_is_noted(
    api: RequestsMock,
) -> None:
    refusal = {"errorMessages": [], "errors": {"priority": "nicht auf der Maske"}}
    api.post(ISSUES, status=400, json=refusal)
    created(api)
    jira = make(labels=["soc"], priorities={"high": "P1"})
    assert jira.create_ticket(draft("t", Code("evidence"))) == TICKET
    fields = sent(api)["fields"]
    assert fields["labels"] == [LABEL]
    assert "priority" not in fields
    evidence, note = (node["content"][0]["text"] for node in fields["description"]["content"])
    assert evidence == "evidence"
    assert "priority P1, soc" in note
    ADF.validate(fields["description"])


@pytest.mark.parametrize("refusal", ["", "<html>", '{"errorMessages": ["no"]}', "[]"])
def test_create_when_a_400_names_no_field_then_extras_are_left_out_once(
    api: RequestsMock, refusal: str
) -> None:
    api.post(ISSUES, status=400, body=refusal, content_type="application/json")
    api.post(ISSUES, status=400, body=refusal, content_type="application/json")
    with pytest.raises(Rejected, match="no ticket was opened"):
        make(labels=["soc"]).create_ticket(draft())
    assert len(api.calls) == 2


def test_create_when_a_400_names_a_field_that_is_not_ours_then_rejected_at_once(
    api: RequestsMock,
) -> None:
    api.post(ISSUES, status=400, json={"errors": {"customfield_10001": "Team is required."}})
    with pytest.raises(Rejected, match=r"customfield_10001: Team is required"):
        make(labels=["soc"]).create_ticket(draft())
    assert len(api.calls) == 1


def test_create_when_labels_are_not_on_the_screen_then_rejected_and_never_without_the_key(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(ISSUES, status=400, json={"errors": {"labels": "cannot be set"}})
    with pytest.raises(Rejected, match="create screen"):
        jira.create_ticket(draft())
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (401, AuthFailed),
        (403, AuthFailed),
        (404, NotFound),
        (500, OutcomeUnknown),
        (504, OutcomeUnknown),
    ],
)
def test_create_when_refused_then_grouped_and_sent_once(
    api: RequestsMock, jira: Jira, status: int, raised: type[Exception]
) -> None:
    api.post(ISSUES, status=status, body="<html>", content_type="text/html")
    with pytest.raises(raised):
        jira.create_ticket(draft())
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("status", "text", "content_type"),
    [
        (200, "<html>sign in</html>", "text/html"),
        (201, "<html>sign in</html>", "text/html"),
        (201, "", "application/json"),
        (201, '{"id": "1"', "application/json"),
        (201, "[]", "application/json"),
        (201, '{"id": "10042"}', "application/json"),
        (201, '{"id": null, "key": "SEC-1"}', "application/json"),
    ],
)
def test_create_when_a_2xx_does_not_name_the_ticket_then_outcome_unknown(
    api: RequestsMock, jira: Jira, status: int, text: str, content_type: str
) -> None:
    api.post(ISSUES, status=status, body=text, content_type=content_type)
    with pytest.raises(OutcomeUnknown):
        jira.create_ticket(draft())


def test_create_when_the_answer_is_lost_then_outcome_unknown_and_not_sent_again(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(ISSUES, body=requests.exceptions.ConnectionError(ConnectionResetError()))
    with pytest.raises(OutcomeUnknown):
        jira.create_ticket(draft())
    assert len(api.calls) == 1


def test_create_when_429_says_how_long_then_waits_and_sends_again(api: RequestsMock) -> None:
    jira = make()
    headers = {"Retry-After": "3", "RateLimit-Reason": "jira-burst-based"}
    api.post(ISSUES, status=429, headers=headers)
    created(api)
    assert jira.create_ticket(draft()) == TICKET
    assert jira.runtime.clock.sleeps == [3.0]  # type: ignore[attr-defined]


# -- finding ---------------------------------------------------------------------------------------


def test_find_when_a_ticket_carries_the_label_then_the_oldest(
    api: RequestsMock, jira: Jira
) -> None:
    newer = issue("SEC-43", LABEL, issue_id="10043")
    api.post(SEARCH, json={"issues": [issue("SEC-42", "x", LABEL), newer], "isLast": True})
    assert jira.find_ticket("case-1") == TICKET
    assert sent(api)["jql"] == f'labels = "{LABEL}" ORDER BY created ASC'


@given(st.text(min_size=1, max_size=100))
def test_label_when_made_from_anything_then_nothing_in_it_needs_escaping(text: str) -> None:
    label = correlation_label(text)
    assert set(label.removeprefix("stockade-")) <= set("0123456789abcdef")
    assert len(label) == len("stockade-") + 16


def test_find_when_the_search_gives_a_foreign_ticket_then_it_is_not_taken(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, json={"issues": [issue("SEC-1", "other"), issue("SEC-42", LABEL)]})
    assert jira.find_ticket("case-1") == TICKET


def test_find_when_pages_are_short_then_only_a_missing_token_ends_them(
    api: RequestsMock, jira: Jira
) -> None:
    first = {"jql": f'labels = "{LABEL}" ORDER BY created ASC', "fields": ["key", "labels"]}
    first["maxResults"] = 50  # type: ignore[assignment]
    for token, answer in (
        (None, {"issues": [], "nextPageToken": "p2"}),
        ("p2", {"issues": [issue("SEC-1", "x")], "nextPageToken": "p3"}),
        ("p3", {"issues": [issue("SEC-42", LABEL)]}),
    ):
        query = first if token is None else {**first, "nextPageToken": token}
        api.post(SEARCH, json=answer, match=[json_params_matcher(query)])
    assert jira.find_ticket("case-1") == TICKET


def may_browse(api: RequestsMock, *, has: bool) -> None:
    granted = {"permissions": {"BROWSE_PROJECTS": {"havePermission": has}}}
    asked = {"projectKey": "SEC", "permissions": "BROWSE_PROJECTS"}
    api.get(f"{BASE}/rest/api/3/mypermissions", json=granted, match=[query_param_matcher(asked)])


def test_find_when_nothing_is_found_then_none(api: RequestsMock, jira: Jira) -> None:
    api.post(SEARCH, json={"issues": [], "isLast": True})
    may_browse(api, has=True)
    assert jira.find_ticket("case-1") is None


def test_find_when_the_account_may_not_browse_then_an_error_and_not_none(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, json={"issues": [], "isLast": True})
    may_browse(api, has=False)
    with pytest.raises(AuthFailed, match="Browse Projects in project SEC"):
        jira.find_ticket("case-1")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"issues": None},
        {"issues": [{"id": "1", "key": "SEC-1"}]},
        {"issues": [{"id": "1", "fields": {"labels": [LABEL]}}]},
        {"issues": ["SEC-1"]},
        {"issues": [], "isLast": False},
        {"issues": [], "nextPageToken": 7},
        [],
    ],
)
def test_find_when_the_answer_is_not_whole_then_unavailable_and_never_none(
    api: RequestsMock, jira: Jira, answer: Any
) -> None:
    api.post(SEARCH, json=answer)
    with pytest.raises(Unavailable):
        jira.find_ticket("case-1")


def test_find_when_the_same_page_comes_again_then_unavailable_and_no_endless_loop(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, json={"issues": [], "nextPageToken": "p2"})
    with pytest.raises(Unavailable):
        jira.find_ticket("case-1")
    assert len(api.calls) == 2


def test_find_when_the_endpoint_is_gone_then_a_sentence_whatever_the_language(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, status=410, json={"errorMessages": ["Die API wurde entfernt."]})
    with pytest.raises(Rejected, match=r"no longer has the API.*Die API wurde entfernt"):
        jira.find_ticket("case-1")


def test_find_when_a_login_page_answers_200_then_unavailable_with_its_type(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, body="<html>sign in</html>", content_type="text/html")
    with pytest.raises(Unavailable, match=r"200.*text/html"):
        jira.find_ticket("case-1")


def test_find_when_answered_as_to_a_stranger_then_auth_failed_and_never_none(
    api: RequestsMock, jira: Jira
) -> None:
    headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
    api.post(SEARCH, json={"issues": [], "isLast": True}, headers=headers)
    with pytest.raises(AuthFailed):
        jira.find_ticket("case-1")


def test_find_when_redirected_to_another_host_then_not_followed(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(SEARCH, status=302, headers={"Location": "https://sso.example.test/login"})
    with pytest.raises(Rejected, match="redirect"):
        jira.find_ticket("case-1")
    assert len(api.calls) == 1


# -- status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "is_closed"), [("new", False), ("indeterminate", False), ("done", True)]
)
def test_read_when_the_category_is_done_then_closed_whatever_the_name(
    api: RequestsMock, jira: Jira, category: str, is_closed: bool
) -> None:
    status = {"name": "Erledigt", "statusCategory": {"key": category}}
    match = [query_param_matcher({"fields": "status"})]
    api.get(ISSUE, json={"fields": {"status": status}}, match=match)
    assert jira.read_ticket(TICKET) == TicketStatus(name="Erledigt", is_closed=is_closed)


@pytest.mark.parametrize(
    "answer",
    [{}, {"fields": {}}, {"fields": {"status": None}}, {"fields": {"status": {"name": "Done"}}}],
)
def test_read_when_the_category_is_missing_then_unavailable_and_never_open(
    api: RequestsMock, jira: Jira, answer: Any
) -> None:
    api.get(ISSUE, json=answer)
    with pytest.raises(Unavailable):
        jira.read_ticket(TICKET)


def test_read_when_404_then_both_causes_are_named(api: RequestsMock, jira: Jira) -> None:
    api.get(ISSUE, status=404, json={"errorMessages": ["Issue does not exist"]})
    with pytest.raises(NotFound, match=r"does not exist, or the account may not see it"):
        jira.read_ticket(TICKET)


def test_each_method_when_a_selector_is_empty_then_rejected_without_a_call(
    api: RequestsMock, jira: Jira
) -> None:
    nameless = TicketRef(id="", key="", url="")
    for ask in (
        lambda: jira.read_ticket(nameless),
        lambda: jira.comment_ticket(nameless, "k", Document(())),
        lambda: jira.find_comment(nameless, "k"),
        lambda: jira.attach_file(nameless, "a.txt", b""),
        lambda: jira.find_attachment(nameless, "a.txt"),
        lambda: jira.find_ticket(""),
        lambda: jira.create_ticket(TicketDraft(correlation="", title="t", body=Document(()))),
        lambda: jira.comment_ticket(TICKET, "", Document(())),
        lambda: jira.find_comment(TICKET, ""),
    ):
        with pytest.raises(Rejected):
            ask()
    assert len(api.calls) == 0


# -- comments --------------------------------------------------------------------------------------


def comment(*texts: str) -> dict[str, Any]:
    return {"id": "1", "body": adf_of(Document(tuple(Paragraph(text) for text in texts)))}


def test_comment_when_posted_then_its_own_search_finds_it(api: RequestsMock, jira: Jira) -> None:
    api.post(f"{ISSUE}/comment", status=201, json={"id": "7"})
    jira.comment_ticket(
        TICKET, "run/report#2", Document((Paragraph("Contained."), Code("{code} \x1b \u202e")))
    )
    body = sent(api)["body"]
    ADF.validate(body)
    found = {"comments": [comment("hello"), {"id": "7", "body": body}], "total": 2}
    api.get(ISSUE, json={"fields": {"comment": found}})
    assert jira.find_comment(TICKET, "run/report#2")
    api.get(ISSUE, json={"fields": {"comment": found}})
    assert not jira.find_comment(TICKET, "run/report#1")


def test_find_comment_when_evidence_imitates_a_marker_then_only_the_last_paragraph_counts(
    api: RequestsMock, jira: Jira
) -> None:
    forged = comment("[stockade:b]", "see above [stockade:b]", "[stockade:a]")
    api.get(ISSUE, json={"fields": {"comment": {"comments": [forged], "total": 1}}})
    assert not jira.find_comment(TICKET, "b")


def test_find_comment_when_jira_left_some_out_then_the_pages_are_read(
    api: RequestsMock, jira: Jira
) -> None:
    shown = {"comments": [comment("1")], "total": 3}
    api.get(ISSUE, json={"fields": {"comment": shown}})
    for start, page in ((0, [comment("1"), comment("2")]), (2, [comment("3", "[stockade:k]")])):
        wanted = [query_param_matcher({"startAt": start, "maxResults": 50})]
        answer = {"comments": page, "startAt": start, "total": 3}
        api.get(f"{ISSUE}/comment", json=answer, match=wanted)
    assert jira.find_comment(TICKET, "k")


def test_find_comment_when_the_pages_end_early_then_unavailable(
    api: RequestsMock, jira: Jira
) -> None:
    api.get(ISSUE, json={"fields": {"comment": {"comments": [], "total": 2}}})
    api.get(f"{ISSUE}/comment", json={"comments": [], "total": 2})
    with pytest.raises(Unavailable):
        jira.find_comment(TICKET, "k")


@pytest.mark.parametrize("fields", [None, {}, {"comment": None}, {"comment": {"comments": None}}])
def test_find_comment_when_jira_shows_none_then_unavailable_and_never_absent(
    api: RequestsMock, jira: Jira, fields: Any
) -> None:
    api.get(ISSUE, json={"fields": fields})
    with pytest.raises(Unavailable):
        jira.find_comment(TICKET, "k")


def test_comment_when_a_2xx_is_a_page_then_outcome_unknown(api: RequestsMock, jira: Jira) -> None:
    api.post(f"{ISSUE}/comment", status=201, body="<html>", content_type="text/html")
    with pytest.raises(OutcomeUnknown):
        jira.comment_ticket(TICKET, "k", Document(()))


def test_comment_when_the_answer_names_none_then_outcome_unknown(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(f"{ISSUE}/comment", status=201, json={})
    with pytest.raises(OutcomeUnknown):
        jira.comment_ticket(TICKET, "k", Document(()))


# -- attachments -----------------------------------------------------------------------------------


def test_attach_when_accepted_then_one_file_part_and_the_header_that_jira_wants(
    api: RequestsMock, jira: Jira
) -> None:
    api.post(
        f"{ISSUE}/attachments",
        json=[{"id": "1", "filename": "case.json"}],
        match=[header_matcher({"X-Atlassian-Token": "no-check"})],
    )
    jira.attach_file(TICKET, "case.json", b"\x00evidence")
    body = api.calls[0].request.body
    assert isinstance(body, bytes)
    assert body.count(b"Content-Disposition") == 1
    assert b'form-data; name="file"; filename="case.json"' in body
    assert b"Content-Type: application/octet-stream\r\n\r\n\x00evidence\r\n" in body


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "..\\..\\x", "/etc/x", "C:\\x", "con.txt", "NUL", "a\x00.txt"),
        *("a\n.txt", 'a"b', "x" * 101, ".hidden", "ends.", "ü.txt", "a b.txt"),
    ],
)
def test_attach_when_the_name_is_unsafe_then_rejected_without_a_call(
    api: RequestsMock, jira: Jira, name: str
) -> None:
    with pytest.raises(Rejected):
        jira.attach_file(TICKET, name, b"x")
    assert len(api.calls) == 0


def test_attach_when_too_large_then_rejected_with_the_cause(api: RequestsMock, jira: Jira) -> None:
    api.post(f"{ISSUE}/attachments", status=413)
    with pytest.raises(Rejected, match="larger than this Jira allows"):
        jira.attach_file(TICKET, "case.json", b"x")


@pytest.mark.parametrize("answer", [[], {}, [{"filename": "other.json"}]])
def test_attach_when_the_answer_does_not_name_the_file_then_outcome_unknown(
    api: RequestsMock, jira: Jira, answer: Any
) -> None:
    api.post(f"{ISSUE}/attachments", json=answer)
    with pytest.raises(OutcomeUnknown):
        jira.attach_file(TICKET, "case.json", b"x")


def test_find_attachment_when_listed_then_true_else_false(api: RequestsMock, jira: Jira) -> None:
    listed = {"attachment": [{"filename": "case.json"}, "odd"]}
    api.get(ISSUE, json={"fields": listed}, match=[query_param_matcher({"fields": "attachment"})])
    assert jira.find_attachment(TICKET, "case.json")
    assert not jira.find_attachment(TICKET, "case.js")


def test_find_attachment_when_jira_shows_none_then_unavailable(
    api: RequestsMock, jira: Jira
) -> None:
    api.get(ISSUE, json={"fields": {}})
    with pytest.raises(Unavailable):
        jira.find_attachment(TICKET, "case.json")


# -- checks, options and secrets -------------------------------------------------------------------

PERMISSIONS = ("BROWSE_PROJECTS", "CREATE_ISSUES", "ADD_COMMENTS", "CREATE_ATTACHMENTS")
META = f"{ISSUES}/createmeta/SEC/issuetypes"


def field(field_id: str, *, required: bool = False, default: bool = False) -> dict[str, Any]:
    return {
        "fieldId": field_id,
        "key": field_id,
        "name": field_id.title(),
        "required": required,
        "hasDefaultValue": default,
    }


SCREEN = [
    *(field(name, required=True) for name in ("project", "issuetype", "summary", "reporter")),
    *(field(name) for name in ("labels", "description")),
    field("components", required=True, default=True),
]


def answer_check(
    api: RequestsMock, *, denied: str = "", screen: list[dict[str, Any]] = SCREEN
) -> None:
    api.get(f"{BASE}/rest/api/3/myself", json={"accountId": "a-1", "active": True})
    granted = {key: {"havePermission": key != denied} for key in PERMISSIONS}
    wanted = {"projectKey": "SEC", "permissions": ",".join(PERMISSIONS)}
    url = f"{BASE}/rest/api/3/mypermissions"
    api.get(url, json={"permissions": granted}, match=[query_param_matcher(wanted)])
    api.get(META, json={"issueTypes": [{"id": "3", "name": "Task"}], "total": 1})
    api.get(f"{META}/3", json={"fields": screen, "total": len(screen)})


def test_check_when_all_fits_then_each_part_is_ok(api: RequestsMock, jira: Jira) -> None:
    answer_check(api)
    results = jira.check()
    assert len(results) == 6
    assert all(result.ok for result in results)


@pytest.mark.parametrize(
    ("denied", "name"),
    [
        ("BROWSE_PROJECTS", "Browse Projects"),
        ("CREATE_ISSUES", "Create Issues"),
        ("ADD_COMMENTS", "Add Comments"),
        ("CREATE_ATTACHMENTS", "Create Attachments"),
    ],
)
def test_check_when_a_permission_is_missing_then_exactly_that_one_is_named(
    api: RequestsMock, jira: Jira, denied: str, name: str
) -> None:
    answer_check(api, denied=denied)
    [bad] = [result for result in jira.check() if not result.ok]
    assert name in str(bad.mend)


@pytest.mark.parametrize(
    ("screen", "said"),
    [
        ([f for f in SCREEN if f["fieldId"] != "labels"], "labels"),
        ([*SCREEN, field("customfield_1", required=True)], "Customfield_1 (customfield_1)"),
        ([], "no field"),
    ],
)
def test_check_when_the_create_screen_does_not_fit_then_the_field_is_named(
    api: RequestsMock, jira: Jira, screen: list[dict[str, Any]], said: str
) -> None:
    answer_check(api, screen=screen)
    [bad] = [result for result in jira.check() if not result.ok]
    assert said in str(bad.mend)


def test_check_when_priorities_are_configured_then_the_screen_must_have_priority(
    api: RequestsMock,
) -> None:
    answer_check(api)
    [bad] = [result for result in make(priorities={"high": "P1"}).check() if not result.ok]
    assert "priority" in str(bad.mend)


def test_check_when_a_required_field_takes_listed_values_then_they_are_named(
    api: RequestsMock, jira: Jira
) -> None:
    values = [{"id": "1", "value": "Blue"}, *({"id": str(n), "name": f"n{n}"} for n in range(11))]
    team = {**field("customfield_1", required=True), "allowedValues": values}
    answer_check(api, screen=[*SCREEN, team])
    [bad] = [result for result in jira.check() if not result.ok]
    assert "(customfield_1), which takes Blue | n0 |" in str(bad.mend)
    assert str(bad.mend).endswith("n8 and 2 more")


def test_check_when_a_required_field_is_configured_then_ok(api: RequestsMock) -> None:
    answer_check(api, screen=[*SCREEN, field("customfield_1", required=True)])
    assert all(result.ok for result in make(fields={"customfield_1": "x"}).check())


def test_check_when_a_configured_field_is_not_on_the_screen_then_named(api: RequestsMock) -> None:
    answer_check(api)
    [bad] = [r for r in make(fields={"customfield_1": "x"}).check() if not r.ok]
    assert "put on the create screen: customfield_1" in str(bad.mend)


def test_create_when_fields_are_configured_then_sent_even_without_the_optional_ones(
    api: RequestsMock,
) -> None:
    api.post(ISSUES, status=400, json={"errors": {"priority": "cannot be set"}})
    created(api)
    team = {"value": "Blue"}
    make(fields={"customfield_1": team}, priorities={"high": "P1"}).create_ticket(
        draft(severity="high")
    )
    assert [sent(api, n)["fields"]["customfield_1"] for n in (0, 1)] == [team, team]


def test_check_when_the_issue_type_is_unknown_then_the_known_ones_are_listed(
    api: RequestsMock,
) -> None:
    answer_check(api)
    api.remove("GET", f"{META}/3")
    [bad] = [result for result in make(issue_type="Incident").check() if not result.ok]
    assert "it has: Task" in str(bad.mend)


@pytest.mark.parametrize("me", [{}, {"accountId": "a-1", "active": False}])
def test_check_when_nobody_is_signed_in_then_nothing_else_is_tried(
    api: RequestsMock, jira: Jira, me: Any
) -> None:
    api.get(f"{BASE}/rest/api/3/myself", json=me)
    [result] = jira.check()
    assert not result.ok


def test_check_when_a_login_page_answers_then_not_ok(api: RequestsMock, jira: Jira) -> None:
    api.get(f"{BASE}/rest/api/3/myself", body="<html>", content_type="text/html")
    [result] = jira.check()
    assert not result.ok
    assert "text/html" in str(result.mend)


@pytest.mark.parametrize(
    "options",
    [
        {"extra": 1},
        {"project": "SEC-1"},
        {"project": ""},
        {"project": 'S" OR project = "X'},
        {"labels": ["two words"]},
        {"labels": ["x\n"]},
        {"site_url": "http://site.example.test"},
        {"fields": {"summary": "x"}},
        {"fields": {"customfield_1": None}},
        {"fields": {"customfield_1\n": "x"}},
    ],
)
def test_options_when_wrong_then_refused_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        make(**options)


def test_secrets_when_anything_is_shown_or_logged_then_never_in_it(
    api: RequestsMock, jira: Jira, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.get(ISSUE, status=403, json={"errorMessages": ["bot@example.test token-0001-5ec2e75ec2e7"]})
    with pytest.raises(AuthFailed) as caught:
        jira.read_ticket(TICKET)
    basic = str(api.calls[0].request.headers["Authorization"]).removeprefix("Basic ")
    shown = f"{caught.value} {jira!r} {vars(jira)!r} {caplog.text}"
    assert not [
        word for word in ("token-0001-5ec2e75ec2e7", "bot@example.test", basic) if word in shown
    ]
