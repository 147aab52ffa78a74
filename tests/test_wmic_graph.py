from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from connectors.model import DeviceKind, Observable
from runner.wmic.blind import blind_spots
from runner.wmic.delivery import Delivered, Delivery
from runner.wmic.events import Event, Other, Source
from runner.wmic.findings import Found, How, NotSelective, Seed, Skipped, Spread
from runner.wmic.graph import Edge, Graph, Node, NodeKind, build_graph, graph_json
from runner.wmic.mermaid import mermaid_text
from runner.wmic.origin import Hop, Trace
from runner.wmic.picture import MOST_DRAWN, svg_picture
from runner.wmic.places import Confidence
from runner.wmic.spread import spread_of
from tests.event_sets import (
    EMPIRE,
    SAME_URL,
    T1220,
    W5,
    W6,
    followed,
    process,
    recorded,
    start_of,
)

AT = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
HOSTILE = [
    '"];click h0 call alert(1)',
    "<script>alert(1)</script>",
    "--> h0",
    "]]>&amp;&quot;'`",
    "a\nb|c{d}",
    "\u202eevil\x00\x1b[31m",
    "%%{init: {}}%%",
    "x" * 5000,
]
SVG = "{http://www.w3.org/2000/svg}"


def hop(host: str, at: datetime | None = AT) -> Hop:
    said = Delivered(delivery=Delivery.MAIL, why="outlook.exe stands above it")
    return Hop(host=host, image="x.exe", chain=(), delivered=said, at=at)


def found(host: str, **more: object) -> Found:
    given = {
        "how": How.REMOTE_START,
        "what": "cmd.exe was started",
        "confidence": Confidence.HIGH,
        "at": AT,
        **more,
    }
    return Found(host=host, **given)  # type: ignore[arg-type]


def one_host(*others: Found) -> Graph:
    return build_graph(Trace(hops=(hop("HOST-A"),), asks=(), gaps=()), Spread(found=others))


def edges_of(graph: Graph) -> set[tuple[str, str, str, str]]:
    labels = {node.id: node.label for node in graph.nodes}
    return {(labels[e.source], labels[e.target], e.what, e.confidence.value) for e in graph.edges}


# -- recorded --------------------------------------------------------------------------------------


def empire() -> Graph:
    """The alert is the new account's net1.exe on WORKSTATION6."""
    trace = followed(start_of(process(EMPIRE, "net1.exe")), recorded(EMPIRE))
    first = trace.hops[-1]
    seed = Seed(host=first.host, at=first.at, user=first.chain[0].user)
    kinds = {W5: DeviceKind.WORKSTATION, W6: DeviceKind.WORKSTATION}
    return build_graph(trace, spread_of(seed, recorded(EMPIRE)), kinds)


def test_build_graph_of_the_added_account_has_these_edges_and_no_other() -> None:
    graph = empire()

    assert edges_of(graph) == {
        (W5, W6, "started by WMI", "high"),
        (W5, W6, "logon of the account", "medium"),
        (r"THESHIRE\pgustavo", W6, "account used", "high"),
    }
    assert all(edge.evidence and edge.at for edge in graph.edges)


def test_build_graph_of_the_added_account_names_patient_zero_and_contains_it_first() -> None:
    graph = empire()

    assert graph.patient_zero is not None
    assert graph.patient_zero.host == W5
    assert "the way back from the alert ends there" in graph.patient_zero.reasons[0]
    assert [one.host for one in graph.order] == [W5, W6]
    assert graph.order[0].why == "it reached for other hosts; a workstation"
    assert [(n.label, n.is_alert, n.is_first) for n in graph.nodes[:2]] == [
        (W6, True, False),
        (W5, False, True),
    ]


def test_build_graph_of_the_added_account_says_what_nobody_saw() -> None:
    assert any("no event shows the start of powershell.exe" in one for one in empire().blind_spots)


def test_build_graph_of_the_same_url_puts_the_earlier_host_first() -> None:
    start = process(T1220, "wmic.exe")
    url = start.cmdline.partition('"')[2].rstrip('"')
    events = recorded(T1220, SAME_URL)
    seed = Seed(host=start.host, at=start.at, indicators=(Observable(type="url", value=url),))

    graph = build_graph(followed(start_of(start), events), spread_of(seed, events, fleet_size=200))

    assert graph.patient_zero is not None
    assert graph.patient_zero.host == "HOST-C-SYNTHETIC.corp.example.test"
    kinds = {(n.kind, n.label) for n in graph.nodes}
    assert (NodeKind.INDICATOR, url) in kinds
    assert ("WORKSTATION5", url, "the alert's url", "high") in edges_of(graph)
    assert (url, "HOST-B-SYNTHETIC.corp.example.test", "same indicator", "high") in edges_of(graph)


# -- order, patient zero ---------------------------------------------------------------------------


def test_build_graph_contains_spreaders_then_workstations_then_servers_then_controllers() -> None:
    others = [
        found("DC-1", source="HOST-A"),
        found("SRV-1", source="HOST-A", at=AT + timedelta(seconds=1)),
        found("WS-2", source="WS-1", at=AT + timedelta(seconds=2)),
        found("WS-1", source="HOST-A", at=AT + timedelta(seconds=3)),
        found("ODD-1", source="HOST-A", at=AT + timedelta(seconds=4)),
        found("LOW-1", source="HOST-A", confidence=Confidence.LOW),
    ]
    kinds = {
        "HOST-A": DeviceKind.WORKSTATION,
        "WS-1": DeviceKind.WORKSTATION,
        "WS-2": DeviceKind.WORKSTATION,
        "SRV-1": DeviceKind.SERVER,
        "DC-1": DeviceKind.DOMAIN_CONTROLLER,
    }
    trace = Trace(hops=(hop("HOST-A"),), asks=(), gaps=())

    graph = build_graph(trace, Spread(found=tuple(others)), kinds)

    assert [one.host for one in graph.order] == ["HOST-A", "WS-1", "WS-2", "SRV-1", "ODD-1", "DC-1"]
    assert "unknown kind, treated as a server" in graph.order[4].why


def test_build_graph_when_the_way_back_was_cut_says_that_more_is_possible() -> None:
    graph = build_graph(Trace(hops=(hop("HOST-A"),), asks=(), gaps=(), is_cut=True), Spread())

    assert graph.patient_zero is not None
    assert any("an earlier host is possible" in one for one in graph.patient_zero.reasons)


@pytest.mark.parametrize(
    "other",
    [
        found("HOST-B", how=How.SAME_INDICATOR, at=AT + timedelta(minutes=5)),
        found("HOST-B", how=How.SAME_INDICATOR, confidence=Confidence.LOW, at=AT - timedelta(1)),
        found("HOST-B", how=How.SAME_INDICATOR, at=None),
    ],
    ids=["later", "unsure", "without a time"],
)
def test_build_graph_takes_no_later_or_unsure_host_for_the_first(other: Found) -> None:
    graph = one_host(other)

    assert graph.patient_zero is not None
    assert graph.patient_zero.host == "HOST-A"


def test_build_graph_of_nothing_names_nobody() -> None:
    graph = build_graph(Trace(hops=(), asks=(), gaps=()), Spread())

    assert (graph.nodes, graph.edges, graph.patient_zero, graph.order) == ((), (), None, ())


def test_build_graph_keeps_what_was_left_out_and_why() -> None:
    left = Spread(
        not_selective=(NotSelective(what="domain x", hosts=9, of=20),),
        skipped=(Skipped(account="SYSTEM", why="everybody's"),),
        gaps=("searched in part",),
    )
    trace = Trace(hops=(hop("HOST-A"),), asks=(), gaps=("no parent",))

    graph = build_graph(trace, left, blind=("HOST-B: no Sysmon event",))

    assert graph.blind_spots == ("HOST-B: no Sysmon event", "no parent", "searched in part")
    assert graph.not_selective == left.not_selective
    assert graph.skipped == left.skipped


# -- blind spots -----------------------------------------------------------------------------------


def seen(host: str, minutes: float, source: Source = Source.SYSMON) -> Event:
    at = AT + timedelta(minutes=minutes)
    return Other(source=source, id=5, host=host, at=at, ref="x")


def blind(*events: Event) -> tuple[str, ...]:
    return blind_spots(events, ["HOST-A"], AT, AT + timedelta(minutes=30))


def test_blind_spots_of_a_host_that_sysmon_reports_all_along_are_none() -> None:
    assert blind(*(seen("host-a.corp.example.test", n) for n in range(0, 31, 10))) == ()


def test_blind_spots_of_a_host_without_sysmon_name_it() -> None:
    (said,) = blind(seen("HOST-A", 5, Source.SECURITY), seen("HOST-B", 5), seen("HOST-A", 500))

    assert said == "HOST-A: no Sysmon event in the window, so what ran there is not known"


@pytest.mark.parametrize(
    ("minutes", "since"),
    [((1, 2, 20, 29), "10:02:00"), ((20, 29), "10:00:00"), ((1, 9), "10:09:00")],
)
def test_blind_spots_of_a_host_that_fell_silent_name_the_gap(
    minutes: tuple[int, ...], since: str
) -> None:
    (said,) = blind(*(seen("HOST-A", n) for n in minutes))

    assert "Sysmon was silent for" in said
    assert said.endswith(since)


# -- in other languages ----------------------------------------------------------------------------


def test_graph_json_is_json_with_every_edges_evidence() -> None:
    read = json.loads(graph_json(empire()))

    assert set(read) >= {"nodes", "edges", "patient_zero", "order", "blind_spots"}
    assert all(edge["evidence"] and edge["confidence"] for edge in read["edges"])


def hostile_graph() -> Graph:
    url = Observable(type="url", value=HOSTILE[1])
    return one_host(
        *(found(text, source="HOST-A", account=text, evidence=(text,)) for text in HOSTILE),
        found("HOST-B", how=How.SAME_INDICATOR, indicator=url),
    )


_NODE = r"  [hai]\d+(\[\"T\"\]|\(\[\"T\"\]\)|\{\{\"T\"\}\})".replace("T", r"[ .\-\w#;]*")
_LINES = re.compile(
    rf"flowchart LR|{_NODE}|  \w\d+ (-->|-\.->)\|\"[ .\-\w#;]*\"\| \w\d+|  class(Def)? [\w :-]+",
    re.ASCII,
)


def test_mermaid_of_hostile_labels_has_no_line_that_is_not_ours() -> None:
    text = mermaid_text(hostile_graph())

    assert [line for line in text.splitlines() if not _LINES.fullmatch(line)] == []
    assert text.count("click") == sum("click" in line for line in text.splitlines() if "[" in line)


def test_mermaid_shows_confidence_and_time() -> None:
    text = mermaid_text(one_host(found("HOST-B", source="HOST-A", confidence=Confidence.LOW)))

    assert '  h0 -.->|"started by WMI 10#58;00#58;00 #40;low#41;"| h1' in text
    assert "  class h0 alert" in text


def test_picture_of_hostile_labels_is_well_formed_and_carries_only_text() -> None:
    text = svg_picture(hostile_graph())

    root = ElementTree.fromstring(text)  # noqa: S314  (our own text)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "defs", "marker", "path", "rect", "text", "title"}
    values = [v for element in root.iter() for v in element.attrib.values()]
    assert not [value for value in values if "script" in value or "http" in value]
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]


def test_picture_shows_every_node_and_edge() -> None:
    root = ElementTree.fromstring(svg_picture(empire()))  # noqa: S314  (our own text)

    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert {W5, W6, r"THESHIRE\pgustavo"} <= set(titles)
    assert any("Sysmon 1 on WORKSTATION6" in title for title in titles)


def test_picture_of_a_large_graph_says_what_is_left_out() -> None:
    nodes = tuple(Node(id=f"h{n}", kind=NodeKind.HOST, label=f"HOST-{n}") for n in range(100))
    pairs = [("h0", f"h{n}") for n in range(1, 100)]
    edges = tuple(Edge(source=a, target=b, what="x", confidence=Confidence.HIGH) for a, b in pairs)

    text = svg_picture(Graph(nodes=nodes, edges=edges, patient_zero=None, order=(), blind_spots=()))

    assert f"{100 - MOST_DRAWN} more are not drawn" in text


def test_picture_of_a_circle_and_of_nothing_is_drawn() -> None:
    circle = one_host(found("HOST-B", source="HOST-A"), found("HOST-A", source="HOST-B"))
    nothing = build_graph(Trace(hops=(), asks=(), gaps=()), Spread())

    for graph in (circle, nothing):
        ElementTree.fromstring(svg_picture(graph))  # noqa: S314  (our own text)


def test_picture_is_the_same_each_time() -> None:
    assert svg_picture(empire()) == svg_picture(empire())


def test_drawing_library_is_not_imported_before_a_picture_is_wanted() -> None:
    code = "import runner.wmic, runner.wmic.picture, sys; print('drawsvg' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "False"


# -- one machine, one node -------------------------------------------------------------------------


def test_build_graph_when_a_host_is_spelled_without_its_domain_then_it_is_one_node() -> None:
    others = Spread(found=(found("HOST-A.example.test", source="host-b"), found("HOST-C")))
    trace = Trace(hops=(hop("HOST-A"), hop("HOST-B.example.test")), asks=(), gaps=())
    graph = build_graph(trace, others, {"HOST-B": DeviceKind.WORKSTATION})

    hosts = [node.label for node in graph.nodes if node.kind is NodeKind.HOST]
    assert sorted(hosts) == ["HOST-A.example.test", "HOST-B.example.test", "HOST-C"]
    assert [node.label for node in graph.nodes if node.is_alert] == ["HOST-A.example.test"]
    assert graph.order[0].host == "HOST-B.example.test"
    assert "a workstation" in graph.order[0].why


def test_build_graph_when_two_domains_have_the_name_then_the_short_one_is_neither() -> None:
    others = (found("HOST-B.one.test"), found("HOST-B.two.test"), found("HOST-B"))
    hosts = {node.label for node in one_host(*others).nodes}

    assert {"HOST-B.one.test", "HOST-B.two.test", "HOST-B"} <= hosts


def test_build_graph_edge_of_the_alerts_own_indicator_has_its_event_and_time() -> None:
    start = process(EMPIRE, "WMIC.exe")
    first = replace(hop("HOST-A", start.at), chain=(start,))
    url = Observable(type="url", value="https://stager.example.test/a.xsl")
    same = found("HOST-B", how=How.SAME_INDICATOR, indicator=url)
    graph = build_graph(Trace(hops=(first,), asks=(), gaps=()), Spread(found=(same,)))

    (own,) = [edge for edge in graph.edges if edge.what == "the alert's url"]
    assert (own.at, own.evidence) == (start.at, (start.ref,))


def test_build_graph_orders_the_alerts_host_in_true_words() -> None:
    (only,) = one_host().order
    assert only.why.startswith("the alert is of it; ")
