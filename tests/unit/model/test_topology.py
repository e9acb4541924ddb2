"""Topologies: shapes, annotations, sources and targets, addresses."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller import DescriptionError, InvalidValue, Topology, TopologyType

COUNTS = st.integers(1, 40)


Make = Callable[[], Topology]


@st.composite
def shapes(draw: st.DrawFn) -> Make:
    """Makes a topology of any shape.

    It is made by the test: hypothesis finds fault if anything in this process, such as a thread
    that tries a connection again, uses the random module while values are drawn.
    """
    count = draw(COUNTS)
    kind = draw(st.sampled_from(["linear", "ladder", "mesh", "tree", "star"]))
    given: tuple[int, ...] = (count,)
    if kind == "ladder":
        given = (2 * count,)
    elif kind == "mesh":
        given = (min(count, 12),)
    elif kind in ("tree", "star"):
        given = (count, draw(st.integers(1, 5)))
    return partial(getattr(Topology, kind), *given)


# -- shapes -------------------------------------------------------------------------------------


@given(COUNTS)
def test_the_counts_of_shapes(n: int) -> None:
    assert (len(Topology.linear(n).nodes()), len(Topology.linear(n).edges())) == (n, n - 1)
    assert len(Topology.mesh(n).edges()) == n * (n - 1) // 2
    ladder = Topology.ladder(2 * n)
    assert (len(ladder.nodes()), len(ladder.edges())) == (2 * n, 3 * n - 2)


@given(COUNTS, st.integers(1, 6))
def test_trees_and_stars(n: int, branches: int) -> None:
    for made in (Topology.tree(n, branches), Topology.star(n, branches)):
        assert made.nodes() == list(range(n))
        assert len(made.edges()) == n - 1
    tree, star = Topology.tree(n, branches), Topology.star(n, branches)
    assert all(len(tree.neighbors(node)) <= branches + 1 for node in tree.nodes())
    assert len(star.neighbors(0)) == min(branches, n - 1)
    assert all(len(star.neighbors(node)) <= 2 for node in star.nodes()[1:])


@given(shapes())
def test_shapes_are_connected(make: Make) -> None:
    made = make()
    assert nx.is_connected(made.graph)
    assert made.topo_type is not TopologyType.ADHOC


def test_a_star_has_an_arm_for_each_node_by_default() -> None:
    assert Topology.star(5).leaves() == [1, 2, 3, 4]
    assert Topology.star(1).edges() == []


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", None])
def test_a_wrong_count_is_refused(count: Any) -> None:
    with pytest.raises(InvalidValue, match="node_count cannot be"):
        Topology.linear(count)
    with pytest.raises(InvalidValue, match="branches cannot be"):
        Topology.tree(3, count if count is not None else 0)


def test_an_odd_ladder_is_refused() -> None:
    with pytest.raises(InvalidValue, match="two sides are equal"):
        Topology.ladder(5)


@pytest.mark.parametrize("graph", [nx.DiGraph(), nx.MultiGraph(), "tree", {0: [1]}])
def test_only_plain_graphs_are_taken(graph: Any) -> None:
    with pytest.raises(InvalidValue):
        Topology(graph)


def test_a_graph_is_used_as_it_is() -> None:
    graph = nx.petersen_graph()
    made = Topology(graph)
    assert made.graph is graph
    assert made.topo_type is TopologyType.ADHOC


def test_without_networkx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(DescriptionError, match=r"pip install 'nepiq\[topology\]'"):
        Topology.linear(3)


# -- annotations --------------------------------------------------------------------------------


def test_annotations_of_nodes_and_links() -> None:
    made = Topology.linear(3)
    made.annotate_node(1, "host", "fit01")
    made.annotate_edge(0, 1, "delay", 2.5)
    made.add_node("extra", up=True)
    made.add_edge(2, "extra", rate=10)
    assert made.node_annotation(1, "host") == "fit01"
    assert made.node_annotation(1, "other") is None
    assert made.edge_annotation(1, 0, "delay") == 2.5
    assert made.node_annotations("extra") == {"up": True}
    assert made.edge_annotations("extra", 2) == {"rate": 10}


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, object(), b"x"])
def test_other_annotations_are_refused(value: Any) -> None:
    made = Topology.linear(2)
    for annotate in (
        lambda: made.annotate_node(0, "x", value),
        lambda: made.annotate_edge(0, 1, "x", value),
        lambda: made.add_node(5, x=value),
        lambda: made.add_edge(0, 5, x=value),
    ):
        with pytest.raises(InvalidValue, match="annotation 'x' cannot be"):
            annotate()
    assert made.nodes() == [0, 1]


def test_what_is_not_there_cannot_be_annotated() -> None:
    made = Topology.linear(3)
    with pytest.raises(InvalidValue, match="no node 7"):
        made.annotate_node(7, "x", 1)
    with pytest.raises(InvalidValue, match="no link of 0 and 2"):
        made.edge_annotations(0, 2)
    with pytest.raises(InvalidValue, match="no node 7"):
        made.set_source(7)


# -- sources and targets ------------------------------------------------------------------------


@given(shapes(), st.integers(), st.booleans())
def test_a_random_source_is_reproducible_and_no_target(make: Make, seed: int, leaf: bool) -> None:
    made = make()
    assert made.select_target_zero() == 0
    choice = [node for node in (made.leaves() if leaf else made.nodes()) if node != 0]
    if not choice:
        with pytest.raises(InvalidValue, match="could be a source"):
            made.select_random_source(leaf, seed)
        return
    chosen = made.select_random_source(leaf, seed)
    assert chosen in choice
    assert (made.sources(), made.targets()) == ([chosen], [0])
    assert made.is_source(chosen)
    assert made.is_target(0)
    assert made.select_random_source(leaf, seed) == chosen


def test_the_first_node_is_the_target_where_none_is_called_0() -> None:
    made = Topology(nx.Graph([("a", "b")]))
    assert made.select_target_zero() == "a"
    with pytest.raises(InvalidValue, match="no node that could be a target"):
        Topology().select_target_zero()


# -- addresses ----------------------------------------------------------------------------------


@given(shapes(), st.sampled_from([(4, 24), (4, 30), (4, 31), (6, 64), (6, 126), (6, 127)]))
def test_addresses_are_unique_and_both_ends_in_one_subnet(
    make: Make, form: tuple[int, int]
) -> None:
    made = make()
    version, prefix = form
    made.assign_p2p_ips(prefix=prefix, version=version)
    seen: set[str] = set()
    nets = []
    for one, other in made.edges():
        link = made.p2p_info(one, other)
        net = ipaddress.ip_network(f"{link.network}/{link.prefix}")
        nets.append(net)
        assert (net.version, net.prefixlen) == form
        assert ipaddress.ip_address(link.address) in net
        assert ipaddress.ip_address(link.peer) in net
        if prefix not in (31, 127):
            assert str(net.network_address) not in (link.address, link.peer)
        assert not seen & {link.address, link.peer}
        seen |= {link.address, link.peer}
        back = made.p2p_info(other, one)
        assert (back.address, back.peer) == (link.peer, link.address)
    assert len(seen) == 2 * len(made.edges())
    assert len(set(nets)) == len(nets)


def test_addresses_by_default_are_nepis() -> None:
    made = Topology.linear(3)
    made.assign_p2p_ips()
    link = made.p2p_info(1, 2)
    assert (link.network, link.prefix, link.netmask) == ("10.0.0.4", 30, "255.255.255.252")
    assert (link.address, link.peer) == ("10.0.0.5", "10.0.0.6")
    assert made.p2p_info(2, 1).address == "10.0.0.6"


def test_the_version_follows_from_the_network() -> None:
    made = Topology.linear(2)
    made.assign_p2p_ips("2001:db8::/32")
    assert made.p2p_info(0, 1).address == "2001:db8::1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "10.0.0.0/29"}, "too small for 3 links: it has 2 subnets /30"),
        ({"network": "10.0.0.0/8", "version": 6}, "IP version 4, not 6"),
        ({"network": "10.0.0.1/8"}, "has host bits set"),
        ({"network": "ten"}, "network 'ten'"),
        ({"prefix": 32}, "cannot have the prefix /32"),
        ({"prefix": 4}, "cannot have the prefix /4"),
        ({"prefix": "30"}, "prefix cannot be '30'"),
        ({"version": 5}, "no IP version 5"),
    ],
)
def test_wrong_networks_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Topology.linear(4).assign_p2p_ips(**arguments)


def test_a_large_network_costs_nothing() -> None:
    made = Topology.linear(2)
    made.assign_p2p_ips("::/0", prefix=127)
    assert made.p2p_info(0, 1).peer == "::1"


def test_what_is_not_connected_gets_no_addresses() -> None:
    made = Topology.linear(3)
    made.add_node("lonely")
    with pytest.raises(InvalidValue, match=r"2 parts; 'lonely', for example,"):
        made.assign_p2p_ips()
    looped = Topology(nx.Graph([(1, 1), (1, 2)]))
    with pytest.raises(InvalidValue, match="linked with itself"):
        looped.assign_p2p_ips()
    Topology().assign_p2p_ips()


def test_links_without_addresses_say_so() -> None:
    made = Topology.linear(3)
    with pytest.raises(InvalidValue, match="has no addresses"):
        made.p2p_info(0, 1)
    made.assign_p2p_ips()
    made.add_edge(0, 2)
    with pytest.raises(InvalidValue, match="has no addresses"):
        made.p2p_info(0, 2)
