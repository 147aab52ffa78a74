"""The strict YAML reader: places, surprises, limits, and everything at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.yaml_reader import MAX_DEPTH, MAX_NODES, Node, Report, read_yaml


def read(text: str) -> tuple[Node | None, list[tuple[int, int, str]]]:
    report = Report("file.yaml")
    node = read_yaml(text, report)
    return node, [(fault.line, fault.column, fault.code) for fault in report.sorted()]


def plain(text: str) -> object:
    node, faults = read(text)
    assert faults == []
    assert node is not None
    return node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("'no'", "no"),
        ('"1.10"', "1.10"),
        ("2026-11-25", "2026-11-25"),
        ("12:30:00", "12:30:00"),
        ("192.0.2.1", "192.0.2.1"),
        ("nope", "nope"),
        ("No way", "No way"),
    ],
)
def test_reader_given_a_plain_value_reads_it_as_written(text: str, value: object) -> None:
    read_value = plain(f"key: {text}\n")
    assert read_value == {"key": value}
    assert isinstance(read_value, dict)
    assert type(read_value["key"]) is type(value)


@pytest.mark.parametrize(
    "word", ["no", "No", "yes", "on", "off", "OFF", "y", "N", "True", "FALSE", "Null"]
)
def test_reader_given_a_word_of_yaml_1_1_refuses_it(word: str) -> None:
    assert read(f"codes: [us, {word}, de]\n")[1] == [(1, 13, "yaml-word")]


@pytest.mark.parametrize(
    "number", ["1.10", "007", "0x1F", "0o17", "1_000", "1e3", "+5", ".5", "5."]
)
def test_reader_given_a_number_that_is_read_differently_refuses_it_unseen(number: str) -> None:
    report = Report("file.yaml")
    read_yaml(f"key: {number}\n", report)
    assert [fault.code for fault in report.faults] == ["yaml-number"]
    # It may be a secret in the wrong place: only the examples of the message are shown.
    assert f"`{number}`" not in str(report.faults[0])


def test_reader_given_on_and_no_as_keys_reads_words() -> None:
    assert plain("on: a\nno: b\n") == {"on": "a", "no": "b"}


def test_reader_given_a_duplicate_key_names_both_lines_and_keeps_the_first() -> None:
    report = Report("file.yaml")
    node = read_yaml("ask: true\nother: 1\nask: false\n", report)
    (fault,) = report.faults
    assert (fault.line, fault.column, fault.code) == (3, 1, "yaml-duplicate")
    assert "line 1" in fault.text
    assert node is not None
    assert node.plain() == {"ask": True, "other": 1}


def test_reader_given_a_merge_key_refuses_it() -> None:
    node, faults = read("base: &b {ask: false}\nstep:\n  ask: true\n  <<: *b\n")
    assert faults == [(4, 3, "yaml-merge")]
    assert node is not None
    assert node.plain() == {"base": {"ask": False}, "step": {"ask": True}}


def test_reader_given_tabs_reports_each_line_and_reads_on() -> None:
    node, faults = read("a:\t1\nb: 2\nc:\t3\nd: off\n")
    assert faults == [(1, 3, "yaml-tab"), (3, 3, "yaml-tab"), (4, 4, "yaml-word")]
    assert node is not None


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b", "\x00", "\ufeff", "\x85"])
def test_reader_given_an_invisible_character_reports_it(hidden: str) -> None:
    assert read(f"key: a{hidden}b\n")[1] == [(1, 7, "yaml-invisible")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", (1, 1, "yaml-empty")),
        ("# nothing\n", (1, 1, "yaml-empty")),
        ("a: b: c\n", (1, 5, "yaml-syntax")),
        ("a: 'open\n", (2, 1, "yaml-syntax")),
        ("a: !!python/object:os.system x\n", (1, 4, "yaml-tag")),
        ("a: !!str 5\n", (1, 4, "yaml-tag")),
        ("a: 1\n---\nb: 2\n", (2, 1, "yaml-documents")),
        ("? [a]\n: b\n", (1, 3, "yaml-key")),
        ("a: &x 1\n*x : 2\n", (2, 1, "yaml-key")),
        ("a: *nobody\n", (1, 4, "yaml-alias")),
        ("a: &a [*a]\n", (1, 8, "yaml-alias")),
        ("\ud800: 1\n", (1, 1, "yaml-encoding")),
        ("a: '" + "x" * 600_000 + "'\n", (1, 1, "yaml-size")),
    ],
)
def test_reader_given_what_it_cannot_read_says_where(
    text: str, fault: tuple[int, int, str]
) -> None:
    assert read(text)[1] == [fault]


def test_reader_given_an_alias_bomb_refuses_it_before_it_expands() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]
    node, faults = read("\n".join(levels))
    assert node is None
    assert [code for _, _, code in faults] == ["yaml-size"]


def test_reader_given_an_honest_file_with_sixty_aliases_reads_it() -> None:
    text = "base: &b {channel: soc, team: blue}\nsteps:\n" + "  - *b\n" * 60
    value = plain(text)
    assert isinstance(value, dict)
    assert value["steps"] == [{"channel": "soc", "team": "blue"}] * 60


@pytest.mark.parametrize("opened", ["[", "{a: ", "- "])
def test_reader_given_five_thousand_levels_refuses_them(opened: str) -> None:
    node, faults = read(opened * 5000 + "x")
    assert node is None
    assert [code for _, _, code in faults] in (["yaml-depth"], ["yaml-syntax"])


def test_reader_given_depth_by_aliases_refuses_it() -> None:
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, MAX_DEPTH + 2)]
    assert [code for _, _, code in read("\n".join(levels))[1]] == ["yaml-depth"]


def test_reader_given_the_largest_list_reads_it() -> None:
    value = plain("- x\n" * (MAX_NODES - 1))
    assert isinstance(value, list)
    assert len(value) == MAX_NODES - 1
    assert read("- x\n" * MAX_NODES)[1][0][2] == "yaml-size"


def test_node_given_a_path_finds_the_nearest_place() -> None:
    node, _ = read("a:\n  - b: 1\n    c: 2\n")
    assert node is not None
    found = node.find(("a", 0, "c"))
    assert (found.line, found.column, found.value) == (3, 8, 2)
    assert node.find(("a", 0, "missing")).line == 2
    assert node.find(("a", 7)).line == 2
    assert node.keys == {"a": (1, 1)}


def test_fault_as_text_gives_file_line_column_and_mend() -> None:
    report = Report("file.yaml")
    read_yaml("a: off\n", report)
    assert str(report.faults[0]) == (
        "file.yaml:1:4: `off` is read differently by different YAML readers. "
        "Write true, false or null, or quote it if it is a text."
    )


@given(st.text(alphabet="ab:-[]{},&*!|>'\"#%@`?~<01._ \n\t\ud800\x00", max_size=80))
def test_reader_given_any_text_reads_it_or_says_why(text: str) -> None:
    node, faults = read(text)
    assert node is not None or faults
    assert all(line >= 1 and column >= 1 for line, column, _ in faults)
