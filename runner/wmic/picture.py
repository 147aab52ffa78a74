"""The graph as an SVG picture: no script, no link, nothing loaded from elsewhere.

Drawn with drawsvg, imported when a picture is wanted, because a cron start need not pay for it. It
escapes texts and titles but no attributes, so evidence goes into texts and titles only.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from connectors.document import visible
from runner.wmic.graph import Edge, Graph, Node, NodeKind
from runner.wmic.places import Confidence

if TYPE_CHECKING:
    import drawsvg

BOX_W, BOX_H = 210, 40
GAP_X, GAP_Y = 170, 28
EDGE_STEP = 20
MARGIN = 24
LABEL_CHARACTERS = 27
MOST_DRAWN = 60
"""More nodes than that are a wall and no picture; the JSON has them all."""

_FILLS = {
    NodeKind.HOST: "#e8f0fe",
    NodeKind.ACCOUNT: "#fef7e0",
    NodeKind.INDICATOR: "#fce8e6",
}
_LINES = {
    Confidence.HIGH: {"stroke": "#202124", "stroke_width": 2},
    Confidence.MEDIUM: {"stroke": "#5f6368", "stroke_width": 1.5},
    Confidence.LOW: {"stroke": "#9aa0a6", "stroke_width": 1, "stroke_dasharray": "5 4"},
}
_FONT = {"font_family": "sans-serif", "fill": "#202124"}

Places2D = Mapping[str, tuple[int, int]]


def svg_picture(graph: Graph) -> str:
    """An SVG document. At most `MOST_DRAWN` nodes; a line says how many are left out."""
    import drawsvg

    nodes = graph.nodes[:MOST_DRAWN]
    at = _placed(nodes, graph.edges)
    width = max((x for x, _ in at.values()), default=0) + BOX_W + MARGIN
    height = max((y for _, y in at.values()), default=0) + BOX_H + 3 * MARGIN
    drawing = drawsvg.Drawing(width, height, id_prefix="s")
    drawing.append(drawsvg.Rectangle(0, 0, width, height, fill="white"))
    head = drawsvg.Marker(-0.1, -3, 6, 3, scale=1.4, orient="auto")
    head.append(drawsvg.Lines(0, -3, 6, 0, 0, 3, close=True, fill="#5f6368"))
    drawn: Counter[tuple[str, str]] = Counter()
    for edge in graph.edges:
        ends = (edge.source, edge.target)
        if edge.source in at and edge.target in at:
            _draw_edge(drawing, edge, at, head, drawn[ends])
            drawn[ends] += 1
    for node in nodes:
        _draw_node(drawing, node, *at[node.id])
    left = len(graph.nodes) - len(nodes)
    legend = "thick: the alert's host; dashed: probably first; dashed line: low confidence"
    more = f"; {left} more are not drawn" if left else ""
    drawing.append(drawsvg.Text(legend + more, 11, MARGIN, height - MARGIN, **_FONT))
    return str(drawing.as_svg())


def _draw_node(drawing: drawsvg.Drawing, node: Node, x: int, y: int) -> None:
    import drawsvg

    box = drawsvg.Rectangle(
        x,
        y,
        BOX_W,
        BOX_H,
        rx=4 if node.kind is NodeKind.HOST else 18,
        fill=_FILLS[node.kind],
        stroke="#202124",
        stroke_width=3 if node.is_alert else 1,
        **({"stroke_dasharray": "6 3"} if node.is_first else {}),
    )
    box.append_title(visible(node.label))
    drawing.append(box)
    label = _short(visible(node.label))
    middle = {"text_anchor": "middle", "dominant_baseline": "middle"}
    drawing.append(drawsvg.Text(label, 12, x + BOX_W / 2, y + BOX_H / 2, **middle, **_FONT))


def _draw_edge(
    drawing: drawsvg.Drawing, edge: Edge, at: Places2D, head: drawsvg.Marker, beside: int
) -> None:
    """`beside`: how many edges between the same two nodes are drawn already."""
    import drawsvg

    (x1, y1), (x2, y2) = at[edge.source], at[edge.target]
    forward = x2 > x1
    begin = (x1 + (BOX_W if forward else BOX_W // 2), y1 + (BOX_H // 2 if forward else BOX_H))
    end = (x2 - 12 if forward else x2 + BOX_W // 2, y2 + BOX_H // 2 if forward else y2 + BOX_H + 12)
    path = drawsvg.Path(fill="none", marker_end=head, **_LINES[edge.confidence])
    bend = GAP_X // 2 if forward else 0
    lower = beside * EDGE_STEP
    path.M(*begin).C(begin[0] + bend, begin[1] + lower, end[0] - bend, end[1] + lower, *end)
    path.append_title(visible("; ".join((edge.what, edge.confidence, *edge.evidence))))
    drawing.append(path)
    time = f" {edge.at:%H:%M:%S}" if edge.at else ""
    middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 - 4 + lower * 0.75)
    text = visible(f"{edge.what}{time}")
    drawing.append(drawsvg.Text(text, 10, *middle, text_anchor="middle", **_FONT))


def _placed(nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> Places2D:
    """A column for each distance from where nothing leads to, top to bottom in given order."""
    ids = [node.id for node in nodes]
    level = _levels(ids, edges)
    rows: dict[int, int] = defaultdict(int)
    placed = {}
    for name in ids:
        column = level[name]
        x = MARGIN + column * (BOX_W + GAP_X)
        placed[name] = (x, MARGIN + rows[column] * (BOX_H + GAP_Y))
        rows[column] += 1
    return placed


def _levels(ids: list[str], edges: tuple[Edge, ...]) -> dict[str, int]:
    follows: dict[str, list[str]] = defaultdict(list)
    led_to: set[str] = set()
    for edge in edges:
        follows[edge.source].append(edge.target)
        led_to.add(edge.target)
    level: dict[str, int] = {}
    # In a circle nothing is a beginning; then the first node given is one.
    for begin in [*(name for name in ids if name not in led_to), *ids]:
        if begin in level:
            continue
        level[begin] = 0
        waiting = deque([begin])
        while waiting:
            name = waiting.popleft()
            for following in follows[name]:
                if following not in level:
                    level[following] = level[name] + 1
                    waiting.append(following)
    return level


def _short(text: str) -> str:
    """Both ends of a text that has no room; the whole of it stands in the node's title."""
    if len(text) <= LABEL_CHARACTERS:
        return text
    head = LABEL_CHARACTERS // 2
    return f"{text[:head]}…{text[len(text) - (LABEL_CHARACTERS - head - 1) :]}"
