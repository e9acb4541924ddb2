"""Options of an experiment that describe its topology; they are NEPI's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from ...errors import InvalidValue
from ...errors.text import quoted
from .topology import Node, Topology, TopologyType


class TopologyOptions(TypedDict, total=False):
    """The options of an experiment's topology.

    ``topology`` is a :class:`Topology` or an undirected networkx graph; ``topo_type`` instead is
    a shape, with ``node_count`` and ``branches``. ``assign_ips`` assigns addresses by
    ``network``, ``prefix`` and ``version``, see :meth:`Topology.assign_p2p_ips`.
    ``sources_targets`` are pairs of a source and a target; ``assign_st`` instead makes node 0 the
    target and another node, chosen with ``seed``, the source: a leaf if ``leaf_source``.
    """

    topology: Any
    topo_type: str
    node_count: int
    branches: int
    assign_ips: bool
    network: str
    prefix: int
    version: int
    assign_st: bool
    sources_targets: Iterable[tuple[Node, Node]]
    leaf_source: bool
    seed: int


def make_topology(options: TopologyOptions) -> Topology:
    """Return the topology that options describe.

    Raises:
        InvalidValue: an option is missing or invalid.
        DescriptionError: networkx is not installed.
        TypeError: an option is unknown.
    """
    unknown = sorted(options.keys() - TopologyOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"ExperimentController() got an unexpected keyword argument {unknown[0]!r}")
    topology = _shape(options)
    if options.get("assign_ips"):
        topology.assign_p2p_ips(
            options.get("network"), options.get("prefix"), options.get("version")
        )
    pairs = options.get("sources_targets")
    if pairs is not None:
        for source, target in pairs:
            topology.set_source(source)
            topology.set_target(target)
    elif options.get("assign_st"):
        topology.select_target_zero()
        topology.select_random_source(options.get("leaf_source", False), options.get("seed"))
    return topology


def _shape(options: TopologyOptions) -> Topology:
    graph, count = options.get("topology"), options.get("node_count")
    try:
        kind = TopologyType(options.get("topo_type") or TopologyType.ADHOC)
    except ValueError:
        raise InvalidValue(
            f"there is no topology of type {quoted(options.get('topo_type'))}",
            hint="use one of " + ", ".join(shape.value for shape in TopologyType),
        ) from None
    if kind is TopologyType.ADHOC:
        return graph if isinstance(graph, Topology) else Topology(graph)
    if graph is not None:
        raise InvalidValue("topology= and topo_type= exclude each other", hint="remove one of them")
    if count is None:
        raise InvalidValue(f"a topology of type {kind.value!r} needs node_count=")
    branches = options.get("branches")
    if kind is TopologyType.TREE:
        return Topology.tree(count, 2 if branches is None else branches)
    if kind is TopologyType.STAR:
        return Topology.star(count, branches)
    plain: dict[TopologyType, Callable[[int], Topology]] = {
        TopologyType.LINEAR: Topology.linear,
        TopologyType.LADDER: Topology.ladder,
        TopologyType.MESH: Topology.mesh,
    }
    return plain[kind](count)
