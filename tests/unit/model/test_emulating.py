"""Emulated networks: graphs from files, names, addresses, routes, division and resources."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.description.files.store import serialize
from nepiq.controller.description.topology.cut import divide
from nepiq.controller.description.topology.emulation import emulate
from nepiq.controller.description.topology.graphs import read_graph
from nepiq.controller.description.topology.network import Network
from nepiq.controller.description.topology.routing import static_routes
from nepiq.controller.errors import DescriptionError, DocumentError, InvalidValue
from nepiq.controller.reports.graph.model import described


class Experiment:
    """A description that resources can be registered in."""

    def __init__(self, machines: int = 1) -> None:
        self.description = Description("net")
        self.machines = [
            self.register_resource("linux::Node", label=f"host{n}") for n in range(machines)
        ]

    def register_resource(self, rtype: str, **settings: Any) -> int:
        return self.description.add(rtype, **settings)

    def of(self, rtype: str) -> list[dict[str, Any]]:
        return [self.description.resource(guid).attrs for guid in self.description.of_type(rtype)]


def network(source: Any, **options: str) -> Network:
    given = {"links": "10.0.0.0/9", "nodes": "10.255.0.0/16", **options}
    return Network(read_graph(source), **given)


LINKS = [["a", "b"], {"endpoints": ["b:eth7", "c"], "delay": "5ms", "mtu": 9000}]


def _files(folder: Path) -> list[Path]:
    """The same network in all formats."""
    graph = nx.Graph()
    graph.add_nodes_from(["a", "b", "c"])
    graph.add_edge("a", "b")
    graph.add_edge("b", "c", delay="5ms", mtu=9000)
    nx.write_graphml(graph, folder / "net.graphml")
    nx.write_gml(graph, folder / "net.gml")
    texts = {
        "net.yaml": "links:\n- [a, b]\n- {endpoints: [b, c], delay: 5ms, mtu: 9000}\n",
        "lab.yml": "name: lab\ntopology:\n  nodes: {a: {kind: linux}, b: , c: }\n  links:\n"
        "  - endpoints: [a, b]\n  - {endpoints: [b, c], delay: 5ms, mtu: 9000}\n",
        "net.json": '{"links": [["a", "b"], {"endpoints": ["b", "c"], "delay": "5ms", '
        '"mtu": 9000}]}',
        "net.csv": "source,target,delay,mtu\na,b,,\nb,c,5ms,9000\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return sorted(folder.iterdir())


def test_all_formats_mean_the_same(tmp_path: Path) -> None:
    seen = set()
    for path in _files(tmp_path):
        it = network(str(path))
        assert [node.label for node in it.nodes] == ["a", "b", "c"], path
        first, second = it.links
        assert (first.delay, first.data.get("mtu")) == (0.0, None), path
        assert (second.delay, second.data["mtu"]) == (0.005, 9000), path
        seen.add(path.suffix)
    assert seen == {".graphml", ".gml", ".yaml", ".yml", ".json", ".csv"}


def test_keys_and_values_of_yaml_are_those_of_descriptions(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("nodes: {a: {on: 1}, no: {on: 0}}\nlinks: [[a, no]]\n")
    it = network(tmp_path / "net.yaml")
    assert [(node.label, dict(node.data)) for node in it.nodes] == [
        ("a", {"on": 1}),
        ("no", {"on": 0}),
    ]


def test_a_table_of_a_spreadsheet(tmp_path: Path) -> None:
    """Columns in any case, behind the mark of the byte order that some programs write."""
    path = tmp_path / "net.csv"
    path.write_text("Source,Target,Delay,LossBurst\na,b,5ms,3\n", "utf-8-sig")
    (link,) = network(path).links
    assert (link.one.node.key, link.delay, link.data["lossBurst"]) == ("a", 0.005, 3)


def test_a_matrix(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(",a,b,c\na,0,1,\nb,1,0,20ms\nc,,20ms,0\n")
    it = network(path)
    assert [(x.one.node.key, x.two.node.key, x.delay) for x in it.links] == [
        ("a", "b", 0.0),
        ("b", "c", 0.02),
    ]


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (5, "cannot be made from int"),
        ("net.txt", "suffix"),
        ([["a"]], "is not a link"),
        ([["a", "a"]], "linked with itself"),
        ({"links": 3}, "has no links"),
        ({"nodes": 3}, "must be names"),
        ([["a:e", "b"], ["a:e", "c"]], "two interfaces 'e'"),
        ([{"endpoints": ["a", "b"], "delay": "soon"}], "duration"),
    ],
)
def test_what_is_no_topology_is_refused(source: Any, match: str) -> None:
    with pytest.raises(InvalidValue, match=match):
        network(source)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, text in (
        ("a.graphml", "<graph"),
        ("a.gml", "graph ["),
        ("a.yaml", "a: b: c"),
        ("a.csv", ""),
        ("a.csv", ",a,b\nb,1,1\na,1,1\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises((DescriptionError, InvalidValue), match=name):
            network(tmp_path / name)
    with pytest.raises(DescriptionError, match="No such file"):
        network(tmp_path / "none.gml")


def test_names_and_addresses_follow_from_the_order() -> None:
    it = network({"nodes": {"sw": {"kind": "switch"}}, "links": [*LINKS, ["a", "sw"], ["c", "sw"]]})
    assert [(node.label, node.addresses) for node in it.nodes] == [
        ("sw", []),
        ("a", ["10.255.0.1"]),
        ("b", ["10.255.0.2"]),
        ("c", ["10.255.0.3"]),
    ]
    # Further ports of a switch are in the subnet of the first.
    assert [(p.name, *p.addresses) for link in it.links for p in (link.one, link.two)] == [
        ("eth0", "10.0.0.1/30"),
        ("eth0", "10.0.0.2/30"),
        ("eth7", "10.0.0.5/30"),
        ("eth0", "10.0.0.6/30"),
        ("eth1", "10.0.0.9/30"),
        ("eth0",),
        ("eth1", "10.0.0.10/30"),
        ("eth1",),
    ]
    labels = network(nx.path_graph(2)).nodes
    assert [node.label for node in labels] == ["n0", "n1"]
    graph = nx.Graph()
    graph.add_node(1, label="New York")
    graph.add_node(2, label="New York")
    assert [node.label for node in network(graph).nodes] == ["New-York", "New-York-2"]
    with pytest.raises(InvalidValue, match="too small for 2 links"):
        network(LINKS, links="10.0.0.0/30")
    with pytest.raises(InvalidValue, match="too small for 3 nodes"):
        network(LINKS, nodes="10.0.0.0/30")


def test_addresses_of_ipv6_follow_from_the_order() -> None:
    nodes = {"sw": {"kind": "switch"}, "a": {"ip6": "fd00:2::7"}}
    topology = {"nodes": nodes, "links": [*LINKS, ["a", "sw"], ["c", "sw"]]}
    it = network(topology, ipv6="fd00:1::/48")
    assert [node.addresses[1:] for node in it.nodes] == [
        [],
        ["fd00:2::7"],
        ["fd00:1:0:ffff::2"],
        ["fd00:1:0:ffff::3"],
    ]
    assert [p.addresses[1:] for link in it.links for p in (link.one, link.two)] == [
        ["fd00:1::1/64"],
        ["fd00:1::2/64"],
        ["fd00:1:0:1::1/64"],
        ["fd00:1:0:1::2/64"],
        ["fd00:1:0:2::1/64"],
        [],
        ["fd00:1:0:2::2/64"],
        [],
    ]
    # Three Ethernets and the nodes need four subnets.
    assert network(topology, ipv6="fd00::/62").nodes[2].addresses[1] == "fd00:0:0:3::2"
    with pytest.raises(InvalidValue, match="fd00::/63 is too small for 4 links"):
        network(topology, ipv6="fd00::/63")
    for wrong in ("fd00::/64", "fe80::/10", "ff00::/8", "fd00::1/48", "10.0.0.0/8", "yes"):
        with pytest.raises(InvalidValue, match=re.escape(wrong)):
            network(topology, ipv6=wrong)


def _walk(
    it: Network, tables: dict[Any, list[str]], source: str, target: str, version: int = 4
) -> list[str]:
    """The routers on the way that the tables give."""
    number, everything = {4: (0, "0.0.0.0/0"), 6: (1, "::/0")}[version]
    by_label = {node.label: node for node in it.nodes}
    ports = [port for link in it.links for port in (link.one, link.two) if port.addresses]
    owner = {port.ips[number]: port.node for port in ports}
    address = by_label[target].addresses[number]
    node, way = by_label[source], []
    while node.label != target:
        way.append(node.label)
        assert len(way) < 30, way
        best = ("", -1)
        for line in tables[node]:
            net, _, via = line.split()
            if (":" in via) != (version == 6):
                continue
            parsed = ipaddress.ip_network(everything if net == "default" else net)
            if ipaddress.ip_address(address) in parsed and parsed.prefixlen > best[1]:
                best = (via, parsed.prefixlen)
        node = owner[best[0]]
    return [*way, target]


def test_static_routes_take_the_smallest_delay() -> None:
    it = network(
        {
            "nodes": {"sw": {"kind": "switch"}},
            "links": [
                {"endpoints": ["a", "b"], "delay": "50ms"},
                {"endpoints": ["a", "c"], "delay": "10ms"},
                {"endpoints": ["c", "b"], "delay": "10ms"},
                ["b", "sw"],
                ["sw", "d"],
                ["sw", "e"],
                ["d", "f"],
            ],
        },
        ipv6="fd00:1::/48",
    )
    tables = static_routes(it)
    for version in (4, 6):
        assert _walk(it, tables, "a", "b", version) == ["a", "c", "b"]
        assert _walk(it, tables, "a", "f", version) == ["a", "c", "b", "d", "f"]
        assert _walk(it, tables, "f", "a", version) == ["f", "d", "b", "c", "a"]
        assert _walk(it, tables, "e", "f", version) == ["e", "d", "f"]
    assert tables[it.nodes[-1]] == ["default via 10.0.0.25", "default via fd00:1:0:4::1"]


def test_every_pair_has_a_way_in_random_networks() -> None:
    for seed in range(5):
        graph = nx.connected_watts_strogatz_graph(12, 3, 0.4, seed=seed)
        for number, (one, two) in enumerate(graph.edges):
            graph.edges[one, two]["delay"] = f"{number * 7 % 13}ms"
        it = network(graph)
        tables = static_routes(it)
        for source in it.nodes:
            for target in it.nodes:
                if source is not target:
                    _walk(it, tables, source.label, target.label)


def test_the_cut_is_small_and_the_parts_are_even() -> None:
    for graph, parts, most in (
        (nx.path_graph(100), 2, 1),
        (nx.cycle_graph(100), 3, 3),
        (nx.balanced_tree(4, 4), 2, 2),
        (nx.grid_2d_graph(10, 10), 2, 10),
    ):
        it = network(graph)
        division = divide(it, parts)
        sizes = Counter(division.values())
        assert sum(division[x.one.node] != division[x.two.node] for x in it.links) <= most
        assert len(sizes) == parts
        assert max(sizes.values()) <= 1.15 * len(it.nodes) / parts
        assert divide(it, parts) == division
    it = network({"nodes": {"a": {"on": 1}, "b": {"on": 0}}, "links": [["a", "b"]]})
    assert list(divide(it, 2).values()) == [1, 0]
    with pytest.raises(InvalidValue, match="cannot be on machine 2"):
        divide(network({"nodes": {"a": {"on": 2}}}), 2)


def test_resources_of_a_network() -> None:
    ec = Experiment()
    made = emulate(
        ec,
        {"nodes": {"a": {"privateDirs": "/run/frr"}}, "links": [["a", "b"], ["b", "c"]]},
        on=ec.machines[0],
        hosts={"env": "A=1"},
    )
    hosts = ec.of("netns::Node")
    assert hosts[0] == {
        "ip": "10.255.0.1",
        "privateDirs": "/run/frr",
        "env": "A=1",
    }
    assert ["forward" in host for host in hosts] == [False, True, False]
    assert ec.of("netns::Link")[0] == {
        "name1": "eth0",
        "name2": "eth0",
        "ip1": "10.0.0.1/30",
        "ip2": "10.0.0.2/30",
    }
    assert [len(table["routes"]) for table in ec.of("netns::Routes")] == [1, 2, 1]
    assert made.addresses == {"a": "10.255.0.1", "b": "10.255.0.2", "c": "10.255.0.3"}
    assert set(made.links) == {("a", "b"), ("b", "c")}
    assert ec.of("linux::netns::Emulation") == []
    without = Experiment()
    emulate(without, LINKS, on=without.machines, routing=None)
    assert without.of("netns::Routes") == []
    with pytest.raises(InvalidValue, match="routing cannot be"):
        emulate(without, LINKS, on=without.machines, routing="ospf")
    with pytest.raises(InvalidValue, match="needs a machine"):
        emulate(without, LINKS, on=[])


def test_resources_of_a_network_with_ipv6() -> None:
    ec = Experiment(2)
    nodes = {"a": {"on": 0}, "b": {"on": 0}, "c": {"on": 1}}
    made = emulate(
        ec, {"nodes": nodes, "links": [["a", "b"], ["b", "c"]]}, on=ec.machines, ipv6="fd00:1::/48"
    )
    own = {"a": "fd00:1:0:ffff::1", "b": "fd00:1:0:ffff::2", "c": "fd00:1:0:ffff::3"}
    assert made.addresses6 == own
    assert [host["ip6"] for host in ec.of("netns::Node")] == list(own.values())
    ends = ec.of("netns::RemoteLink")
    assert [end["ip6"] for end in ends] == ["fd00:1:0:1::1", "fd00:1:0:1::2"]
    assert ec.of("netns::Link")[0]["ip1"] == "10.0.0.1/30 fd00:1::1/64"
    names = [it["hosts"] for it in ec.of("linux::netns::Emulation")]
    assert names[0] == ["10.255.0.3 c", "fd00:1:0:ffff::3 c"]
    assert list(ec.of("netns::Routes")[0]["routes"]) == [
        "default via 10.0.0.2",
        "default via fd00:1::2",
    ]
    default = Experiment()
    made = emulate(default, LINKS, on=default.machines, ipv6=True)
    assert all(ipaddress.ip_address(one).is_private for one in made.addresses6.values())
    links = [{"endpoints": ["a", "b"], "mtu": 1279}]
    with pytest.raises(InvalidValue, match="a-b: mtu 1279 is too small for IPv6"):
        emulate(Experiment(), links, on=default.machines, ipv6=True)


def test_impairments_in_the_topology_containerlab_1398_2603_netlab_1387() -> None:
    """Attributes of edges become impairments, one for a link or for each end between machines."""
    links = [
        ["a", "b"],
        {"endpoints": ["b", "c"], "latency": "5ms", "bandwidth": "10mbit", "loss": 1},
        {"endpoints": ["c", "d"], "rtt": "30ms"},
    ]
    ec = Experiment(2)
    nodes = {"a": {"on": 0}, "b": {"on": 0}, "c": {"on": 0}, "d": {"on": 1}}
    made = emulate(ec, {"nodes": nodes, "links": links}, on=ec.machines)
    assert ec.of("linux::Impairment") == [
        {"delay": "5ms", "rate": "10mbit", "loss": 1.0},
        {"delay": 0.015, "direction": "out"},
        {"delay": 0.015, "direction": "out"},
    ]
    assert [len(made.impairments.get(pair, ())) for pair in made.links] == [0, 1, 2]


def test_a_network_on_two_machines() -> None:
    ec = Experiment(2)
    links = [["a", "b"], ["b", "c"], ["c", "d"], ["d", "e"], ["e", "f"]]
    made = emulate(ec, links, on=ec.machines)
    far = [pair for pair, guids in made.links.items() if len(guids) == 2]
    assert far == [("c", "d")]
    one, two = ec.of("netns::RemoteLink")
    assert (one["ip"], two["ip"], one["prefix"]) == ("10.0.0.9", "10.0.0.10", 30)
    assert [len(it["hosts"]) for it in ec.of("linux::netns::Emulation")] == [3, 3]
    ec.description.complete(ec.description)
    ec.description.check()


def test_switches_know_the_machines_of_their_ethernet() -> None:
    ec = Experiment(3)
    nodes = {
        **{name: {"kind": "switch", "on": on} for name, on in (("sw", 0), ("far", 1), ("own", 2))},
        **{name: {"on": on} for name, on in (("a", 0), ("b", 1), ("c", 2))},
    }
    links = [["sw", "a"], ["sw", "far"], ["far", "b"], ["b", "c"], ["c", "own"]]
    made = emulate(ec, {"nodes": nodes, "links": links}, on=ec.machines)
    over = {
        name: ec.description.resource(made.nodes[name]).peers.get("over")
        for name in ("sw", "far", "own")
    }
    assert over == {"sw": [ec.machines[1]], "far": [ec.machines[0]], "own": None}
    # Each link waits for what these machines report.
    (link,) = made.links["sw", "a"]
    assert set(ec.machines[:2]) <= set(ec.description.awaited(link))
    (link,) = made.links["c", "own"]
    assert not set(ec.machines) & set(ec.description.awaited(link))


def test_the_same_topology_is_always_the_same() -> None:
    texts = set()
    for _ in range(2):
        ec = Experiment(2)
        emulate(ec, nx.balanced_tree(3, 3), on=ec.machines)
        texts.add(str([item.digest() for item in ec.description.resources()]))
    assert len(texts) == 1


FILE = """
nepiq: 1
resources:
  ping: {type: "linux::Ping", node: r1, target: r2}
  here: {type: "linux::Node"}
topology:
  on: here
  links:
  - [r1, r2]
  - {endpoints: [r2, r3], loss: 2}
"""


def read(text: str, name: str = "lab.yaml") -> Description:
    description = Description()
    Draft(text.encode(), name, "yaml").fill(description, complete=True)
    return description


def written(description: Description) -> str:
    return str(serialize(description, "yaml"))


def test_the_graph_without_deploying_containerlab_190(tmp_path: Path) -> None:
    """A description has a topology beside its resources, and its picture shows all of it."""
    it = read(FILE)
    assert [item.label for item in it.resources()] == [
        "ping",
        "here",
        "r1",
        "r2",
        "r3",
        "r1-r2",
        "r2-r3",
        "r2-r3-impairment",
        "r1-routes",
        "r2-routes",
        "r3-routes",
    ]
    (tmp_path / "net.csv").write_text("source,target\nr1,r2\n")
    links = FILE[FILE.index("  links") :]
    other = read(FILE.replace(links, "  file: net.csv\n"), str(tmp_path / "lab.yaml"))
    assert len(other) == 7
    third = read(FILE.replace("on: here", "on: here\n  ipv6: true"))
    assert "ip6" in third.resource(third.of_type("netns::Node")[0]).attrs
    text = written(it)
    it.complete(it)
    assert written(it) == text
    assert written(read(text)) == text
    graph = described(it)
    assert {"r1", "r2", "r3", "ping"} <= {vertex.label for vertex in graph.vertices.values()}


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("on: here", "on: ther", r"lab.yaml:7:7: .*'ther'.*here"),
        ("[r1, r2]", "[r1]", r"lab.yaml:6:1: .*is not a link"),
        ("loss: 2", "loss: 200", r"lab.yaml:6:1: .*loss"),
        ("links:", "linkz:", r"lab.yaml:8:3: unknown key 'linkz'"),
        ("[r1, r2]", "[ping, r2]", "label 'ping' is taken"),
    ],
)
def test_errors_of_a_topology_in_a_description(old: str, new: str, match: str) -> None:
    with pytest.raises(DocumentError, match=match) as refused:
        read(FILE.replace(old, new))
    assert len(refused.value.errors) == 1, "those that follow from it are not reported"


def test_without_networkx_a_description_has_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(DocumentError, match="topologies need networkx") as refused:
        read(FILE)
    assert len(refused.value.errors) == 1
