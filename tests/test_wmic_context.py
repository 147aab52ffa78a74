"""What surrounds a process: read from recorded events, weighed within the line's bounds."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.model import Alert, Assessment, AssessmentKind
from runner.wmic import Seen, TriageContext, assess, assess_line, context_of
from runner.wording import score_text

RECORDED = Path(__file__).parent.parent / "connectors/emulators/data/recorded_t1220.jsonl"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()
]
START = next(
    row for row in ROWS if row["EventID"] == 1 and row["Image"].lower().endswith("wmic.exe")
)
BENIGN, UNKNOWN, SUSPICIOUS, MALICIOUS = (
    AssessmentKind.BENIGN,
    AssessmentKind.UNKNOWN,
    AssessmentKind.SUSPICIOUS,
    AssessmentKind.MALICIOUS,
)
SCRIPT = TriageContext(
    modules=(Seen("C:\\Windows\\System32\\jscript.dll", "m1"), Seen("c:\\x\\scrrun.dll", "m2"))
)
CHILD = TriageContext(children=(Seen('"C:\\Windows\\System32\\cmd.exe" /c x', "c1"),))
TRUSTED = TriageContext(
    parent="C:\\Program Files\\Zabbix Agent 2\\zabbix_agent2.exe",
    user="NT AUTHORITY\\SYSTEM",
    earlier_runs=500,
    other_hosts=900,
    exit_code=44210,
    was_searched=True,
)


def alert(cmdline: str = "wmic os get /format:csv", **more: Any) -> Alert:
    return Alert(id="a", siem="siem", search="search", raw={}, cmdline=cmdline, **more)


def recorded_alert(**more: Any) -> Alert:
    at = datetime.fromisoformat(f"{START['UtcTime']}+00:00")
    host = START.get("Hostname") or START["Computer"]
    return alert(START["CommandLine"], host=host, occurred_at=at, **more)


def weights(judged: Assessment) -> dict[str, int]:
    return {reason.text: reason.weight for reason in judged.reasons}


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("guid", [None, START["ProcessGuid"], START["ProcessGuid"].upper()])
def test_recorded_attack_is_gathered_with_and_without_a_guid(guid: str | None) -> None:
    known = context_of(ROWS, recorded_alert(process_guid=guid))
    assert [seen.value for seen in known.children] == ['"C:\\Windows\\System32\\calc.exe"']
    assert [seen.value for seen in known.lookups] == ["raw.githubusercontent.com"]
    assert [seen.value for seen in known.connections] == ["151.101.248.133:443"]
    assert known.parent == "C:\\Windows\\System32\\cmd.exe"
    assert known.was_searched
    assert all("Sysmon" in seen.event for seen in known.modules)


def test_events_of_another_host_are_left_out() -> None:
    known = context_of(ROWS, replace(recorded_alert(), host="OTHER"))
    assert known == TriageContext()


def test_two_processes_that_fit_join_nothing() -> None:
    twin = {**START, "ProcessGuid": "{39e4a257-0000-5f8b-4e1b-000000000400}"}
    known = context_of([*ROWS, twin], recorded_alert())
    assert known.children == ()
    assert not known.was_searched


def test_exit_code_is_read_from_4689_of_the_same_process() -> None:
    ended = {
        "Channel": "Security",
        "EventID": 4689,
        "ProcessName": START["Image"],
        "ProcessId": hex(int(START["ProcessId"])),
        "Status": "0xacb2",
    }
    rows = [row for row in ROWS if row["EventID"] != 4689]
    assert context_of([*rows, ended], recorded_alert()).exit_code == 44210
    assert context_of([*rows, {**ended, "ProcessId": "0x1"}], recorded_alert()).exit_code is None


# -- weighing --------------------------------------------------------------------------------------


def test_recorded_attack_is_certain_and_each_reason_names_its_event() -> None:
    judged = assess(recorded_alert(), context_of(ROWS, recorded_alert()))
    assert (judged.assessment, judged.score) == (MALICIOUS, 100)
    grave = [reason for reason in judged.reasons[1:] if reason.weight >= 20]
    assert len(grave) >= 4
    assert all(reason.event and reason.event.startswith("Sysmon") for reason in grave)


def test_what_proves_nothing_is_said_with_weight_zero() -> None:
    loaded = ("amsi.dll", "msxml6.dll", "urlmon.dll", "vbscript.dll")
    seen = tuple(Seen(f"C:\\Windows\\System32\\{name}", "e") for name in loaded)
    judged = assess(alert(), TriageContext(modules=seen, was_searched=True))
    assert judged.assessment == BENIGN
    nothing = " ".join(text for text, weight in weights(judged).items() if weight == 0)
    assert all(name in nothing for name in loaded)
    assert "cache" in nothing


@pytest.mark.parametrize("value", ["http://192.0.2.50/a", "\\\\192.0.2.50\\s\\a.xsl"])
def test_remote_stylesheet_stays_malicious_whatever_surrounds_it(value: str) -> None:
    judged = assess(alert(f"wmic os get /format:{value}"), TRUSTED)
    assert judged.assessment == MALICIOUS
    assert min(weights(judged).values()) < 0


@pytest.mark.parametrize("value", ["table.xsl", "evil", '"C:\\Program Files\\a\\a.xsl"'])
def test_own_stylesheet_is_never_benign_whatever_surrounds_it(value: str) -> None:
    assert assess(alert(f"wmic os get /format:{value}"), TRUSTED).assessment == SUSPICIOUS


def test_line_that_cannot_be_read_is_never_benign_whatever_surrounds_it() -> None:
    assert assess(alert("wmic os get /format:csv..."), TRUSTED).assessment == UNKNOWN


def test_built_in_format_is_not_made_malicious_without_an_event_of_the_process() -> None:
    around = TriageContext(
        parent="C:\\Program Files\\Microsoft Office\\WINWORD.EXE",
        parent_cmdline="cmd /v:on /c w^mic call",
        earlier_runs=0,
        other_hosts=0,
    )
    judged = assess(alert('"C:\\Users\\Public\\wmic.exe" os get /format:csv'), around)
    assert judged.assessment not in (BENIGN, MALICIOUS)
    proved = replace(around, children=CHILD.children)
    again = assess(alert('"C:\\Users\\Public\\wmic.exe" os get /format:csv'), proved)
    assert again.assessment == MALICIOUS


def test_built_in_format_with_script_and_child_is_malicious() -> None:
    both = replace(SCRIPT, children=CHILD.children)
    judged = assess(alert(), both)
    assert judged.assessment == MALICIOUS
    assert "comes with Windows" in judged.summary
    assert {reason.event for reason in judged.reasons if reason.weight > 0} == {"m2", "c1"}


@pytest.mark.parametrize("around", [SCRIPT, CHILD])
def test_built_in_format_with_either_goes_to_people(around: TriageContext) -> None:
    assert assess(alert(), around).assessment == SUSPICIOUS


@pytest.mark.parametrize("around", [SCRIPT, CHILD])
def test_own_stylesheet_with_either_is_malicious(around: TriageContext) -> None:
    assert assess(alert("wmic os get /format:evil.xsl"), around).assessment == MALICIOUS


@pytest.mark.parametrize(
    ("around", "sentence", "weight"),
    [
        (TriageContext(parent='"C:\\Office\\WINWORD.EXE" /n a.docx'), "winword.exe", 20),
        (TriageContext(parent="C:\\Windows\\System32\\wbem\\WmiPrvSE.exe"), "wmiprvse.exe", 20),
        (TriageContext(parent="C:\\Program Files\\Mesh Agent\\MeshAgent.exe"), "inventory", -10),
        (TriageContext(parent_cmdline="cmd /c wm^ic o^s g^et"), "hides its words", 20),
        (TriageContext(user="NT AUTHORITY\\SYSTEM"), "as services do", -5),
        (TriageContext(user="S-1-5-20"), "as services do", -5),
        (TriageContext(earlier_runs=12), "12 times", -5),
        (TriageContext(earlier_runs=0, other_hosts=0), "No host ran", 5),
        (TriageContext(other_hosts=40), "40 other hosts", -5),
        (TriageContext(lookups=(Seen("files.example.test", "l"),)), "files.example.test", 20),
        (TriageContext(connections=(Seen("192.0.2.50:443", "n"),)), "192.0.2.50:443", 20),
        (
            TriageContext(files=(Seen("C:\\a\\INetCache\\IE\\X\\a[1].xsl", "f"),)),
            "fetched from the network",
            30,
        ),
        (
            TriageContext(keys=(Seen("HKU\\S\\Internet Settings\\ZoneMap\\x", "k"),)),
            "internet access",
            15,
        ),
        (TriageContext(modules=(Seen("C:\\x\\jscript.dll", "m"),)), "script engine", 10),
        (TriageContext(exit_code=44210), "44210", -15),
    ],
)
def test_each_circumstance_weighs_what_it_says(
    around: TriageContext, sentence: str, weight: int
) -> None:
    found = weights(assess(alert(), around))
    assert [found[text] for text in found if sentence in text] == [weight]


@pytest.mark.parametrize(
    "around",
    [
        TriageContext(parent="C:\\Users\\Public\\MeshAgent.exe"),
        TriageContext(parent="MeshAgent.exe"),
        TriageContext(parent="C:\\Program Files\\..\\Users\\MeshAgent.exe"),
        TriageContext(children=(Seen("C:\\Windows\\System32\\conhost.exe 0x4", "c"),)),
        TriageContext(exit_code=0),
        TriageContext(files=(Seen("C:\\out.csv", "f"),)),
    ],
)
def test_circumstance_that_means_nothing_adds_nothing(around: TriageContext) -> None:
    assert len(assess(alert(), around).reasons) == 1


def test_connection_and_lookup_of_a_node_are_explained_by_the_line() -> None:
    around = TriageContext(
        lookups=(Seen("WS02.example.test", "l"),), connections=(Seen("192.0.2.9:61249", "n"),)
    )
    judged = assess(alert("wmic /node:WS02 os get /format:csv"), around)
    assert judged.score == 0


def test_parent_and_account_of_the_alert_count_without_a_context() -> None:
    judged = assess(alert(parent="C:\\Office\\EXCEL.EXE", user="CORP\\a"))
    assert any("excel.exe" in text for text in weights(judged))


def test_variable_that_the_shell_would_have_resolved_is_not_trusted() -> None:
    line = 'wmic os get /format:"%WINDIR%\\System32\\wbem\\en-US\\csv"'
    assert assess(alert(line)).assessment == BENIGN
    assert assess(alert(line, parent='"C:\\Windows\\System32\\cmd.exe" /c x')).assessment == UNKNOWN


def test_score_is_the_sum_that_the_reasons_show() -> None:
    judged = assess(alert("wmic os get /format:evil.xsl"), replace(TRUSTED, exit_code=None))
    total = 40 + sum(reason.weight for reason in judged.reasons)
    assert judged.score == max(50, total)
    assert assess_line("wmic os get /format:csv").score == 0


def test_score_text_says_where_the_sum_begins_and_which_bound_it_met() -> None:
    plain = assess_line("wmic os get /format:evil.xsl")
    assert score_text(plain) == "score 60 of 100 (each line begins at 40)"
    over = assess(alert("wmic os get /format:http://192.0.2.50/a"), CHILD)
    assert score_text(over) == (
        "score 100 of 100 (each line begins at 40; the sum, 140, is held to this)"
    )


def test_same_sentence_twice_counts_once() -> None:
    once = assess_line("wmic os get /format:evil.xsl")
    twice = assess_line("wmic os get /format:evil.xsl /format:evil.xsl")
    assert (twice.score, len(twice.reasons)) == (once.score, len(once.reasons))


def test_another_program_is_not_called_wmic() -> None:
    said = " ".join(weights(assess(alert("net user /add x y", parent="C:\\x\\WmiPrvSE.exe"))))
    assert "The program was started by wmiprvse.exe" in said
    assert "format switch" not in said
    assert "Wmic" not in said


def test_what_another_program_did_weighs_nothing_unless_its_file_is_wmic() -> None:
    did = replace(CHILD, parent="C:\\x\\WmiPrvSE.exe", modules=SCRIPT.modules, was_searched=True)
    other = assess(alert("net user /add x y"), did)
    assert (other.assessment, other.is_corroborated) == (SUSPICIOUS, False)
    assert not any("Wmic" in text for text in weights(other))
    renamed = assess(alert("net.exe user /add x y"), replace(did, is_wmic=True))
    assert (renamed.assessment, renamed.is_corroborated) == (MALICIOUS, True)


@pytest.mark.parametrize(
    ("name", "is_wmic"), [("wmic.exe", True), ("net.exe", False), ("-", None), ("", None)]
)
def test_file_says_what_a_program_is(name: str, is_wmic: bool | None) -> None:
    rows = [{**START, "OriginalFileName": name}]
    assert context_of(rows, recorded_alert()).is_wmic is is_wmic
