"""The graph in Mermaid's language. Labels are evidence: written as entity codes, they are inert.

Source: mermaid.js.org, "Flowcharts", entity codes to escape characters, 2026-11-25.
"""

from __future__ import annotations

from connectors.document import shorten, visible
from runner.wmic.graph import Graph, Node, NodeKind

LABEL_CHARACTERS = 60
_PLAIN = frozenset(" .-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_SHAPES = {
    NodeKind.HOST: ("[", "]"),
    NodeKind.ACCOUNT: ("([", "])"),
    NodeKind.INDICATOR: ("{{", "}}"),
}


def mermaid_text(graph: Graph) -> str:
    """A flowchart, one line a node and an edge; a dotted edge is of low confidence."""
    lines = ["flowchart LR"]
    lines += [f"  {node.id}{_shaped(node)}" for node in graph.nodes]
    for edge in graph.edges:
        arrow = "-.->" if edge.confidence == "low" else "-->"
        time = f" {edge.at:%H:%M:%S}" if edge.at else ""
        said = escaped(f"{edge.what}{time} ({edge.confidence})")
        lines.append(f'  {edge.source} {arrow}|"{said}"| {edge.target}')
    lines.append("  classDef alert stroke-width:3px")
    lines.append("  classDef first stroke-dasharray:6 3")
    for node in graph.nodes:
        classes = [name for name, on in (("alert", node.is_alert), ("first", node.is_first)) if on]
        lines += [f"  class {node.id} {name}" for name in classes]
    return "\n".join(lines) + "\n"


def _shaped(node: Node) -> str:
    opening, closing = _SHAPES[node.kind]
    return f'{opening}"{escaped(node.label)}"{closing}'


def escaped(text: str) -> str:
    """Every character but letters, digits and a few more as its number: `#34;`."""
    shown = visible(shorten(text, LABEL_CHARACTERS))
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in shown)
