"""Which devices may never be contained: what the file means, and that a wrong one means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Device
from runner.protected import ProtectedAssets, read_protected


def device(hostname: str, domain: str | None = "corp.example.test") -> Device:
    return Device(
        instance="f", tenant="t", device_id="0123456789abcdef" * 2, hostname=hostname, domain=domain
    )


def rules(tmp_path: Path, text: str) -> ProtectedAssets:
    file = tmp_path / "protected.txt"
    file.write_text(text)
    return read_protected(file)


def test_read_protected_when_no_file_is_configured_then_a_fault() -> None:
    assert read_protected(None).faults == ("guards.protected_file is not set",)


def test_read_protected_when_the_file_is_missing_then_a_fault(tmp_path: Path) -> None:
    (fault,) = read_protected(tmp_path / "nowhere.txt").faults
    assert "No such file" in fault


def test_read_protected_when_it_is_a_folder_then_a_fault(tmp_path: Path) -> None:
    assert read_protected(tmp_path).faults


def test_read_protected_when_it_is_no_utf8_then_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "protected.txt"
    file.write_bytes(b"host DC-\xff\n")
    assert "not UTF-8" in read_protected(file).faults[0]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "   # host DC-1\n"])
def test_read_protected_when_it_names_nothing_then_a_fault(tmp_path: Path, text: str) -> None:
    assert "protects nothing" in rules(tmp_path, text).faults[0]


@pytest.mark.parametrize(
    "line", ["DC-1", "hosts DC-1", "host", "host *", "host DC 1", "host DC-1;DC-2", "id ab", "id *"]
)
def test_read_protected_when_a_line_is_no_rule_then_a_fault_with_its_line(
    tmp_path: Path, line: str
) -> None:
    read = rules(tmp_path, f"host DC-*\n{line}\n")
    assert len(read.faults) == 1
    assert "protected.txt:2:" in read.faults[0]


def test_read_protected_when_it_is_good_then_rules_comments_and_a_hash(tmp_path: Path) -> None:
    read = rules(tmp_path, "# tier 0\nhost DC-*  # all of them\n\nid 0123456789abcdef\n")
    assert (read.hosts, read.device_ids, read.faults) == (("DC-*",), ("0123456789abcdef",), ())
    assert read.sha256 != rules(tmp_path, "host DC-*\nid 0123456789abcdef\n").sha256


@pytest.mark.parametrize(
    ("rule", "hostname", "domain"),
    [
        ("host DC-1", "DC-1", None),
        ("host dc-1", "DC-1", None),
        ("host DC-1", "dc-1.corp.example.test", None),
        ("host dc-1.corp.example.test", "DC-1", "corp.example.test"),
        ("host dc-1.corp.example.test", "DC-1", "CORP.example.test"),
        ("host *.corp.example.test", "DC-1", "corp.example.test"),
        ("host DC-*", "DC-17.elsewhere.example.test", "corp.example.test"),
        ("id 0123456789ABCDEF0123456789abcdef", "WS-1", None),
    ],
)
def test_protects_when_a_rule_meets_any_name_of_the_device_then_names_the_rule(
    tmp_path: Path, rule: str, hostname: str, domain: str | None
) -> None:
    found = rules(tmp_path, rule + "\n").protects(device(hostname, domain))
    assert found is not None
    assert found.casefold() == rule.casefold()


@pytest.mark.parametrize(
    ("rule", "hostname"),
    [("host DC-1", "DC-10"), ("host DC-1", "XDC-1"), ("host D.-1", "DC-1"), ("id 0123456", "WS-1")],
)
def test_protects_when_no_rule_meets_it_then_none(tmp_path: Path, rule: str, hostname: str) -> None:
    assert rules(tmp_path, rule + "\n").protects(device(hostname)) is None


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)


@given(name=NAMES, domain=NAMES)
def test_protects_whatever_the_spelling_then_a_rule_for_the_name_holds(
    name: str, domain: str
) -> None:
    for pattern in (name, f"{name}.{domain}", f"{name[0]}*"):
        found = ProtectedAssets(hosts=(pattern,))
        for hostname in (name, name.swapcase(), f"{name}.{domain}".upper()):
            assert found.protects(device(hostname, domain)) is not None
