"""The definition of a campaign: how a place in its order becomes a run, and an ended run a row.

Workers read it from Redis once and keep it. Nothing in it grows with the number of runs.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine.campaign_records import Begin, Fold, Placed, Refusal, Slot
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..engine.store.scripts import Argument
from ..errors import ClassNotImportable, HostError, InfrastructureError
from ..model import Pools, Want, registry
from ..model.locations import is_location
from .causes import cause_of
from .compiled import Base, CompiledTemplate
from .compiled_build import CompiledBuild, Runs
from .evaluation import Ended, Evaluation
from .expansion import ExpandedRuns
from .host_facts import HostFacts, HostRecorder
from .metrics import parse_all
from .observables import Observables
from .placement import HostResult, host_names, host_results, requested
from .places import Place, Places
from .plan import CampaignPlan
from .row import CANCELLED, FAILED
from .segment import Segment
from .space import point_id
from .template import Template

if TYPE_CHECKING:
    from ..description.description import Description


class Definition:
    """A campaign as workers carry it out.

    Args:
        name: of the campaign.
        data: what :meth:`data` returned.
        segments: the spaces, as JSON values.

    Attributes:
        name: of the campaign.
        exp_id: name of its experiment.
        reads_traces: True if workers read more than attributes.
        scripts: names of the metrics that are functions of the script.
        asks: name of the function of the script that decides whether a point needs further runs.
        keep: the runs whose files are collected.
        collects: True if files of runs are collected.
        segments: the spaces.
        precisions: of the metrics at which a point needs no further run.
        least: number of runs that each point needs in any case.
        pool_size: the most hosts that a run could use, of those for which hosts were requested.
    """

    def __init__(
        self, name: str, data: Mapping[str, Any], segments: Sequence[Mapping[str, Any]]
    ) -> None:
        self.name = name
        self.exp_id = str(data["exp_id"])
        self._observables = Observables(data)
        self.reads_traces = self._observables.reads_traces
        self.scripts = self._observables.scripts
        self.asks = self._observables.asks
        self.keep = self._observables.keep
        self.collects = self._observables.collects
        self.precisions = self._observables.precisions
        self.least = self._observables.least
        self.segments = [Segment(segment) for segment in segments]
        self._places = Places(
            self.segments, int(data["seed"]), independent=data["seeds"] == "independent"
        )
        parameters = [name for segment in self.segments for name in segment.space.parameters]
        self._template = _compiled(
            data,
            Template(data["template"], parameters),
            self.segments,
            name,
            hard_release=self._observables.leaves_nothing,
        )
        self._build = str(data.get("build", ""))
        self._evaluation = Evaluation(name, self._observables)
        self._recorder = HostRecorder()
        self.pool_size = 0
        #: Errors of runs that could not begin with the hosts that they had, by slot.
        self._unfit: dict[int, Exception] = {}

    @staticmethod
    def data(
        exp_id: str, template: Mapping[str, Any], plan: CampaignPlan, source: str = ""
    ) -> dict[str, Any]:
        """Return the JSON values from which workers make the same definition.

        Args:
            exp_id: name of the experiment.
            template: its description; what a build function adds to, if there is one.
            plan: the runs.
            source: the digest of the module of the build function.
        """
        files = {"collect": plan.collect, "keep": plan.keep} if plan.collect else {}
        if plan.directories != "none":
            files["directories"] = plan.directories
        return {
            **files,
            "exp_id": exp_id,
            "template": dict(template),
            "metrics": {name: metric.to_data() for name, metric in parse_all(plan.metrics).items()},
            "seed": plan.seed,
            "seeds": plan.seeds,
            "timeout": plan.timeout,
            "stop": [precision.to_document() for precision in plan.stop],
            "asks": plan.asks,
            "least": plan.least,
            **({"build": plan.build, "source": source} if plan.build else {}),
        }

    @property
    def needs_script(self) -> bool:
        """True if runs wait for a script that measures them."""
        return self._observables.needs_script

    @property
    def stops(self) -> bool:
        """True if a point may need fewer runs than it may have."""
        return self._observables.stops

    @property
    def total(self) -> int:
        """Number of runs."""
        return len(self._places)

    @classmethod
    def read(cls, store: CampaignStore) -> Definition | None:
        """Return the definition of a campaign, or None if it does not exist."""
        data = store.definition()
        return None if data is None else cls(store.name, data, store.segments())

    def load(self, imports: Container[str]) -> None:
        """Import the function that describes the runs, if they have one of a module.

        Args:
            imports: the modules that may be imported.

        Raises:
            ClassNotImportable: it cannot be imported here.
        """
        if isinstance(self._template, CompiledBuild):
            module, _, function = self._build.partition(":")
            if function and module not in imports:
                raise ClassNotImportable(
                    f"the module of the build function {self._build} is not imported here",
                    hint=f"install it here, and list it: NEPIQ_IMPORTS={module}",
                )
            self._template.load()
            if registry.is_outdated(module):
                raise ClassNotImportable(
                    f"the module of the build function {self._build} has been changed since this "
                    "process imported it",
                    hint="restart the workers",
                )

    def place(self, slot: int) -> Place:
        """Return what the place in the order is for."""
        return self._places[slot]

    def point(self, slot: int) -> int:
        """Return the number of the point of a slot, among those of all spaces."""
        return self._places.point(slot)

    def arguments(self, slot: int) -> Sequence[Argument]:
        """Return the arguments of the run at a place.

        Raises:
            NepiqError: it cannot be described.
        """
        return self._template.arguments(self.place(slot).values)

    def places(self, slot: int) -> bool:
        """Return whether the hosts of the run at a place are requested before it begins."""
        return self._base(slot).requesting is not None

    def requests(
        self, slots: Sequence[Slot], avoid: Sequence[Sequence[str]], pools: Pools
    ) -> list[tuple[int, Sequence[Want]] | Refusal]:
        """Return on behalf of which resource hosts are requested for each slot, and which.

        Args:
            slots: the slots.
            avoid: for each of them, the keys of the hosts on which it has failed.
            pools: the pools.

        Returns:
            The guid, and the hosts; guid 0 and none for a run that needs none. A refusal if the
            run cannot be described, or the pools have too few hosts.

        Raises:
            RedisUnreachable: the pools cannot be read.
        """
        known: dict[tuple[Base, frozenset[str]], tuple[int, Sequence[Want]]] = {}
        found: list[tuple[int, Sequence[Want]] | Refusal] = []
        for slot, shunned in zip(slots, avoid, strict=True):
            place = self.place(slot.number)
            try:
                if error := self._unfit.pop(slot.number, None):
                    raise error
                base = self._template.base(place.values)
                key = (base, frozenset(shunned))
                if key not in known:
                    with contact():
                        known[key] = requested(base, pools, key[1])
                    hosts = {host for want in known[key][1] for host in want.hosts}
                    self.pool_size = max(self.pool_size, len(hosts))
                found.append(known[key])
            except InfrastructureError:
                raise
            except Exception as error:  # noqa: BLE001 - a class may raise anything
                found.append(self._evaluation.refused(place, slot, error))
        return found

    def description(self, slot: int) -> Description:
        """Return the description of the run at a place.

        Raises:
            NepiqError: it cannot be described.
        """
        return self._base(slot).description

    def begin(self, run_id: str, slot: Slot) -> Begin | Refusal:
        """Return the run for a slot; a refusal if it cannot be described."""
        place = self.place(slot.number)
        try:
            return Begin(run_id, slot, self._template.arguments(place.values))
        except Exception as error:  # noqa: BLE001 - a class may raise anything
            return self._evaluation.refused(place, slot, error)

    def begin_placed(self, placed: Placed, pools: Pools) -> Begin | None:
        """Return a run that has its hosts; None if it cannot begin with these.

        It needs others if the pools have changed. What else fails would fail again with others:
        then :meth:`requests` refuses the slot.

        Raises:
            RedisUnreachable: the pools cannot be read.
        """
        values = self.place(placed.slot.number).values
        try:
            with contact():
                arguments = self._template.placed(values, pools, placed.leases)
        except InfrastructureError:
            raise
        except HostError:
            return None
        except Exception as error:  # noqa: BLE001 - a class may raise anything
            self._unfit[placed.slot.number] = error
            return None
        return Begin(placed.run_id, placed.slot, arguments)

    def wanted(self, slot: int) -> Sequence[int]:
        """Return the guids of the resources whose attributes a row needs."""
        metrics = self._observables.metrics.values()
        labels = {metric.label for metric in metrics if metric.figure}
        if not labels and self._template.finds_hosts is False:
            return ()
        base = self._base(slot)
        found = [guid for guid, name in base.hosts.values() if not name]
        if base.requesting is not None:
            found.append(base.requesting.spec.guid)
        return sorted({*found, *(base.guids[label] for label in labels & base.guids.keys())})

    def facts_wanted(self, ended: Ended, now: float) -> Sequence[int]:
        """Return the guids of the resources whose facts are to be recorded with an ended run."""
        base, hosts = self._base_and_hosts(ended)
        return self._recorder.wanted(base, hosts, now)

    def host_facts(
        self, ended: Ended, attributes: Mapping[int, Mapping[str, Any]], now: float
    ) -> list[HostFacts]:
        """Return the facts to record, from the attributes of those that are wanted."""
        base, hosts = self._base_and_hosts(ended)
        return self._recorder.record(base, hosts, attributes, now)

    def hosts(self, slot: int) -> Sequence[int]:
        """Return the guids of the machines of a run."""
        base = self._base(slot)
        return sorted(guid for guid, _ in base.hosts.values())

    def clears_after(self, outcome: str) -> bool:
        """Return whether the directories of a run are removed from hosts when it has its row."""
        return self._observables.clears_after(outcome)

    def check_files(self, slot: int) -> None:
        """Check that the run at a place can have the files that are to be collected.

        Raises:
            CampaignError: a resource leaves no files.
        """
        self._observables.check_files(self._base(slot))

    def fold(self, ended: Ended, *, collecting: bool = True) -> Fold:
        """Return what becomes of an ended run: its row, or another attempt.

        Args:
            ended: the run.
            collecting: bring its files into the file store, if they are kept.

        Raises:
            FileMissing: the file store cannot be written, for example because the disk is full.
        """
        if not ended.meta:
            return Fold(ended.run_id, "again", False, CANCELLED, "", "")
        place = self.place(ended.slot.number)
        base = self._template.base(place.values)
        return self._evaluation.fold(place, base, ended, collecting=collecting)

    def sampled(self, fold: Fold, slot: int, known: dict[int, Any]) -> Fold:
        """Return the end of a run with the samples of its point.

        Args:
            fold: the end of the run.
            slot: the place of the run in the order.
            known: samples so far by point, to which those of the run are added.
        """
        return self._evaluation.sampled(fold, self.point(slot), known)

    def results(self, ended: Ended, fold: Fold) -> list[HostResult]:
        """Return what an ended run says of the hosts that it leased."""
        if not ended.meta:
            return []
        place = self.place(ended.slot.number)
        cause = cause_of(ended.failures) if fold.outcome == FAILED else None
        base = self._template.base(place.values)
        return host_results(base, ended.attributes, point_id(place.point), fold.outcome, cause)

    def request_of(self, slot: int) -> int:
        """Return the guid on behalf of which the hosts of a run are requested; 0 if it has none."""
        part = self._base(slot).requesting
        return 0 if part is None else part.spec.guid

    # -- inside -------------------------------------------------------------------------------

    def _base(self, slot: int) -> Base:
        return self._template.base(self.place(slot).values)

    def _base_and_hosts(self, ended: Ended) -> tuple[Base, Mapping[str, str]]:
        base = self._base(ended.slot.number)
        return base, host_names(base, ended.attributes) if ended.meta else {}


def _compiled(
    data: Mapping[str, Any],
    template: Template,
    segments: Sequence[Segment],
    nonce: str,
    *,
    hard_release: bool,
) -> CompiledTemplate | CompiledBuild:
    exp_id, timeout = str(data["exp_id"]), data["timeout"]
    if "build" not in data:
        return CompiledTemplate(template, exp_id, nonce, timeout, hard_release=hard_release)
    runs: Runs = ExpandedRuns(segments)
    if is_location(data["build"]):
        from .build import BuiltRuns  # most campaigns have none, and need no experiment

        runs = BuiltRuns(data, template)
    return CompiledBuild(runs, exp_id, nonce, timeout, hard_release=hard_release)
