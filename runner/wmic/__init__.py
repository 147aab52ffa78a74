"""What a wmic line says and whether it is harmful: the package's one door, pure functions only."""

from __future__ import annotations

from runner.wmic.command import Command, Subject, Verb
from runner.wmic.context import Seen, TriageContext, context_of
from runner.wmic.grammar import parse
from runner.wmic.judge import assess, assess_line

__all__ = [
    "Command",
    "Seen",
    "Subject",
    "TriageContext",
    "Verb",
    "assess",
    "assess_line",
    "context_of",
    "parse",
]
