"""Templates and conditions: strict values, one pass, nothing reachable but items."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.filters import FILTERS, TESTS
from runner.template import (
    Partly,
    Reference,
    TemplateFault,
    certain,
    certain_text,
    check_template,
    condition,
    infer,
    is_lone,
    references,
    render,
)

ROOT = Path(__file__).parent.parent
HOSTILE = [
    "{{ 7*7 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "{{ config }}",
    "{{ ''.__class__ }}",
    "{# x #}",
    "['DC-1', 'DC-2']",
    "False",
]
SCOPE: dict[str, object] = {
    "alert": {"host": "WS-1", "cmdline": "wmic os get", "user": None, "raw": {"dest": ["a", "b"]}},
    "triage": {"assessment": "benign", "score": 3, "items": [1, 2], "keys": "K", "safe": False},
    "text": "False",
    "steps": {"ticket": {"status": "succeeded"}},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{{ alert.host }}", "WS-1"),
        ("{{ triage.score }}", 3),
        ("{{ triage.safe }}", False),
        ("{{ triage.items }}", [1, 2]),
        ("{{ triage.keys }}", "K"),
        ("{{ triage['score'] }}", 3),
        ("{{ alert.raw.dest[0] }}", "a"),
        ("{{ alert.raw.dest[-1] }}", "b"),
        ("{{ triage.score }}\n", 3),
        ("host {{ alert.host }}, score {{ triage.score }}", "host WS-1, score 3"),
        ("safe: {{ triage.safe }}", "safe: false"),
        ("{{ alert.user | default('nobody') }}", "nobody"),
        ("{{ alert.nothing | default('nobody') }}", "nobody"),
        ("{{ alert.user.deeper | default('nobody') }}", "nobody"),
        ("{{ alert.raw.dest | join(', ') }}", "a, b"),
        ("{{ alert.raw.dest | length }}", 2),
        ("{{ alert.raw.dest | first }}{{ alert.raw.dest | last }}", "ab"),
        ("{{ alert.host | lower | replace('ws', 'pc') | upper }}", "PC-1"),
        ("{{ ['b', 'a', 'b'] | unique | sort }}", ["a", "b"]),
        ("{{ ' 12 ' | trim | int }}", 12),
        ("{{ [alert.host, triage.score] }}", ["WS-1", 3]),
        ("{{ {'host': alert.host} }}", {"host": "WS-1"}),
        ("{{ triage.score + 1 }}", 4),
        ("{{ triage.score - 1 }}", 2),
        ("{{ -triage.score }}", -3),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ 'low' if triage.score < 5 else 'high' }}", "low"),
        ("{{ alert.host is defined and alert.nothing is defined }}", False),
        ("{{ alert.user is none }}", True),
        ("{{ 'a' in alert.raw.dest and 'WS' in alert.host }}", True),
        ("{{ 'z' not in alert.raw.dest or false }}", True),
        ("{{ 'dest' in alert.raw }}", True),
        ("{{ alert.user == 'x' }}", False),
        ("{{ 1 < triage.score <= 3 }}", True),
        ("{{ '{{' }}", "{{"),
    ],
)
def test_render_given_an_expression_keeps_its_value(template: str, value: object) -> None:
    rendered = render(template, SCOPE)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ alert.hots }}", "there is no `hots`"),
        ("{{ nobody }}", "`nobody` is not known"),
        ("{{ nobody | default('x') }}", "`nobody` is not known"),
        ("{{ a.b.c }}", "`a` is not known"),
        ("{{ alert.user }}", "empty (null)"),
        ("for {{ alert.user }}", "puts nothing into a text"),
        ("for {{ triage.items }}", "puts a list into a text"),
        ("for {{ alert.raw }}", "puts a mapping into a text"),
        ("{{ alert.raw.dest[2] }}", "no entry 2"),
        ("{{ alert.host.upper() }}", "a call"),
        ("{{ range(9) }}", "a call"),
        ("{{ lipsum }}", "`lipsum` is not known"),
        ("{{ cycler }}", "`cycler` is not known"),
        ("{{ self }}", "`self` is not known"),
        ("{{ ''.__class__ }}", "a text has no `__class__`"),
        ("{{ alert.__class__ }}", "there is no `__class__`"),
        ("{{ alert['__class__'] }}", "there is no `__class__`"),
        ("{{ alert.items }}", "there is no `items`"),
        ("{{ triage.items.append }}", "a list has no `append`"),
        ("{{ alert | attr('x') }}", "no filter `attr`"),
        ("{{ triage.items | map('x') }}", "no filter `map`"),
        ("{{ triage.score is odd }}", "no test `odd`"),
        ("{{ 'x' | default(value='y') }}", "no named arguments"),
        ("{{ triage.items | join }}", "takes 1 argument"),
        ("{% if true %}x{% endif %}", "no statement"),
        ("{# quiet #}", "no comment"),
        ("{{ 'a' * 999999999 }}", "`*` may not be used"),
        ("{{ 9 ** 9 }}", "`**` may not be used"),
        ("{{ '%s' % 1 }}", "`%` may not be used"),
        ("{{ alert.user ~ 'x' }}", "`~`"),
        ("{{ alert.host[0:2] }}", "a slice"),
        ("{{ (1, 2) }}", "a tuple"),
        ("{{ 'a' if triage.safe }}", "needs an `else`"),
        ("{{ not text }}", "needs a boolean, and got a text"),
        ("{{ text and true }}", "needs a boolean, and got a text"),
        ("{{ triage.score or true }}", "needs a boolean, and got a number"),
        ("{{ 'a' if text else 'b' }}", "needs a boolean, and got a text"),
        ("{{ triage.score == '3' }}", "a comparison of a number with a text"),
        ("{{ triage.safe == 0 }}", "a comparison of a boolean with a number"),
        ("{{ triage.safe == text }}", "a comparison of a boolean with a text"),
        ("{{ triage.score < '4' }}", "an order of a number and a text"),
        ("{{ alert.user < 4 }}", "an order of nothing and a number"),
        ("{{ 1 + true }}", "needs a number, and got a boolean"),
        ("{{ 'a' + 1 }}", "needs a number, and got a text"),
        ("{{ triage.items | join(', ') }}", "needs a text, and got a number"),
        ("{{ [] | first }}", "of an empty list"),
        ("{{ 'x' | int }}", "no whole number"),
        ("{{ ['a', 1] | sort }}", "texts or a list of numbers"),
        ("{{ 'aa' | replace('', 'b') }}", "an empty text"),
        ("{{ alert.host", "unexpected end"),
        ("{{ }}", "Expected an expression"),
        ("{{" + "(" * 900, "nested too deeply"),
        ("{{" + " not" * 800 + " triage.safe }}", "nested too deeply"),
        ("{{ 'x' }}" + "y" * 5000, "longer than"),
    ],
)
def test_render_given_what_has_no_value_says_why(template: str, said: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        render(template, SCOPE)
    assert said in caught.value.text


def test_render_given_lists_and_mappings_replaces_inside_and_raises_inside() -> None:
    value = {"a": ["{{ triage.items }}", {"b": "{{ alert.host }}"}], "n": 1, "none": None}
    assert render(value, SCOPE) == {"a": [[1, 2], {"b": "WS-1"}], "n": 1, "none": None}
    with pytest.raises(TemplateFault):
        render({"a": [{"b": "{{ alert.hots }}"}]}, SCOPE)


@pytest.mark.parametrize("evidence", HOSTILE)
def test_render_given_hostile_evidence_leaves_it_as_it_is_through_two_passes(evidence: str) -> None:
    first = render({"text": "{{ alert.cmdline }}"}, {"alert": {"cmdline": evidence}})
    assert first == {"text": evidence}
    second = render(["ran: {{ step.text }}"], {"step": first})
    assert second == [f"ran: {evidence}"]


@given(st.text())
def test_render_given_any_evidence_gives_it_back_unchanged(evidence: str) -> None:
    scope = {"alert": {"cmdline": evidence}}
    assert render("{{ alert.cmdline }}", scope) == evidence
    assert render("<{{ alert.cmdline }}>", scope) == f"<{evidence}>"


@given(st.text(alphabet="{}%#|()[].~*_ '\"aifnot=<1,", max_size=60))
def test_render_given_any_template_gives_a_value_or_a_fault(template: str) -> None:
    for text in ("{{ " + template, template):
        with suppress(TemplateFault):
            assert render(text, SCOPE) is not None


def test_render_of_a_growing_text_is_bounded() -> None:
    scope = {"a": "x" * 900_000, "b": "y" * 200_000}
    with pytest.raises(TemplateFault, match="too long"):
        render("{{ a + b }}", scope)
    with pytest.raises(TemplateFault, match="too long"):
        render("{{ a | replace('x', 'yyyy') }}", scope)


@pytest.mark.parametrize(
    "value", ["False", "false", "no", "0", "False\n", "None", "", 0, [], None, 1]
)
def test_condition_given_a_value_that_is_no_boolean_raises(value: object) -> None:
    with pytest.raises(TemplateFault, match="not true or false"):
        condition("{{ event.suspicious }}", {"event": {"suspicious": value}})


@pytest.mark.parametrize("text", ["False", "true", "", "{{ triage.safe }} ", "x {{ triage.safe }}"])
def test_condition_given_a_text_is_true_for_nothing(text: str) -> None:
    if text.strip() == "{{ triage.safe }}":
        assert condition(text, SCOPE) is False
        return
    with pytest.raises(TemplateFault, match="is no condition"):
        condition(text, SCOPE)


def test_condition_given_a_boolean_or_a_comparison_gives_its_truth() -> None:
    assert condition(True, {}) is True
    assert condition(False, {}) is False
    assert condition("{{ triage.assessment == 'benign' }}", SCOPE) is True
    assert condition("{{ triage.items | length > 2 }}", SCOPE) is False


def test_references_given_an_expression_names_what_it_reads() -> None:
    text = "{{ alert.host | default(triage.score) }} {{ t['a'].b[0].c }} {{ u is none }}"
    assert references(text) == [
        Reference("alert", ("host",), True),
        Reference("triage", ("score",), False),
        Reference("t", ("a", "b"), False),
        Reference("u", (), True),
    ]
    assert references("no braces") == []


def test_infer_given_an_expression_proves_its_type_or_nothing() -> None:
    def type_of(ref: Reference) -> str | None:
        return {"host": "target", "score": "number"}.get(ref.path[-1])

    assert infer("{{ a.host }}", type_of) == "target"
    assert infer("{{ a.host | default({'device_id': 'x'}) }}", type_of) is None
    assert infer("{{ a.score | default(0) }}", type_of) == "number"
    assert infer("{{ a.score > 1 }}", type_of) == "boolean"
    assert infer("score {{ a.score }}", type_of) == "text"
    assert infer("{{ a.list | length }}", type_of) == "number"
    assert infer("{{ a.host if true else a.host }}", type_of) is None


def test_lone_given_text_around_is_false() -> None:
    assert is_lone("{{ a }}")
    assert is_lone(" {{ a }}\n")
    assert not is_lone("x {{ a }}")
    assert not is_lone("{{ a }}{{ b }}")
    assert not is_lone("x")


def test_filters_and_tests_are_the_ones_that_the_docs_name() -> None:
    docs = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
    assert [name for name in FILTERS if not re.search(rf"`{name}[`(]", docs)] == []
    assert [name for name in TESTS if f"`is {name}`" not in docs] == []
    assert len(FILTERS) == 12


def test_check_given_a_text_without_braces_never_loads_jinja2() -> None:
    code = (
        "import sys; from runner.template import check_template, references, render\n"
        "render({'a': ['x', 1, None, 'C:\\\\\\\\x']}, {}); check_template('x'); references('y')\n"
        "assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    check_template("{{ a }}")


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("{{ q.answer == 'a' }}", True),
        ("{{ q.answer != 'a' }}", False),
        ("{{ q.answer in ['b', 'c'] }}", False),
        ("{{ q.answer == 'a' and other }}", None),
        ("{{ q.answer == 'b' and other }}", False),
        ("{{ other and q.answer == 'b' }}", False),
        ("{{ q.answer == 'a' or other }}", True),
        ("{{ not (q.answer == 'b' and other) }}", True),
        ("{{ q.state == 'x' }}", None),
        ("{{ q.state is defined }}", None),
        ("{{ q.state | default('x') == 'x' }}", None),
        ("{{ other | default('x') == 'x' }}", None),
        ("{{ q.answer }}", None),
        (True, True),
        ("no expression", None),
    ],
)
def test_certain_when_only_some_names_are_known_then_what_they_decide_and_nothing_else(
    text: str | bool, truth: bool | None
) -> None:
    assert certain(text, Partly(q=Partly(answer="a"))) is truth


def test_certain_text_when_a_name_is_open_then_none() -> None:
    known = Partly(q=Partly(answer="a", number=5))
    assert certain_text("{{ q.answer }}", known) == "a"
    assert certain_text("{{ q.state }}", known) is None
    assert certain_text("{{ q.number }}", known) is None
