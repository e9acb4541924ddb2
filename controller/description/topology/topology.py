"""Topologies: annotated graphs of networks, with addresses for their links.

A topology wraps a networkx graph. networkx is imported when the first topology is created, so
that experiments without one start faster.
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
    """The shapes of topologies, by NEPI's names."""

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
    """Call callbacks for the nodes and links of a topology, to register their resources.

    Args:
        topology: the topology, or None.
        ec: the experiment, the first argument of the callbacks.
        add_node: called with each node.
        add_edge: called with both ends of each link.

    Raises:
        InvalidValue: a callback is passed but no topology.
    """
    if topology is None:
        if add_node or add_edge:
            raise InvalidValue(
                "callbacks for nodes and edges need a topology",
                hint="pass topology= or topo_type=",
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
        graph: an undirected networkx graph, which is not copied; an empty one by default. Its
            node and edge attributes are the annotations.

    Attributes:
        graph: the networkx graph.
        topo_type: its shape.

    Raises:
        InvalidValue: the graph is not a networkx graph, or is directed or a multigraph.
        DescriptionError: networkx is not installed.

    Example:
        >>> tree = Topology.tree(7, branches=2)
        >>> tree.assign_p2p_ips("10.1.0.0/16")
        >>> tree.p2p_info(0, 2)
        Link(network='10.1.0.4', prefix=30, address='10.1.0.5', peer='10.1.0.6')
    """

    def __init__(self, graph: Any = None) -> None:
        networkx = load_networkx()
        if graph is None:
            graph = networkx.Graph()
        if not isinstance(graph, networkx.Graph):
            raise InvalidValue(
                f"a topology cannot be created from {type(graph).__name__}",
                hint="pass a networkx.Graph, or use, for example, Topology.tree(...)",
            )
        if graph.is_directed() or graph.is_multigraph():
            raise InvalidValue(
                "a topology has at most one link between two nodes, without a direction",
                hint="convert the graph by networkx.Graph(graph)",
            )
        self.graph = graph
        self.topo_type = TopologyType.ADHOC
        self._sources: dict[Node, None] = {}
        self._targets: dict[Node, None] = {}
        self._links: dict[tuple[Node, Node], Link] = {}

    # -- shapes -------------------------------------------------------------------------------

    @classmethod
    def linear(cls, node_count: int) -> Topology:
        """Return a row of nodes, each linked with the next."""
        return cls._from_shape(TopologyType.LINEAR, load_networkx().path_graph(_count(node_count)))

    @classmethod
    def ladder(cls, node_count: int) -> Topology:
        """Return two rows of nodes of the same length, with a link between opposite nodes.

        Raises:
            InvalidValue: ``node_count`` is odd.
        """
        if _count(node_count) % 2:
            raise InvalidValue(f"a ladder cannot have {node_count} nodes: its two sides are equal")
        return cls._from_shape(TopologyType.LADDER, load_networkx().ladder_graph(node_count // 2))

    @classmethod
    def mesh(cls, node_count: int) -> Topology:
        """Return nodes that are all linked with each other."""
        return cls._from_shape(
            TopologyType.MESH, load_networkx().complete_graph(_count(node_count))
        )

    @classmethod
    def tree(cls, node_count: int, branches: int = 2) -> Topology:
        """Return a tree with node 0 as its root, filled level by level.

        Args:
            node_count: number of nodes; the last level may be incomplete.
            branches: number of children of each inner node; the last one may have fewer.
        """
        _count(branches, "branches")
        shape = load_networkx().full_rary_tree(branches, _count(node_count))
        return cls._from_shape(TopologyType.TREE, shape)

    @classmethod
    def star(cls, node_count: int, branches: int | None = None) -> Topology:
        """Return arms that meet in node 0.

        Args:
            node_count: number of nodes, the centre included.
            branches: number of arms, whose lengths differ by at most one. By default every node
                but the centre is an arm of its own.
        """
        count = _count(node_count)
        arms = max(1, count - 1) if branches is None else _count(branches, "branches")
        shape = load_networkx().empty_graph(count)
        # Node n continues the arm of node n - arms; the first nodes begin at the centre.
        shape.add_edges_from((max(0, node - arms), node) for node in range(1, count))
        return cls._from_shape(TopologyType.STAR, shape)

    @classmethod
    def _from_shape(cls, topo_type: TopologyType, graph: Any) -> Topology:
        topology = cls(graph)
        topology.topo_type = topo_type
        return topology

    # -- nodes and links ----------------------------------------------------------------------

    def nodes(self) -> list[Any]:
        """Return all nodes; those of shapes are numbers from 0."""
        return list(self.graph.nodes)

    def edges(self) -> list[tuple[Any, Any]]:
        """Return all links as pairs of their ends, each link once."""
        return list(self.graph.edges)

    def neighbors(self, nid: Node) -> list[Any]:
        """Return the nodes that a node is linked with."""
        self._require(nid)
        return list(self.graph.neighbors(nid))

    def leaves(self) -> list[Any]:
        """Return the nodes with one link."""
        return [nid for nid, degree in self.graph.degree if degree == 1]

    def add_node(self, nid: Node, **annotations: Value) -> None:
        """Add a node, or annotate an existing one."""
        for name, value in annotations.items():
            _check_annotation(name, value)
        self.graph.add_node(nid, **annotations)

    def add_edge(self, nid1: Node, nid2: Node, **annotations: Value) -> None:
        """Link two nodes, which are added if needed, or annotate an existing link."""
        for name, value in annotations.items():
            _check_annotation(name, value)
        self.graph.add_edge(nid1, nid2, **annotations)

    # -- annotations --------------------------------------------------------------------------

    def annotate_node(self, nid: Node, name: str, value: Value) -> None:
        """Set an annotation of a node.

        Raises:
            InvalidValue: the node is unknown, or the value is not text, a number, True or False.
        """
        self._require(nid)
        self.graph.nodes[nid][name] = _check_annotation(name, value)

    def annotate_edge(self, nid1: Node, nid2: Node, name: str, value: Value) -> None:
        """Set an annotation of a link.

        Raises:
            InvalidValue: the link is unknown, or the value is not text, a number, True or False.
        """
        self._require(nid1, nid2)
        self.graph.edges[nid1, nid2][name] = _check_annotation(name, value)

    def node_annotation(self, nid: Node, name: str) -> Any:
        """Return an annotation of a node; None if it is not set."""
        return self.node_annotations(nid).get(name)

    def edge_annotation(self, nid1: Node, nid2: Node, name: str) -> Any:
        """Return an annotation of a link; None if it is not set."""
        return self.edge_annotations(nid1, nid2).get(name)

    def node_annotations(self, nid: Node) -> dict[str, Any]:
        """Return all annotations of a node."""
        self._require(nid)
        return dict(self.graph.nodes[nid])

    def edge_annotations(self, nid1: Node, nid2: Node) -> dict[str, Any]:
        """Return all annotations of a link."""
        self._require(nid1, nid2)
        return dict(self.graph.edges[nid1, nid2])

    # -- sources and targets ------------------------------------------------------------------

    def set_source(self, nid: Node) -> None:
        """Mark a node as a source of traffic."""
        self._require(nid)
        self._sources[nid] = None

    def set_target(self, nid: Node) -> None:
        """Mark a node as a target of traffic."""
        self._require(nid)
        self._targets[nid] = None

    def is_source(self, nid: Node) -> bool:
        """Return whether a node is a source."""
        return nid in self._sources

    def is_target(self, nid: Node) -> bool:
        """Return whether a node is a target."""
        return nid in self._targets

    def sources(self) -> list[Any]:
        """Return the sources, in the order in which they were set."""
        return list(self._sources)

    def targets(self) -> list[Any]:
        """Return the targets, in the order in which they were set."""
        return list(self._targets)

    def select_target_zero(self) -> Any:
        """Mark node 0 as a target, or the first node if there is no node 0, and return it."""
        nodes = self.nodes()
        if not nodes:
            raise InvalidValue("the topology has no node that could be a target")
        target = 0 if 0 in self.graph else nodes[0]
        self.set_target(target)
        return target

    def select_random_source(self, leaf: bool = False, seed: int | None = None) -> Any:
        """Mark a random node that is not a target as a source, and return it.

        Args:
            leaf: choose among the nodes with one link.
            seed: the seed of the choice; the same seed always chooses the same node.

        Raises:
            InvalidValue: there is no such node.
        """
        candidates = [
            nid for nid in (self.leaves() if leaf else self.nodes()) if nid not in self._targets
        ]
        if not candidates:
            noun = "node with one link" if leaf else "node"
            raise InvalidValue(f"the topology has no {noun} that could be a source")
        source = random.Random(seed).choice(candidates)  # noqa: S311 - not a secret
        self.set_source(source)
        return source

    # -- addresses ----------------------------------------------------------------------------

    def assign_p2p_ips(
        self, network: str | None = None, prefix: int | None = None, version: int | None = None
    ) -> None:
        """Assign a subnet to each link, and an address in it to each of its ends.

        Args:
            network: the network to take subnets from, in order; by default ``10.0.0.0/8``, or
                ``fd00::/48`` for version 6.
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
        """Return the addresses of a link, from the view of its first end.

        Raises:
            InvalidValue: the link is unknown, or has no addresses yet.
        """
        self._require(nid1, nid2)
        try:
            return self._links[nid1, nid2]
        except KeyError:
            raise InvalidValue(
                f"the link of {quoted(nid1)} and {quoted(nid2)} has no addresses",
                hint="call assign_p2p_ips() after all links are added",
            ) from None

    def _check_links(self) -> None:
        networkx = load_networkx()
        loop = next(iter(networkx.nodes_with_selfloops(self.graph)), None)
        if loop is not None:
            raise InvalidValue(
                f"node {quoted(loop)} is linked with itself; such a link cannot have addresses"
            )
        parts = networkx.number_connected_components(self.graph)
        if parts > 1:
            smallest: set[Any] = min(networkx.connected_components(self.graph), key=len)
            node = next(iter(smallest))
            raise InvalidValue(
                f"the topology is not connected: it has {parts} parts; "
                f"{quoted(node)}, for example, is not connected to all others",
                hint="add links, or create a topology for each part",
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


def load_networkx() -> Any:
    """Return networkx.

    Raises:
        DescriptionError: it is not installed.
    """
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise DescriptionError(
            "topologies need networkx, which is not installed",
            hint="pip install 'nepiq[topology]'",
        ) from error
    return nx


def _count(value: Any, name: str = "node_count") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="use a whole number from 1")
    return int(value)


def _check_annotation(name: str, value: Any) -> Value:
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidValue(
            f"annotation {quoted(name)} cannot be {quoted(value)}",
            hint="use text, a number, True or False",
        )
    return value
