"""The Jira stand-in, judged by the vendor's own OpenAPI document: requests and replies both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.jira import Jira
from connectors.emulators.jira_requests import PROJECT
from connectors.emulators.jira_rules import Jql, JqlError, is_document
from tests.contract_session import ContractError, ContractSession, opened
from tests.fake_clock import FakeClock
from tests.loopback_only import loopback_only

__all__ = ["loopback_only"]

DOCUMENT = Path(__file__).parent / "specs" / "jira.json"
# The document says that an attachment's body is a JSON array, and leaves these three out.
WAIVED = ("/attachments", "/mypermissions", "/content/10002", "/issuetypes/10001")
DESCRIPTION = {
    "type": "doc",
    "version": 1,
    "content": [{"type": "paragraph", "content": [{"type": "text", "text": "why"}]}],
}


@pytest.fixture
def jira() -> Iterator[Jira]:
    emulator = Jira(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def session(jira: Jira) -> Iterator[ContractSession]:
    with ContractSession(opened(DOCUMENT), WAIVED) as made:
        made.trust_env = False
        made.auth = (jira.credentials["email"], jira.credentials["api_token"])
        yield made


def url(jira: Jira, path: str) -> str:
    return f"{jira.base_url}/rest/api/3{path}"


def fields(**other: Any) -> dict[str, Any]:
    wanted = {
        "project": {"key": PROJECT},
        "issuetype": {"name": "Task"},
        "summary": "wmic /format on WORKSTATION5",
        "description": DESCRIPTION,
        "labels": ["stockade-0123456789abcdef"],
    }
    return {"fields": {**wanted, **other}}


def create(session: ContractSession, jira: Jira, **other: Any) -> str:
    reply = session.post(url(jira, "/issue"), json=fields(**other))
    assert reply.status_code == 201, reply.text
    return str(reply.json()["key"])


def search(session: ContractSession, jira: Jira, jql: str, **more: Any) -> dict[str, Any]:
    asked = {"jql": jql, "fields": ["key", "labels"], **more}
    found: dict[str, Any] = session.post(url(jira, "/search/jql"), json=asked).json()
    return found


def keys(found: dict[str, Any]) -> list[str]:
    return [issue["key"] for issue in found["issues"]]


def test_contract_when_a_ticket_lives_its_life_then_the_document_agrees(
    jira: Jira, session: ContractSession
) -> None:
    key = create(session, jira)
    issue = url(jira, f"/issue/{key}")
    comment = {"body": DESCRIPTION, "properties": [{"key": "stockade", "value": {"step": "s1"}}]}

    assert session.post(f"{issue}/comment", json=comment).status_code == 201
    listed = session.get(f"{issue}/transitions").json()["transitions"]
    done = next(entry for entry in listed if entry["to"]["statusCategory"]["key"] == "done")
    moved = session.post(f"{issue}/transitions", json={"transition": {"id": done["id"]}})
    read = session.get(issue, params={"fields": "status,comment,attachment"}).json()

    assert moved.status_code == 204
    assert read["fields"]["status"]["statusCategory"]["key"] == "done"
    assert read["fields"]["comment"]["comments"][0]["body"] == DESCRIPTION
    assert read["fields"]["attachment"] == []
    assert keys(search(session, jira, 'labels = "stockade-0123456789abcdef"')) == [key]
    by_query = {"jql": f"key = {key}", "fields": ["key"]}
    assert keys(session.get(url(jira, "/search/jql"), params=by_query).json()) == [key]
    assert session.get(url(jira, "/myself")).json()["active"] is True
    types = session.get(url(jira, f"/issue/createmeta/{PROJECT}/issuetypes")).json()
    assert [entry["name"] for entry in types["issueTypes"]] == ["Task", "Incident"]
    assert session.judged == 9
    assert [seen.path.rpartition("/")[2] for seen in jira.effects()] == [
        "issue",
        "comment",
        "transitions",
    ]


def test_contract_when_a_request_breaks_it_then_it_is_not_sent(
    jira: Jira, session: ContractSession
) -> None:
    with pytest.raises(ContractError):
        session.post(url(jira, "/issue"), json={"fields": ["summary"]})
    with pytest.raises(ContractError):
        session.get(url(jira, "/search"), params={"jql": "project = SEC"})

    assert jira.requests == []


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"description": "a plain string"}, "description"),
        ({"description": {**DESCRIPTION, "version": 2}}, "description"),
        ({"summary": ""}, "summary"),
        ({"summary": "x" * 256}, "summary"),
        ({"summary": "two\nlines"}, "summary"),
        ({"labels": ["with space"]}, "labels"),
        ({"labels": "one"}, "labels"),
        ({"priority": {"name": "Urgent"}}, "priority"),
        ({"project": {"key": "NOPE"}}, "project"),
        ({"issuetype": {"name": "Epic"}}, "issuetype"),
        ({"customfield_1": "x"}, "customfield_1"),
    ],
)
def test_create_when_jira_would_refuse_a_field_then_400_names_it(
    jira: Jira, session: ContractSession, other: dict[str, Any], field: str
) -> None:
    reply = session.post(url(jira, "/issue"), json=fields(**other))

    assert (reply.status_code, list(reply.json()["errors"])) == (400, [field])
    assert jira.all_issues() == []


def test_create_when_a_field_is_not_on_the_screen_then_400_names_it(
    jira: Jira, session: ContractSession
) -> None:
    jira.tune(refused_fields=("labels",))

    reply = session.post(url(jira, "/issue"), json=fields())

    assert (reply.status_code, list(reply.json()["errors"])) == (400, ["labels"])


@pytest.mark.parametrize("value", ["plain text", {"type": "doc"}, None])
def test_comment_when_it_is_no_document_then_400(
    jira: Jira, session: ContractSession, value: Any
) -> None:
    key = create(session, jira)

    reply = session.post(url(jira, f"/issue/{key}/comment"), json={"body": value})

    assert (reply.status_code, list(reply.json()["errors"])) == (400, ["comment"])
    assert len(jira.effects()) == 1


def test_comments_when_paged_then_each_comes_once(jira: Jira, session: ContractSession) -> None:
    key = create(session, jira)
    for _ in range(3):
        session.post(url(jira, f"/issue/{key}/comment"), json={"body": DESCRIPTION})
    session._waived = (*WAIVED, "/comment")  # the document's excerpt has no GET of comments

    at = url(jira, f"/issue/{key}/comment")
    pages = [session.get(at, params={"startAt": n, "maxResults": 2}).json() for n in (0, 2)]

    assert [len(page["comments"]) for page in pages] == [2, 1]
    assert {page["total"] for page in pages} == {3}


def test_attachment_when_uploaded_then_its_bytes_come_back(
    jira: Jira, session: ContractSession
) -> None:
    key = create(session, jira)
    content = bytes(range(256)) + b"\r\n--boundary\r\n"

    reply = session.post(
        url(jira, f"/issue/{key}/attachments"),
        files={"file": ("evidence.json", content, "application/octet-stream")},
        headers={"X-Atlassian-Token": "no-check"},
    )
    made = reply.json()[0]

    assert (made["filename"], made["size"]) == ("evidence.json", len(content))
    assert session.get(made["content"]).content == content
    shown = session.get(url(jira, f"/issue/{key}")).json()["fields"]["attachment"]
    assert [entry["filename"] for entry in shown] == ["evidence.json"]


def test_attachment_when_the_header_is_missing_then_403(
    jira: Jira, session: ContractSession
) -> None:
    key = create(session, jira)

    reply = session.post(url(jira, f"/issue/{key}/attachments"), files={"file": ("a", b"x")})

    assert reply.status_code == 403


def test_search_when_it_lags_then_a_new_issue_is_found_later_or_by_its_id(
    jira: Jira, session: ContractSession
) -> None:
    jira.tune(search_lag_s=30)
    key = create(session, jira)
    number = int(jira.all_issues()[0]["id"])
    by_label = 'labels = "stockade-0123456789abcdef"'
    assert isinstance(jira.clock, FakeClock)

    at_once = keys(search(session, jira, by_label))
    by_id = keys(search(session, jira, by_label, reconcileIssues=[number]))
    jira.clock.advance(30)

    assert (at_once, by_id, keys(search(session, jira, by_label))) == ([], [key], [key])


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("ORDER BY created ASC", ["SEC-1", "SEC-2", "SEC-3"]),
        ("ORDER BY created DESC", ["SEC-3", "SEC-2", "SEC-1"]),
        ("", ["SEC-3", "SEC-2", "SEC-1"]),
    ],
)
def test_search_when_pages_are_short_then_the_token_leads_to_all(
    jira: Jira, session: ContractSession, order: str, found: list[str]
) -> None:
    jira.tune(page_size=2)
    for _ in range(3):
        create(session, jira)

    first = search(session, jira, f"project = {PROJECT} {order}")
    second = search(
        session, jira, f"project = {PROJECT} {order}", nextPageToken=first["nextPageToken"]
    )

    assert keys(first) + keys(second) == found
    assert (first["isLast"], second["isLast"], "nextPageToken" in second) == (False, True, False)


@pytest.mark.parametrize("jql", ["", "text ~ x", 'labels = "a" OR labels = "b"', "x = 1"])
def test_search_when_the_jql_is_not_served_then_400(
    jira: Jira, session: ContractSession, jql: str
) -> None:
    reply = session.post(url(jira, "/search/jql"), json={"jql": jql})

    assert (reply.status_code, len(reply.json()["errorMessages"])) == (400, 1)


def test_login_when_wrong_then_401(jira: Jira, session: ContractSession) -> None:
    session.auth = (jira.credentials["email"], "wrong")

    reply = session.post(url(jira, "/issue"), json=fields())

    assert reply.status_code == 401
    assert jira.all_issues() == []


def test_lookups_when_the_thing_is_missing_then_it_is_refused(
    jira: Jira, session: ContractSession
) -> None:
    key = create(session, jira)
    wrong = {"transition": {"id": "99"}}

    assert session.get(url(jira, "/issue/SEC-404")).status_code == 404
    assert session.post(url(jira, f"/issue/{key}/transitions"), json=wrong).status_code == 400
    nowhere = session.get(url(jira, "/issue/createmeta/NOPE/issuetypes"))
    assert nowhere.status_code == 400


def test_permissions_when_the_project_is_another_then_none_is_held(
    jira: Jira, session: ContractSession
) -> None:
    asked = {"permissions": "CREATE_ISSUES,ADD_COMMENTS"}

    ours = session.get(url(jira, "/mypermissions"), params={**asked, "projectKey": PROJECT})
    theirs = session.get(url(jira, "/mypermissions"), params={**asked, "projectKey": "NOPE"})

    for reply, held in ((ours, True), (theirs, False)):
        listed = reply.json()["permissions"]
        assert {entry["havePermission"] for entry in listed.values()} == {held}


def test_create_screen_when_read_then_it_shows_the_fields(
    jira: Jira, session: ContractSession
) -> None:
    screen = session.get(url(jira, f"/issue/createmeta/{PROJECT}/issuetypes/10001")).json()

    required = {entry["fieldId"] for entry in screen["fields"] if entry["required"]}
    assert required == {"project", "issuetype", "summary"}


# -- rules -----------------------------------------------------------------------------------------


def doc(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(content)}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


@pytest.mark.parametrize(
    ("document", "good"),
    [
        (doc({"type": "paragraph", "content": [text("x")]}), True),
        (doc({"type": "paragraph"}), True),
        (doc({"type": "codeBlock", "content": [text("x")]}), True),
        (doc({"type": "codeBlock", "content": [text("x", marks=[])]}), False),
        (doc({"type": "paragraph", "content": [text("")]}), False),
        (doc(text("x")), False),
        (doc({"type": "paragraph", "content": [{"type": "paragraph"}]}), False),
        (doc({"type": "tableRow"}), False),
        (doc({"type": "unheard-of"}), False),
        (doc({"type": "paragraph", "content": [text("x" * 32_768)]}), False),
        ({"type": "doc", "version": 1}, False),
        ("x", False),
        (
            doc(
                {
                    "type": "table",
                    "content": [
                        {
                            "type": "tableRow",
                            "content": [
                                {"type": "tableCell", "content": [{"type": "paragraph"}]},
                            ],
                        }
                    ],
                }
            ),
            True,
        ),
    ],
)
def test_document_when_checked_then_its_shape_decides(document: Any, good: bool) -> None:
    assert is_document(document) is good


def test_jql_when_a_value_holds_words_of_the_language_then_they_are_text() -> None:
    issue = {"fields": {"labels": ['a" AND b ORDER BY c']}, "key": "SEC-1"}

    assert Jql(r'labels = "a\" AND b ORDER BY c" ORDER BY created ASC').matches(issue)


@pytest.mark.parametrize("jql", ['labels = "open', "labels", "ORDER BY created", "key = SEC-1 AND"])
def test_jql_when_malformed_then_it_is_refused(jql: str) -> None:
    with pytest.raises(JqlError):
        Jql(jql)
