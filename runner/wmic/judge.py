"""Is this wmic line harmful? Judged by the value of its format switch, never by the line around it.

A stylesheet may hold script, which runs inside wmic.exe; so a stylesheet that Windows did not bring
is not good news, and what cannot be read is unknown. A pure function: no clock, no network.
"""

from __future__ import annotations

from msgspec import Struct

from connectors.document import shorten, visible
from connectors.model import Alert, Assessment, AssessmentKind, Observable, Reason
from runner.wmic.parser import FormatSwitch, read_format_switches
from runner.wmic.stylesheet import Origin, observables_of, origin_of, unresolved_variable

SCORES = {
    AssessmentKind.BENIGN: 0,
    AssessmentKind.UNKNOWN: 40,
    AssessmentKind.SUSPICIOUS: 60,
    AssessmentKind.MALICIOUS: 90,
}
"""One score a class, out of 100."""

WEIGHTS = {
    AssessmentKind.BENIGN: -40,
    AssessmentKind.UNKNOWN: 0,
    AssessmentKind.SUSPICIOUS: 60,
    AssessmentKind.MALICIOUS: 90,
}
_ORDER = (
    AssessmentKind.BENIGN,
    AssessmentKind.UNKNOWN,
    AssessmentKind.SUSPICIOUS,
    AssessmentKind.MALICIOUS,
)
MOST_REASONS = 20
LONG_LINE = 1000
"""From this length on, a value that ends the line may be the part that a cut left over."""

_KINDS = {
    Origin.BUILT_IN: AssessmentKind.BENIGN,
    Origin.VARIABLE: AssessmentKind.UNKNOWN,
    Origin.WORD: AssessmentKind.SUSPICIOUS,
    Origin.FILE: AssessmentKind.SUSPICIOUS,
    Origin.SHARE: AssessmentKind.MALICIOUS,
    Origin.URL: AssessmentKind.MALICIOUS,
}
_SENTENCES = {
    Origin.BUILT_IN: "The output format {value} comes with Windows.",
    Origin.WORD: "{value} is no known output format: wmic looks for a file of that name, and a "
    "stylesheet may run script.",
    Origin.FILE: "The output stylesheet is a file that did not come with Windows, {value}; a "
    "stylesheet may run script.",
    Origin.SHARE: "wmic loads its output stylesheet from another machine, {value}, and runs any "
    "script in it.",
    Origin.URL: "wmic loads its output stylesheet from the network, {value}, and runs any script "
    "in it.",
}
_CUT = "The command line ends inside the format switch{rest}: the telling part is cut off."


class _Finding(Struct, frozen=True):
    kind: AssessmentKind
    sentence: str
    indicators: tuple[Observable, ...] = ()


def assess(alert: Alert) -> Assessment:
    """Judge an alert by its command line. Repeat: the same alert gives the same assessment."""
    return _assess(alert.cmdline, alert.process_guid)


def assess_line(cmdline: str | None) -> Assessment:
    """Judge one command line; None when the alert carries none."""
    return _assess(cmdline, None)


def _assess(cmdline: str | None, event: str | None) -> Assessment:
    findings = _worst_first(_findings(cmdline))
    worst = findings[0]
    reasons = {
        found.sentence: Reason(text=found.sentence, weight=WEIGHTS[found.kind], event=event)
        for found in findings[:MOST_REASONS]
    }
    indicators = dict.fromkeys(
        seen for found in findings[:MOST_REASONS] for seen in found.indicators
    )
    return Assessment(
        assessment=worst.kind,
        score=SCORES[worst.kind],
        summary=worst.sentence,
        reasons=tuple(reasons.values()),
        indicators=tuple(indicators),
    )


def _worst_first(findings: list[_Finding]) -> list[_Finding]:
    """The reasons kept are the gravest ones: a line may be stuffed with switches."""
    return sorted(findings, key=lambda found: _ORDER.index(found.kind), reverse=True)


def _findings(cmdline: str | None) -> list[_Finding]:
    """One finding a switch, or the one thing that keeps the line from being judged."""
    if cmdline is None or not cmdline.strip():
        return [_unknown("The alert carries no command line, so there is nothing to judge.")]
    switches = read_format_switches(cmdline)
    if not switches:
        return [_unknown("The line has no format switch; what else it does is not judged here.")]
    findings = [_judge(switch, len(cmdline)) for switch in switches]
    if all(switch.is_inside_text for switch in switches):
        findings.append(_unknown("A format switch stands inside quoted text only."))
    return findings


def _unknown(sentence: str) -> _Finding:
    return _Finding(AssessmentKind.UNKNOWN, sentence)


def _judge(switch: FormatSwitch, line_length: int) -> _Finding:
    if not switch.value:
        return _unknown("The format switch has no value; the line may be cut off.")
    value = switch.value.replace("^", "")
    finding = _judge_value(value)
    if switch.parameter is not None and not _is_harmless_parameter(switch.parameter):
        finding = _at_least(
            AssessmentKind.SUSPICIOUS,
            finding,
            f"The format has an unusual parameter, {_shown(switch.parameter)}.",
        )
    if _may_be_cut(switch, line_length) and finding.kind is not AssessmentKind.MALICIOUS:
        rest = f" after {_shown(value)}"
        finding = _Finding(AssessmentKind.UNKNOWN, _CUT.format(rest=rest), finding.indicators)
    if "^" in switch.value:
        finding = _at_least(
            AssessmentKind.UNKNOWN, finding, "The value holds carets that no shell has resolved."
        )
    return _inside_text(finding) if switch.is_inside_text else finding


def _judge_value(value: str) -> _Finding:
    origin = origin_of(value)
    variable = unresolved_variable(value)
    if variable and origin not in (Origin.URL, Origin.SHARE):
        sentence = (
            f"The stylesheet's path, {_shown(value)}, holds a variable that is not resolved, "
            f"{_shown(variable)}: where it leads cannot be told from the line."
        )
    else:
        sentence = _SENTENCES[origin].format(value=_shown(value))
    return _Finding(_KINDS[origin], sentence, observables_of(value))


def _is_harmless_parameter(parameter: str) -> bool:
    """`sortby=Name`, or several with colons between: plain values that can lead nowhere."""
    for part in parameter.split(":"):
        name, equals, value = part.partition("=")
        if not equals or not name.isalnum() or set(value) & set("\\/%^!$&|<>"):
            return False
    return True


def _may_be_cut(switch: FormatSwitch, line_length: int) -> bool:
    value = switch.value or ""
    if not switch.is_closed or value.endswith(("...", "\u2026")):
        return True
    return switch.ends_line and line_length >= LONG_LINE


def _at_least(kind: AssessmentKind, finding: _Finding, sentence: str) -> _Finding:
    """Never milder than `kind`; the sentence is added either way."""
    worse = max(kind, finding.kind, key=_ORDER.index)
    return _Finding(worse, f"{finding.sentence} {sentence}", finding.indicators)


def _inside_text(finding: _Finding) -> _Finding:
    """Wmic may take a switch inside quoted text for text: a person has to look, no more."""
    kind = min(finding.kind, AssessmentKind.SUSPICIOUS, key=_ORDER.index)
    return _Finding(kind, f"Inside quoted text: {finding.sentence}", finding.indicators)


def _shown(text: str) -> str:
    return visible(shorten(text, 200))
