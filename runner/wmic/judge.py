"""Is this wmic line harmful? Judged by the value of its format switch, never by the line around it.

A stylesheet may hold script, which runs inside wmic.exe; so a stylesheet that Windows did not bring
is not good news, and what cannot be read is unknown. What surrounds the process adds its weight
within the bounds that the line sets. A pure function: no clock, no network.
"""

from __future__ import annotations

from msgspec.structs import replace

from connectors.model import Alert, Assessment, AssessmentKind, Reason
from runner.masking import shown
from runner.wmic.command import Command
from runner.wmic.context import TriageContext
from runner.wmic.contributions import weigh
from runner.wmic.deeds import deeds_of
from runner.wmic.grammar import parse
from runner.wmic.location import location_of
from runner.wmic.parser import FormatSwitch
from runner.wmic.stylesheet import Origin, observables_of, origin_of, unresolved_variable
from runner.wmic.weighing import ORDER, Contribution, Finding, kind_of, score_of

MOST_REASONS = 20
MOST_SWITCHES = 100
LONG_LINE = 1000
"""From this length on, a value that ends the line may be the part that a cut left over."""

_KINDS = {
    Origin.BUILT_IN: AssessmentKind.BENIGN,
    Origin.SHIPPED: AssessmentKind.BENIGN,
    Origin.VARIABLE: AssessmentKind.BENIGN,
    Origin.WORD: AssessmentKind.SUSPICIOUS,
    Origin.FILE: AssessmentKind.SUSPICIOUS,
    Origin.SHARE: AssessmentKind.MALICIOUS,
    Origin.URL: AssessmentKind.MALICIOUS,
}
_SENTENCES = {
    Origin.BUILT_IN: "The output format {value} comes with Windows.",
    Origin.SHIPPED: "The output stylesheet {value} is a file in wmic's own folder; should the "
    "current folder hold one of that name, the line does not show it.",
    Origin.VARIABLE: "The output format {value} comes with Windows, if {variable} is what Windows "
    "sets it to; whoever started wmic could have changed it.",
    Origin.WORD: "{value} is no known output format: wmic looks for a file of that name, and a "
    "stylesheet may run script.",
    Origin.FILE: "The output stylesheet is a file that did not come with Windows, {value}; a "
    "stylesheet may run script.",
    Origin.SHARE: "wmic loads its output stylesheet from another machine, {value}, and runs any "
    "script in it.",
    Origin.URL: "wmic loads its output stylesheet from the network, {value}, and runs any script "
    "in it.",
}
_BEGINNINGS = frozenset({"http", "https", "ftp", "http:/", "https:/", "ftp:/"})
_CUT = "The command line ends inside the format switch{rest}: the telling part is cut off."


_LESS_SURE = -30
"""A variable that a caller may set, and a bare file name, are a little less sure than a full
path."""


def assess(alert: Alert, context: TriageContext | None = None) -> Assessment:
    """Judge an alert: its command line, its parent and account, and what `context` adds. Repeat:
    the same input gives the same assessment."""
    known = context or TriageContext()
    event = alert.process_guid
    known = replace(
        known,
        parent=known.parent or alert.parent,
        user=known.user or alert.user,
        event=known.event or event,
    )
    return _assess(alert.cmdline, known, event)


def assess_line(cmdline: str | None) -> Assessment:
    """Judge one command line; None when the alert carries none."""
    return _assess(cmdline, TriageContext(), None)


def _assess(cmdline: str | None, context: TriageContext, event: str | None) -> Assessment:
    command = parse(cmdline or "")
    findings = _worst_first(_findings(cmdline, command))[:MOST_REASONS]
    worst = findings[0]
    by_line = [item for found in findings for item in _weighed(found, worst, event)]
    around = weigh(context, command)
    # The same thing said twice counts once, so that the reasons shown add up to the score.
    counted = tuple(dict.fromkeys([*by_line, *around]))
    score = score_of(worst.kind, counted)
    kind = kind_of(score)
    reasons = [Reason(text=item.text, weight=item.weight, event=item.event) for item in counted]
    gravest = around[0] if around and around[0].weight > 0 else None
    is_raised = gravest is not None and ORDER.index(kind) > ORDER.index(worst.kind)
    return Assessment(
        assessment=kind,
        score=score,
        summary=f"{worst.text} {gravest.text}" if gravest and is_raised else worst.text,
        reasons=tuple(reasons),
        indicators=tuple(dict.fromkeys(seen for found in findings for seen in found.indicators)),
        is_corroborated=any(item.corroborates and item.weight > 0 for item in around),
    )


def _weighed(found: Finding, worst: Finding, event: str | None) -> list[Contribution]:
    """A harmless switch beside a harmful one lessens nothing."""
    weight = found.own_weight if found.kind is worst.kind else max(found.own_weight, 0)
    own = Contribution(weight=weight, text=found.text, event=event)
    return [own, *(replace(item, event=event) for item in found.more)]


def _worst_first(findings: list[Finding]) -> list[Finding]:
    """The reasons kept are the gravest ones: a line may be stuffed with switches."""
    return sorted(
        findings, key=lambda found: (ORDER.index(found.kind), found.own_weight), reverse=True
    )


def _findings(cmdline: str | None, command: Command) -> list[Finding]:
    """One finding a switch and a deed, or the one thing that keeps the line from being judged."""
    if cmdline is None or not cmdline.strip():
        return [_unknown("The alert carries no command line, so there is nothing to judge.")]
    findings = _of_switches(command.formats, len(cmdline))
    if findings and all(switch.is_inside_text for switch in command.formats):
        findings.append(_unknown("A format switch stands inside quoted text only."))
    return findings + deeds_of(command, cmdline)


def _of_switches(switches: tuple[FormatSwitch, ...], line_length: int) -> list[Finding]:
    """Beyond so many, only those that name another machine are judged one by one."""
    findings = [_judge(switch, line_length) for switch in switches[:MOST_SWITCHES]]
    more = switches[MOST_SWITCHES:]
    if more:
        text = f"The line has {len(switches)} format switches, as no honest line does."
        findings.append(Finding(kind=AssessmentKind.SUSPICIOUS, text=text))
        remote = [one for one in more if origin_of(one.value or "") in (Origin.URL, Origin.SHARE)]
        findings += [_judge(switch, line_length) for switch in remote[:MOST_REASONS]]
    return findings


def _unknown(sentence: str) -> Finding:
    return Finding(kind=AssessmentKind.UNKNOWN, text=sentence)


def _judge(switch: FormatSwitch, line_length: int) -> Finding:
    if not switch.value:
        return _unknown("The format switch has no value; the line may be cut off.")
    value = switch.value.replace("^", "")
    finding = _judge_value(value)
    if switch.parameter is not None and not _is_harmless_parameter(switch.parameter):
        finding = _at_least(
            AssessmentKind.SUSPICIOUS,
            finding,
            f"The format has an unusual parameter, {shown(switch.parameter)}.",
        )
    if _may_be_cut(switch, line_length) and finding.kind is not AssessmentKind.MALICIOUS:
        finding = _cut(value, finding)
    if "^" in switch.value:
        finding = _at_least(
            AssessmentKind.UNKNOWN, finding, "The value holds carets that no shell has resolved."
        )
    return _inside_text(finding) if switch.is_inside_text else finding


def _judge_value(value: str) -> Finding:
    origin = origin_of(value)
    variable = unresolved_variable(value)
    sentence = _SENTENCES[origin].format(value=shown(value), variable=shown(variable or ""))
    is_file = origin in (Origin.FILE, Origin.WORD)
    if is_file and variable:
        sentence = (
            f"The stylesheet's path, {shown(value)}, holds a variable that is not resolved, "
            f"{shown(variable)}: where it leads cannot be told from the line."
        )
    return Finding(
        kind=_KINDS[origin],
        text=sentence,
        indicators=observables_of(value),
        more=location_of(value) if is_file else (),
        weight=_LESS_SURE if origin in (Origin.SHIPPED, Origin.VARIABLE) else None,
    )


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


def _cut(value: str, finding: Finding) -> Finding:
    """What is left may still be the beginning of an address, and of nothing else."""
    cut = _CUT.format(rest=f" after {shown(value)}")
    if value.lower() in _BEGINNINGS and finding.kind is not AssessmentKind.BENIGN:
        text = f"{cut} What is left is how a network address begins."
        return Finding(kind=AssessmentKind.SUSPICIOUS, text=text, indicators=finding.indicators)
    return replace(_unknown(cut), indicators=finding.indicators)


def _at_least(kind: AssessmentKind, finding: Finding, sentence: str) -> Finding:
    """Never milder than `kind`; the sentence is added either way."""
    text = f"{finding.text} {sentence}"
    if ORDER.index(kind) <= ORDER.index(finding.kind):
        return replace(finding, text=text)
    return replace(finding, kind=kind, text=text, weight=None)


def _inside_text(finding: Finding) -> Finding:
    """Wmic may take a switch inside quoted text for text: a person has to look, no more."""
    kind = min(finding.kind, AssessmentKind.SUSPICIOUS, key=ORDER.index)
    return replace(finding, kind=kind, text=f"Inside quoted text: {finding.text}", weight=None)
