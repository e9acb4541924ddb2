"""The part of an experiment's face that makes it again: topologies, and further runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import InvalidValue, NotAllowed
from .exchanging import Exchanging

if TYPE_CHECKING:
    from ..description.topology.options import TopologyOptions
    from ..description.topology.topology import Topology
    from .controller import ExperimentController

    NodeCallback = Callable[[ExperimentController, Any], object]
    EdgeCallback = Callable[[ExperimentController, Any, Any], object]


class Repeating(Exchanging):
    """What an experiment is made from, and made from once more."""

    _quiet: bool
    _local_dir: Path | None
    _persist: bool
    _waiting: list[int]
    _netgraph: Topology | None = None

    @property
    def netgraph(self) -> Topology:
        """The topology that was given when the experiment was made.

        Raises:
            NotAllowed: none was given.
        """
        if self._netgraph is None:
            raise NotAllowed(
                "the experiment has no topology", hint="give topology= or topo_type= to make one"
            )
        return self._netgraph

    @property
    def phase(self) -> str:
        """RUNNING, FAILED, RELEASING, RELEASED; GONE once the records of the run have expired."""
        return self._live.phase()

    @property
    def quiet(self) -> bool:
        """True if nothing is said on stderr."""
        return self._quiet

    def digests(self) -> dict[str, str]:
        """A digest of the description of each resource, by label: the same for the same."""
        with self._description.lock:
            return {item.label: item.digest() for item in self._description.resources()}

    def again(self) -> ExperimentController:
        """The same experiment for another run: the same name, guids and labels, all NEW."""
        made = self._alike()
        with self._live.turn:
            # Calls that are described and not yet in a run belong to the description.
            calls = [] if self._live.known_run else list(self._waiting)
            made._description.adopt(self._description, internal=bool(calls))  # noqa: SLF001
        made._waiting = calls  # noqa: SLF001 - of the same class
        return made

    def rejoin(self, run_id: str) -> ExperimentController:
        """A run of this experiment that another process has begun, live.

        Raises:
            UnknownRun: there is none.
        """
        made = self._alike()
        made._live.join(run_id)  # noqa: SLF001 - of the same class
        return made

    def _alike(self) -> ExperimentController:
        from .controller import ExperimentController

        made = ExperimentController(
            self._description.exp_id,
            release_after=self._live.release_after,
            settings=self._live.settings,
            quiet=self._quiet,
            local_dir=self._local_dir,
            persist=self._persist,
        )
        made._netgraph = self._netgraph  # noqa: SLF001 - of the same class
        return made

    def _lay_out(
        self,
        options: TopologyOptions,
        add_node: NodeCallback | None,
        add_edge: EdgeCallback | None,
    ) -> None:
        """Make the topology, and let callbacks register what belongs to its nodes and links."""
        if not options:
            if add_node or add_edge:
                raise InvalidValue(
                    "callbacks for nodes and edges were given, and no topology",
                    hint="give topology= or topo_type=",
                )
            return
        from ..description.topology.options import make_topology

        self._netgraph = made = make_topology(options)
        ec = cast("ExperimentController", self)
        if add_node is not None:
            for nid in made.nodes():
                add_node(ec, nid)
        if add_edge is not None:
            for nid1, nid2 in made.edges():
                add_edge(ec, nid1, nid2)
