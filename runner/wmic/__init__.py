"""What a wmic line says and whether it is harmful: the package's one door, pure functions only."""

from __future__ import annotations

from runner.wmic.accounts import skipped_account
from runner.wmic.blind import blind_spots
from runner.wmic.command import Command, Subject, Verb
from runner.wmic.context import Seen, TriageContext, context_of
from runner.wmic.delivery import Delivered, Delivery
from runner.wmic.event_fields import RawEvent
from runner.wmic.event_rows import read_events
from runner.wmic.events import Event
from runner.wmic.findings import ACTED, Found, How, Seed, Spread
from runner.wmic.grammar import parse
from runner.wmic.graph import Graph, build_graph, graph_json
from runner.wmic.indicators import dropped
from runner.wmic.judge import assess, assess_line
from runner.wmic.mermaid import mermaid_text
from runner.wmic.origin import Ask, Hop, Start, Trace, Wanted, trace
from runner.wmic.picture import svg_picture
from runner.wmic.places import Confidence, Places
from runner.wmic.shape import Shape, shape_of
from runner.wmic.spread import is_selective, spread_of
from runner.wmic.starter import full_path, is_forgeable, starter_of
from runner.wmic.weighing import LEAST, score_text
from runner.wmic.words import ascii_lower

__all__ = [
    "ACTED",
    "LEAST",
    "Ask",
    "Command",
    "Confidence",
    "Delivered",
    "Delivery",
    "Event",
    "Found",
    "Graph",
    "Hop",
    "How",
    "Places",
    "RawEvent",
    "Seed",
    "Seen",
    "Shape",
    "Spread",
    "Start",
    "Subject",
    "Trace",
    "TriageContext",
    "Verb",
    "Wanted",
    "ascii_lower",
    "assess",
    "assess_line",
    "blind_spots",
    "build_graph",
    "context_of",
    "dropped",
    "full_path",
    "graph_json",
    "is_forgeable",
    "is_selective",
    "mermaid_text",
    "parse",
    "read_events",
    "score_text",
    "shape_of",
    "skipped_account",
    "spread_of",
    "starter_of",
    "svg_picture",
    "trace",
]
