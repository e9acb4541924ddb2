"""Topologies: the graph of a network that an experiment is made on, and addresses for its links.

A topology is a networkx graph with annotations. networkx is imported when the first topology is
made, as experiments without one should not pay for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from .addresses import Link, subnets

Node = Hashable
Value = str | int | float | bool


class TopologyType(str, Enum):
    """The shapes that are made by name, as NEPI calls them."""

    LINEAR = "linear"
    LADDER = "ladder"
    MESH = "mesh"
    TREE = "tree"
    STAR = "star"
    ADHOC = "adhoc"


def visit(
    topology: Topology | None,
    ec: Any,
    add_node: Callable[[Any, Any], object] | None,
    add_edge: Callable[[Any, Any, Any], object] | None,
) -> None:
    """Have callbacks register what belongs to the nodes and links of a topology.

    Args:
        topology: the topology, if there is one.
        ec: the experiment, which the callbacks are given.
        add_node: called with each node.
        add_edge: called with both ends of each link.

    Raises:
        InvalidValue: there is a callback and no topology.
    """
    if topology is None:
        if add_node or add_edge:
            raise InvalidValue(
                "callbacks for nodes and edges were given, and no topology",
                hint="give topology= or topo_type=",
            )
        return
    if add_node is not None:
        for node in topology.nodes():
            add_node(ec, node)
    if add_edge is not None:
        for one, other in topology.edges():
            add_edge(ec, one, other)


class Topology:
    """A graph of nodes and links, with annotations, addresses, sources and targets.

    Args:
        graph: an undirected networkx graph, which is used as it is and not copied; an empty one
            by default. Its own node and edge attributes are read as annotations.

    Attributes:
        graph: the networkx graph.
        topo_type: its shape.

    Raises:
        InvalidValue: the graph is no networkx graph, or a directed one or a multigraph.
        DescriptionError: networkx is not installed.

    Example:
        >>> tree = Topology.tree(7, branches=2)
        >>> tree.assign_p2p_ips("10.1.0.0/16")
        >>> tree.p2p_info(0, 2)
        Link(network='10.1.0.4', prefix=30, address='10.1.0.5', peer='10.1.0.6')
    """

    def __init__(self, graph: Any = None) -> None:
        networkx = _networkx()
        if graph is None:
            graph = networkx.Graph()
        if not isinstance(graph, networkx.Graph):
            raise InvalidValue(
                f"a topology cannot be made from {type(graph).__name__}",
                hint="give a networkx.Graph, or use Topology.tree(...) and the like",
            )
        if graph.is_directed() or graph.is_multigraph():
            raise InvalidValue(
                "a topology has at most one link between two nodes, without a direction",
                hint="networkx.Graph(yours) makes such a graph",
            )
        self.graph = graph
        self.topo_type = TopologyType.ADHOC
        self._sources: dict[Node, None] = {}
        self._targets: dict[Node, None] = {}
        self._links: dict[tuple[Node, Node], Link] = {}

    # -- shapes -------------------------------------------------------------------------------

    @classmethod
    def linear(cls, node_count: int) -> Topology:
        """A row of nodes, each linked with the next."""
        return cls._shaped(TopologyType.LINEAR, _networkx().path_graph(_count(node_count)))

    @classmethod
    def ladder(cls, node_count: int) -> Topology:
        """Two rows of nodes of the same length, with a rung between each two that are opposite.

        Raises:
            InvalidValue: ``node_count`` is odd.
        """
        if _count(node_count) % 2:
            raise InvalidValue(f"a ladder cannot have {node_count} nodes: its two sides are equal")
        return cls._shaped(TopologyType.LADDER, _networkx().ladder_graph(node_count // 2))

    @classmethod
    def mesh(cls, node_count: int) -> Topology:
        """Each node linked with each other."""
        return cls._shaped(TopologyType.MESH, _networkx().complete_graph(_count(node_count)))

    @classmethod
    def tree(cls, node_count: int, branches: int = 2) -> Topology:
        """A tree with node 0 as its root, filled level by level.

        Args:
            node_count: how many nodes; the last level may be incomplete.
            branches: children of each node that has all of them.
        """
        _count(branches, "branches")
        shape = _networkx().full_rary_tree(branches, _count(node_count))
        return cls._shaped(TopologyType.TREE, shape)

    @classmethod
    def star(cls, node_count: int, branches: int | None = None) -> Topology:
        """Arms that meet in node 0.

        Args:
            node_count: how many nodes, the centre included.
            branches: how many arms; their lengths differ by one at most. By default each other
                node is an arm of its own.
        """
        count = _count(node_count)
        arms = max(1, count - 1) if branches is None else _count(branches, "branches")
        shape = _networkx().empty_graph(count)
        # Node n continues the arm of node n - arms; the first nodes begin at the centre.
        shape.add_edges_from((max(0, node - arms), node) for node in range(1, count))
        return cls._shaped(TopologyType.STAR, shape)

    @classmethod
    def _shaped(cls, topo_type: TopologyType, graph: Any) -> Topology:
        made = cls(graph)
        made.topo_type = topo_type
        return made

    # -- nodes and links ----------------------------------------------------------------------

    def nodes(self) -> list[Any]:
        """All nodes; those of shapes are numbers from 0 on."""
        return list(self.graph.nodes)

    def edges(self) -> list[tuple[Any, Any]]:
        """All links, each once, as the pair of its ends."""
        return list(self.graph.edges)

    def neighbors(self, nid: Node) -> list[Any]:
        """The nodes that one is linked with."""
        self._require(nid)
        return list(self.graph.neighbors(nid))

    def leaves(self) -> list[Any]:
        """The nodes with one link."""
        return [nid for nid, degree in self.graph.degree if degree == 1]

    def add_node(self, nid: Node, **annotations: Value) -> None:
        """Add a node, or annotate one that is there."""
        for name, value in annotations.items():
            _check_annotation(name, value)
        self.graph.add_node(nid, **annotations)

    def add_edge(self, nid1: Node, nid2: Node, **annotations: Value) -> None:
        """Link two nodes, which are added if they are not there; or annotate their link."""
        for name, value in annotations.items():
            _check_annotation(name, value)
        self.graph.add_edge(nid1, nid2, **annotations)

    # -- annotations --------------------------------------------------------------------------

    def annotate_node(self, nid: Node, name: str, value: Value) -> None:
        """Note something of a node.

        Raises:
            InvalidValue: there is no such node, or the value is no text, number, True or False.
        """
        self._require(nid)
        self.graph.nodes[nid][name] = _check_annotation(name, value)

    def annotate_edge(self, nid1: Node, nid2: Node, name: str, value: Value) -> None:
        """Note something of a link; see :meth:`annotate_node`."""
        self._require(nid1, nid2)
        self.graph.edges[nid1, nid2][name] = _check_annotation(name, value)

    def node_annotation(self, nid: Node, name: str) -> Any:
        """What was noted of a node under a name; None if nothing was."""
        return self.node_annotations(nid).get(name)

    def edge_annotation(self, nid1: Node, nid2: Node, name: str) -> Any:
        """What was noted of a link under a name; None if nothing was."""
        return self.edge_annotations(nid1, nid2).get(name)

    def node_annotations(self, nid: Node) -> dict[str, Any]:
        """Everything noted of a node."""
        self._require(nid)
        return dict(self.graph.nodes[nid])

    def edge_annotations(self, nid1: Node, nid2: Node) -> dict[str, Any]:
        """Everything noted of a link."""
        self._require(nid1, nid2)
        return dict(self.graph.edges[nid1, nid2])

    # -- sources and targets ------------------------------------------------------------------

    def set_source(self, nid: Node) -> None:
        """Let a node be one that traffic comes from."""
        self._require(nid)
        self._sources[nid] = None

    def set_target(self, nid: Node) -> None:
        """Let a node be one that traffic goes to."""
        self._require(nid)
        self._targets[nid] = None

    def is_source(self, nid: Node) -> bool:
        """True if traffic comes from a node."""
        return nid in self._sources

    def is_target(self, nid: Node) -> bool:
        """True if traffic goes to a node."""
        return nid in self._targets

    def sources(self) -> list[Any]:
        """The nodes that traffic comes from, in the order they were set."""
        return list(self._sources)

    def targets(self) -> list[Any]:
        """The nodes that traffic goes to, in the order they were set."""
        return list(self._targets)

    def select_target_zero(self) -> Any:
        """Let node 0 be a target; the first node where no node is called 0. Returns it."""
        nodes = self.nodes()
        if not nodes:
            raise InvalidValue("the topology has no node that could be a target")
        chosen = 0 if 0 in self.graph else nodes[0]
        self.set_target(chosen)
        return chosen

    def select_random_source(self, leaf: bool = False, seed: int | None = None) -> Any:
        """Let a node that is no target be a source, chosen at random. Returns it.

        Args:
            leaf: choose among the nodes with one link.
            seed: the same seed chooses the same node of the same topology.

        Raises:
            InvalidValue: there is none to choose.
        """
        choice = [
            nid for nid in (self.leaves() if leaf else self.nodes()) if nid not in self._targets
        ]
        if not choice:
            what = "node with one link" if leaf else "node"
            raise InvalidValue(f"the topology has no {what} that could be a source")
        chosen = random.Random(seed).choice(choice)  # noqa: S311 - no secret
        self.set_source(chosen)
        return chosen

    # -- addresses ----------------------------------------------------------------------------

    def assign_p2p_ips(
        self, network: str | None = None, prefix: int | None = None, version: int | None = None
    ) -> None:
        """Give each link a subnet of its own, and each of its ends an address in it.

        Args:
            network: what the subnets are taken from, first to last; by default ``10.0.0.0/8``,
                or ``fd00::/48`` for version 6.
            prefix: length of a subnet's prefix; by default 30, or 64 for version 6.
            version: 4 or 6; that of ``network`` by default.

        Raises:
            InvalidValue: the graph is not connected or links a node with itself, or the network
                is malformed or too small.
        """
        self._check_links()
        edges = self.edges()
        self._links.clear()
        for (one, other), link in zip(
            edges, subnets(len(edges), network, prefix, version), strict=True
        ):
            self._links[one, other] = link
            self._links[other, one] = link.turned()

    def p2p_info(self, nid1: Node, nid2: Node) -> Link:
        """The addresses of a link, seen from its first end.

        Raises:
            InvalidValue: there is no such link, or it has no addresses yet.
        """
        self._require(nid1, nid2)
        try:
            return self._links[nid1, nid2]
        except KeyError:
            raise InvalidValue(
                f"the link of {quoted(nid1)} and {quoted(nid2)} has no addresses",
                hint="call assign_p2p_ips() when all links are there",
            ) from None

    def _check_links(self) -> None:
        networkx = _networkx()
        loop = next(iter(networkx.nodes_with_selfloops(self.graph)), None)
        if loop is not None:
            raise InvalidValue(
                f"node {quoted(loop)} is linked with itself, which takes no addresses"
            )
        parts = networkx.number_connected_components(self.graph)
        if parts > 1:
            smallest: set[Any] = min(networkx.connected_components(self.graph), key=len)
            apart = next(iter(smallest))
            raise InvalidValue(
                f"the topology is not connected: it has {parts} parts, and for instance "
                f"{quoted(apart)} cannot reach all others",
                hint="add links, or make a topology of each part",
            )

    def _require(self, *ends: Node) -> None:
        for nid in ends:
            if nid not in self.graph:
                raise InvalidValue(f"the topology has no node {quoted(nid)}")
        if len(ends) > 1 and not self.graph.has_edge(*ends):
            raise InvalidValue(
                f"the topology has no link of {quoted(ends[0])} and {quoted(ends[1])}"
            )

    def __repr__(self) -> str:
        nodes, edges = self.graph.number_of_nodes(), self.graph.number_of_edges()
        return f"<Topology {self.topo_type.value}: {nodes} nodes, {edges} links>"


def _networkx() -> Any:
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise DescriptionError(
            "topologies need networkx, which is not installed",
            hint="pip install 'nepiq[topology]'",
        ) from error
    return nx


def _count(value: Any, what: str = "node_count") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{what} cannot be {quoted(value)}", hint="use a whole number from 1 on")
    return int(value)


def _check_annotation(name: str, value: Any) -> Value:
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidValue(
            f"annotation {quoted(name)} cannot be {quoted(value)}",
            hint="use text, a number, True or False",
        )
    return value
