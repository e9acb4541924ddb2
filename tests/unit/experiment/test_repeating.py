"""Experiments that are made on a topology, and made again."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import networkx as nx
import pytest

from nepiq.controller import (
    ExperimentController,
    InvalidValue,
    NotAllowed,
    ResourceAction,
    ResourceState,
    Settings,
    Topology,
    UnknownResource,
)

NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0", state_url="redis://127.0.0.1:1/0")
START, STARTED = ResourceAction.START, ResourceState.STARTED


def add_node(ec: ExperimentController, nid: Any) -> None:
    made = ec.register_resource("nepiq::Null", label=f"node-{nid}")
    ec.netgraph.annotate_node(nid, "guid", made)


def add_edge(ec: ExperimentController, nid1: Any, nid2: Any) -> None:
    one, other = (ec.netgraph.node_annotation(nid, "guid") for nid in (nid1, nid2))
    ec.register_condition(other, START, one, STARTED)


def made(**options: Any) -> ExperimentController:
    return ExperimentController("test", settings=NOWHERE, **options)


# -- topologies ---------------------------------------------------------------------------------


def test_callbacks_are_called_for_each_node_and_each_link() -> None:
    ec = made(
        topo_type="tree",
        node_count=7,
        branches=2,
        assign_ips=True,
        network="10.9.0.0/16",
        assign_st=True,
        leaf_source=True,
        seed=1,
        add_node_callback=add_node,
        add_edge_callback=add_edge,
    )
    assert ec.resources == list(range(1, 8))
    assert len(ec._description.conditions()) == 6
    assert ec.netgraph.targets() == [0]
    assert ec.netgraph.sources()[0] in ec.netgraph.leaves()
    assert ec.netgraph.p2p_info(0, 1).network == "10.9.0.0"


@pytest.mark.parametrize("give", [lambda graph: graph, Topology])
def test_a_graph_of_ones_own(give: Any) -> None:
    ec = made(
        topology=give(nx.cycle_graph(4)),
        sources_targets=[(1, 3)],
        add_node_callback=add_node,
    )
    assert len(ec.resources) == 4
    assert (ec.netgraph.sources(), ec.netgraph.targets()) == ([1], [3])


@pytest.mark.parametrize(
    ("topo_type", "nodes", "edges"),
    [("linear", 6, 5), ("ladder", 6, 7), ("mesh", 6, 15), ("star", 6, 5), ("tree", 6, 5)],
)
def test_shapes_by_name(topo_type: str, nodes: int, edges: int) -> None:
    graph = made(topo_type=topo_type, node_count=nodes).netgraph
    assert (len(graph.nodes()), len(graph.edges())) == (nodes, edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topo_type": "ring", "node_count": 3}, "no topology of type 'ring'"),
        ({"topo_type": "tree"}, "needs node_count="),
        ({"topo_type": "tree", "topology": nx.Graph()}, "exclude each other"),
        ({"add_node_callback": add_node}, "need a topology"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        made(**options)


def test_an_unknown_option_is_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'node_cont'"):
        made(topo_type="tree", node_cont=3)


def test_without_a_topology_there_is_no_netgraph() -> None:
    with pytest.raises(NotAllowed, match="no topology"):
        _ = made().netgraph


def test_networkx_is_loaded_only_for_a_topology() -> None:
    script = (
        "import sys\n"
        "from nepiq.controller import ExperimentController, Topology\n"
        "ExperimentController('test').again()\n"
        "assert 'networkx' not in sys.modules and 'rich' not in sys.modules\n"
        "ExperimentController('test', topo_type='mesh', node_count=3)\n"
        "assert 'networkx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# -- again --------------------------------------------------------------------------------------


def described() -> ExperimentController:
    ec = made(topo_type="linear", node_count=2, add_node_callback=add_node)
    ec.set_global("linux::Application", "okExitCodes", "any")
    node = ec.register_resource("linux::Node", guid=10, label="here")
    ec.register_resource(
        "linux::Application", label="app", command="true", env={"A": "1"}, connectedTo=node
    )
    ec.register_condition("app", START, ["node-0", "here"], STARTED, "2s")
    return ec


def test_the_same_again_has_the_same_of_everything() -> None:
    ec = described()
    copy = ec.again()
    assert copy.exp_id == ec.exp_id
    assert copy.resources == ec.resources
    assert copy.digests() == ec.digests()
    assert copy.netgraph is ec.netgraph
    assert copy.find("app") == ec.find("app")
    assert copy._description.conditions() == ec._description.conditions()
    assert copy.get_global("linux::Application", "okExitCodes") == "any"
    later = [made.register_resource("nepiq::Null") for made in (ec, copy)]
    assert later == [12, 12]


def test_the_two_share_nothing() -> None:
    ec = described()
    copy = ec.again()
    copy.set("app", "command", "false")
    copy.register_condition("node-1", START, "node-0", STARTED)
    copy.register_resource("nepiq::Null", label="new")
    copy.set_global("linux::Application", "okExitCodes", "0")
    assert ec.get("app", "command") == "true"
    assert ec.get_global("linux::Application", "okExitCodes") == "any"
    assert len(ec._description.conditions()) == 2
    with pytest.raises(UnknownResource):
        ec.find("new")


def test_what_shall_be_set_later_is_taken_along() -> None:
    ec = made()
    node = ec.register_resource("linux::Node")
    app = ec.register_resource("linux::Application", command="true", connectedTo=node)
    (task,) = ec.set_with_conditions("hardRelease", True, app, node, STARTED)
    again = ec.again()
    assert again.filter_resources("nepiq::Callback") == [task]
    assert again.resources == ec.resources == [node, app]
    assert again.digests() == ec.digests()


def test_a_digest_tells_what_was_changed() -> None:
    ec = described()
    copy = ec.again()
    copy.set("app", "command", "false")
    copy.register_condition("node-1", START, "node-0", STARTED)
    before, now = ec.digests(), copy.digests()
    assert sorted(name for name in before if before[name] != now[name]) == ["app", "node-1"]


def test_what_a_resource_has_reported_is_not_taken_along() -> None:
    ec = described()
    ec._description.note("app", {"exitCode": 3})
    assert ec.again().get("app", "exitCode") is None
