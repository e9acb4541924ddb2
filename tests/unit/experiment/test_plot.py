"""Pictures of a graph: nothing overlaps, everything is there, any text is only text."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepiq.controller import ExperimentController, InvalidValue, PFormats, errors
from nepiq.controller.reports.graph import picture
from nepiq.controller.reports.graph.coordinates import Box, layout, shortened
from nepiq.controller.reports.graph.dot import dot
from nepiq.controller.reports.graph.grouping import FEW, grouped
from nepiq.controller.reports.graph.model import Arrow, Graph, Vertex
from nepiq.controller.reports.graph.svg import svg

APP = "linux::Application"
TIMES = "\N{MULTIPLICATION SIGN}"


def experiment() -> ExperimentController:
    """A server and two clients on two hosts."""
    ec = ExperimentController("pair")
    for name in ("one", "two"):
        ec.register_resource("linux::Node", label=name)
    ec.register_resource(APP, label="server", connectedTo="one", command="s")
    for name in ("a", "b"):
        ec.register_resource(APP, label=name, connectedTo="two", command="c")
    ec.register_condition(["a", "b"], "START", "server", "STARTED", "5s")
    ec.register_condition("server", "STOP", ["a", "b"], "FINISHED")
    return ec


def texts(picture: str) -> list[str]:
    return ["".join(item.itertext()) for item in ET.fromstring(picture).iter() if item.text]


# -- the graph ------------------------------------------------------------------------------------


def test_a_description_becomes_a_graph_without_a_run() -> None:
    graph = experiment().graph()
    assert [vertex.label for vertex in graph.vertices.values()] == [
        "one",
        "two",
        "server",
        "a",
        "b",
    ]
    assert [vertex.frame for vertex in graph.vertices.values()] == [None, None, 1, 2, 2]
    assert graph.links == []  # what acts on a host is drawn in its box
    assert not graph.running
    assert {arrow.text for arrow in graph.arrows} == {
        "START after STARTED +5 s",
        "STOP after FINISHED",
    }


def test_an_svg_shows_labels_hosts_and_conditions() -> None:
    told = texts(svg(experiment().graph()))
    for text in ("server", "a", "b", "START after STARTED +5 s", "STOP after FINISHED"):
        assert text in told
    assert any(text.startswith("one") for text in told)


def test_dark_and_light() -> None:
    graph = experiment().graph()
    assert "prefers-color-scheme" in svg(graph)
    assert "prefers-color-scheme" not in svg(graph, dark=True)
    assert svg(graph, dark=True) != svg(graph, dark=False)


def test_states_and_errors_are_shown_and_are_only_text() -> None:
    evil = "</title><script>alert(1)</script> & \x00\x1b\udc80"
    graph = Graph("x", {1: Vertex(1, "app", APP, state="FAILED", note=evil)})
    picture = svg(graph)
    root = ET.fromstring(picture)
    assert not [item for item in root.iter() if item.tag.endswith("script")]
    assert any("alert(1)" in text for text in texts(picture))
    assert any("FAILED" in text for text in texts(picture))


def test_dot_quotes_and_has_clusters() -> None:
    graph = experiment().graph()
    graph.name = 'a "b" \\'
    text = dot(graph)
    assert text.startswith('digraph "a \\"b\\" \\\\" {')
    assert text.count("subgraph cluster_") == 2
    assert '3 -> 4 [label="START after STARTED +5 s"' in text


def test_what_is_simulated_is_drawn_in_its_simulation() -> None:
    ec = ExperimentController("simulated")
    host = ec.register_resource("linux::Node")
    simulation = ec.register_resource("linux::ns3::Simulation", connectedTo=host)
    node = ec.register_resource("ns3::Node", connectedTo=simulation)
    device = ec.register_resource("ns3::CsmaNetDevice", connectedTo=node)
    channel = ec.register_resource("ns3::CsmaChannel", connectedTo=device)
    app = ec.register_resource(APP, command="c", connectedTo=host)
    graph = ec.graph()
    frames = {guid: vertex.frame for guid, vertex in graph.vertices.items()}
    inner = dict.fromkeys((node, device, channel), simulation)
    assert frames == {host: None, simulation: host, app: host, **inner}
    # From left to right in the order of the deployment.
    assert graph.links == [(node, device), (device, channel)]
    columns = {guid: box.x for guid, box in layout(graph).boxes.items()}
    assert columns[app] == columns[node] < columns[device] < columns[channel]
    text = dot(graph)
    assert text.index("cluster_1 ") < text.index("cluster_2 ") < text.index("  3 [label")


def test_a_label_that_is_too_long_keeps_its_number() -> None:
    assert shortened("pointtopointnetdevice-17") == "pointtopointnetd…-17"
    assert shortened(f"yanswifierrorratemodel {TIMES} 50") == f"yanswifierrorr… {TIMES} 50"
    assert shortened("a" * 30) == "a" * 19 + "…"


# -- nothing overlaps -----------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to 3 frames, which may lie in others, and 9 resources with any conditions."""
    hosts = draw(st.integers(0, 3))
    graph = Graph("any")
    for guid in range(1, hosts + 1):
        frame = draw(st.sampled_from([None, *range(1, guid)]))
        graph.vertices[guid] = Vertex(guid, f"h{guid}", "t::H", frame, is_frame=True)
    for guid in range(10, 10 + draw(st.integers(1, 9))):
        host = draw(st.sampled_from([None, *range(1, hosts + 1)]))
        graph.vertices[guid] = Vertex(guid, f"r{guid}", APP, host)
    some = st.sampled_from(sorted(graph.vertices))
    for _ in range(draw(st.integers(0, 12))):
        action = draw(st.sampled_from(["DEPLOY", "START", "STOP"]))
        graph.arrows.append(Arrow(draw(some), action, draw(some), "STARTED"))
    for _ in range(draw(st.integers(0, 2))):
        one, two = draw(some), draw(some)
        if one != two:
            graph.links.append((one, two))
    return graph


def inside(inner: Box, outer: Box) -> bool:
    return (
        outer.x <= inner.x
        and inner.x + inner.width <= outer.x + outer.width
        and outer.y <= inner.y
        and inner.y + inner.height <= outer.y + outer.height
    )


def overlap(a: Box, b: Box) -> bool:
    return (
        a.x < b.x + b.width
        and b.x < a.x + a.width
        and a.y < b.y + b.height
        and b.y < a.y + a.height
    )


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_nothing_overlaps(graph: Graph) -> None:
    made = layout(graph)
    boxes = list(made.boxes.values())
    for number, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[number + 1 :])
        assert box.x >= 0
        assert box.x + box.width <= made.width
        assert box.y >= 0
        assert box.y + box.height <= made.height
    assert len(made.lines) == len(graph.arrows) + len(graph.links)
    for line in made.lines:
        for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False):
            assert x1 == x2 or y1 == y2
            way = Box(None, min(x1, x2), min(y1, y2), abs(x1 - x2), abs(y1 - y2))
            for box in boxes:
                inner = Box(None, box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1)
                assert not overlap(way, inner), (line, box)
    frames = {box.vertex.guid: box for box in made.frames if box.vertex is not None}
    for box in (*boxes, *frames.values()):
        assert box.vertex is not None
        if box.vertex.frame is not None:
            assert inside(box, frames[box.vertex.frame])
    for one in frames.values():
        for other in frames.values():
            assert inside(one, other) or inside(other, one) or not overlap(one, other)
    ET.fromstring(svg(graph))


# -- many -----------------------------------------------------------------------------------------


def crowd(hosts: int, each: int) -> Graph:
    """Hosts with a server and many clients each."""
    graph = Graph("crowd")
    guid = 0
    for number in range(hosts):
        host = guid = guid + 1
        graph.vertices[host] = Vertex(host, f"n{number}", "linux::Node", is_frame=True)
        server = guid = guid + 1
        graph.vertices[server] = Vertex(server, f"iperf-{number}", APP, host)
        for which in range(each):
            guid += 1
            graph.vertices[guid] = Vertex(guid, f"ping-{number}-{which}", APP, host)
            graph.arrows.append(Arrow(guid, "START", server, "STARTED", which, which))
    return graph


def test_alike_resources_of_a_host_are_one() -> None:
    made = grouped(crowd(4, 50))
    labels = [vertex.label for vertex in made.vertices.values()]
    assert labels.count(f"ping {TIMES} 50") == 4
    assert len(labels) == 12
    assert {arrow.text for arrow in made.arrows} == {"START after STARTED +0…49 s"}


def test_alike_hosts_are_one_if_there_are_very_many() -> None:
    made = grouped(crowd(50, 4))
    assert [vertex.label for vertex in made.vertices.values()] == [
        f"n {TIMES} 50",
        f"iperf {TIMES} 50",
        f"ping {TIMES} 200",
    ]
    assert {vertex.frame for vertex in made.vertices.values()} == {None, 1}


def test_what_differs_stays_apart() -> None:
    graph = crowd(1, 50)
    odd = max(graph.vertices)
    graph.arrows.append(Arrow(odd, "STOP", 2, "STOPPED"))
    labels = [vertex.label for vertex in grouped(graph).vertices.values()]
    assert f"ping {TIMES} 49" in labels
    assert graph.vertices[odd].label in labels


def test_few_are_drawn_one_by_one() -> None:
    graph = crowd(1, FEW - 2)
    assert grouped(graph) is graph


def test_a_long_chain_is_drawn_too() -> None:
    graph = Graph("chain", {g: Vertex(g, f"r{g}", APP) for g in range(1, 200)})
    graph.arrows = [Arrow(g, "START", g - 1, "FINISHED") for g in range(2, 200)]
    drawn = svg(graph)
    assert [f"r{g}" for g in range(1, 200) if f">r{g}<" not in drawn] == []
    fewer = grouped(graph).vertices.values()
    assert sum(vertex.count for vertex in fewer) == 199
    assert {vertex.label for vertex in fewer} <= set(texts(svg(grouped(graph))))


# -- files ----------------------------------------------------------------------------------------


def test_the_path_says_the_format(tmp_path: Path) -> None:
    ec = experiment()
    assert Path(ec.plot(tmp_path / "a.svg")).read_text().startswith("<svg")
    assert Path(ec.plot(tmp_path / "a.dot")).read_text().startswith("digraph")
    assert Path(ec.plot(tmp_path / "a.png")).read_bytes().startswith(b"\x89PNG")


def test_a_directory_and_nepis_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ec = experiment()
    assert ec.plot(tmp_path, "dot") == str(tmp_path / "pair.dot")
    assert ec.plot(tmp_path, PFormats.FIGURE) == str(tmp_path / "pair.png")
    assert ec.plot(f"{tmp_path}/new/") == str(tmp_path / "new" / "pair.svg")
    monkeypatch.chdir(tmp_path)
    assert ec.plot() == str(tmp_path / "pair.svg")


def test_a_wrong_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="use one of dot, svg, png, figure"):
        experiment().plot(tmp_path / "a.gif")
    (tmp_path / "file").touch()
    with pytest.raises(errors.FileMissing, match="cannot write"):
        experiment().plot(tmp_path / "file" / "b.svg")


def test_png_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)  # as if it were not installed
    with pytest.raises(errors.DescriptionError, match=r"pip install 'nepiq\[plot\]'"):
        experiment().plot(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_no_id_is_used_twice() -> None:
    ids = re.findall(r' id="([^"]+)"', svg(experiment().graph()))
    assert len(ids) == len(set(ids))


def test_a_picture_of_very_much_is_drawn_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec = experiment()
    whole = png_size(Path(ec.plot(tmp_path / "a.png")))
    monkeypatch.setattr(picture, "_MOST_PIXELS", whole[0] * whole[1] / 4)
    small = png_size(Path(ec.plot(tmp_path / "b.png")))
    assert all(abs(2 * half - full) <= 2 for half, full in zip(small, whole, strict=True))


def png_size(file: Path) -> tuple[int, int]:
    data = file.read_bytes()
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_circles_are_drawn_too() -> None:
    graph = Graph("circles", {g: Vertex(g, f"r{g}", APP) for g in range(1, 7)})
    graph.arrows = [
        Arrow(g + a, "START", g + b, "STARTED") for g in (1, 3, 5) for a, b in ((0, 1), (1, 0))
    ]
    assert len(layout(graph).lines) == 6
