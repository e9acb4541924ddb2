"""The definition of a campaign: how a place in its order becomes a run, and an ended run a row.

Workers read it from Redis once and keep it. Nothing in it grows with the number of runs.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engine.campaign_records import Begin, Fold, Placed, Refusal, Slot
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..engine.store.forms import dumps
from ..engine.store.scripts import Argument
from ..errors import (
    CampaignError,
    ClassNotImportable,
    HostError,
    InfrastructureError,
    NepiqError,
    WaitTimeout,
    details,
)
from ..model import Pools, Want, registry
from ..model.locations import is_location
from .causes import Again, Cause, cause_of
from .collection import Collection
from .compiled import Base, CompiledTemplate
from .compiled_build import CompiledBuild, Runs
from .expansion import ExpandedRuns
from .file_store import Keep
from .host_facts import HostFacts, HostRecorder
from .metric_views import CollectedView, Figures
from .metrics import Measured, View, evaluate, parse_all
from .placement import HostResult, blamed, host_names, host_results, requested
from .plan import CampaignPlan
from .precision import Precision
from .row import CANCELLED, FAILED, FINISHED, Row
from .segment import Segment
from .space import point_id, run_seed
from .template import Template

if TYPE_CHECKING:
    from ..description.description import Description
    from ..reports.failures import Failure

NOTHING = Measured({}, {})

MOST_ATTEMPTS = 3
"""Runs for one repetition of a point, if each fails because of a host or a worker."""


class Place(NamedTuple):
    """A run of a campaign, before it is begun.

    Attributes:
        point: values of its parameters.
        repetition: counted from 1.
        seed: of its random numbers.
    """

    point: Mapping[str, Any]
    repetition: int
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        """The names that a template may use, with their values."""
        return {**self.point, "seed": self.seed, "repetition": self.repetition}


@dataclass(frozen=True)
class Ended:
    """An ended run, as Redis has it.

    Attributes:
        run_id: its id.
        slot: its place in the order, and the attempt.
        meta: the record of the run; empty if it does not exist any more.
        attributes: stored attributes by guid, of those resources that :meth:`Definition.wanted`
            names.
        failures: of a run that failed.
        experiment: opens the experiment of the run, for what is not in Redis.
        collection: returns a collection of its files, by the guids of its resources.
        machine: name of the worker machine whose file store that is.
    """

    run_id: str
    slot: Slot
    meta: Mapping[str, Any]
    attributes: Mapping[int, Mapping[str, Any]]
    failures: Sequence[Failure]
    experiment: Callable[[], AbstractContextManager[View]]
    collection: Callable[[Mapping[str, int]], Collection]
    machine: str

    @property
    def times(self) -> dict[str, float]:
        """Begin and end of the run, for its row."""
        meta = self.meta
        return {"began": float(meta["created"]), "ended": float(meta.get("over", meta["last"]))}


class Definition:
    """A campaign as workers carry it out.

    Args:
        name: of the campaign.
        data: what :meth:`data` returned.
        segments: the spaces, as JSON values.

    Attributes:
        name: of the campaign.
        exp_id: name of its experiment.
        metrics: the metrics that workers read, by name.
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
        metrics = parse_all(data["metrics"])
        self.scripts = [name for name, metric in metrics.items() if metric.script]
        self.metrics = {name: item for name, item in metrics.items() if not item.script}
        self.reads_traces = not all(metric.figure for metric in self.metrics.values())
        self.asks = str(data.get("asks", ""))
        self._collect: Mapping[str, Sequence[str]] = data.get("collect", {})
        self.keep: Keep = data.get("keep", "all")
        self._directories = data.get("directories", "none")
        self.collects = bool(self._collect) and self.keep != "none"
        is_read = self.reads_traces or self.collects or self.needs_script
        self._clears = self._directories == "failed" or (self._directories == "none" and is_read)
        self.segments = [Segment(segment) for segment in segments]
        self._seed = int(data["seed"])
        self._independent = data["seeds"] == "independent"
        parameters = [name for segment in self.segments for name in segment.space.parameters]
        self._template = _compiled(
            data,
            Template(data["template"], parameters),
            self.segments,
            name,
            hard_release=self._directories == "none" and not is_read,
        )
        self._build = str(data.get("build", ""))
        self.precisions = [Precision.of_document(item) for item in data["stop"]]
        self.least = int(data["least"])
        self.pool_size = 0
        #: Errors of runs that could not begin with the hosts that they had, by slot.
        self._unfit: dict[int, Exception] = {}
        self._recorder = HostRecorder()
        self._ends = list(itertools.accumulate(map(len, self.segments)))
        counts = (0 if item.of is not None else len(item.space) for item in self.segments)
        self._points = list(itertools.accumulate(counts))

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
        return bool(self.scripts or self.asks)

    @property
    def stops(self) -> bool:
        """True if a point may need fewer runs than it may have."""
        return bool(self.precisions or self.asks)

    @property
    def total(self) -> int:
        """Number of runs."""
        return self._ends[-1] if self._ends else 0

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
        number, index, repetition = self._find(slot)
        point = self.segments[number].space[index]
        of_point = point_id(point) if self._independent else None
        return Place(point, repetition + 1, run_seed(self._seed, repetition, of_point))

    def point(self, slot: int) -> int:
        """Return the number of the point of a slot, among those of all spaces."""
        number, index, _ = self._find(slot)
        repeated = self.segments[number].of
        if repeated is not None:
            number = repeated
        return (self._points[number - 1] if number else 0) + index

    def _find(self, slot: int) -> tuple[int, int, int]:
        """Return the space of a slot, and the point and the repetition in it, all from 0."""
        number = bisect.bisect_right(self._ends, slot)
        first = self._ends[number - 1] if number else 0
        return number, *self.segments[number][slot - first]

    def arguments(self, slot: int) -> Sequence[Argument]:
        """Return the arguments of the run at a place.

        Raises:
            NepiqError: it cannot be described.
        """
        return self._template.arguments(self.place(slot).values)

    def places(self, slot: int) -> bool:
        """Return whether the hosts of the run at a place are requested before it begins."""
        return self._template.base(self.place(slot).values).requesting is not None

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
                found.append(self._refusal(place, slot, error))
        return found

    def description(self, slot: int) -> Description:
        """Return the description of the run at a place.

        Raises:
            NepiqError: it cannot be described.
        """
        return self._template.base(self.place(slot).values).description

    def begin(self, run_id: str, slot: Slot) -> Begin | Refusal:
        """Return the run for a slot; a refusal if it cannot be described."""
        place = self.place(slot.number)
        try:
            return Begin(run_id, slot, self._template.arguments(place.values))
        except Exception as error:  # noqa: BLE001 - a class may raise anything
            return self._refusal(place, slot, error)

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
        labels = {metric.label for metric in self.metrics.values() if metric.figure}
        if not labels and self._template.finds_hosts is False:
            return ()
        base = self._template.base(self.place(slot).values)
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
        base = self._template.base(self.place(slot).values)
        return sorted(guid for guid, _ in base.hosts.values())

    def clears_after(self, outcome: str) -> bool:
        """Return whether the directories of a run are removed from hosts when it has its row."""
        return self._clears and not (self._directories == "failed" and outcome == FAILED)

    def check_files(self, slot: int) -> None:
        """Check that the run at a place can have the files that are to be collected.

        Raises:
            CampaignError: a resource leaves no files.
        """
        base = self._template.base(self.place(slot).values)
        for label in self._collect:
            host = base.description.host_of(label)
            if host is None:
                raise CampaignError(
                    "there are no files to collect, since it does not run on a host", where=label
                )
            for guid in {base.guids[label], host}:
                if base.description.get(guid, "hardRelease") is True:
                    raise CampaignError(
                        f"hardRelease of {base.description.label(guid)} removes its files before "
                        "they are collected",
                        where=label,
                        hint="leave it out: a campaign removes the directories of its runs",
                    )

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
        place, cause, measured = self.place(ended.slot.number), None, NOTHING
        outcome, error = FINISHED, ""
        collection = None
        if "over" not in ended.meta:
            outcome, error = CANCELLED, "another client released the run"
        elif ended.meta.get("cause"):
            outcome, cause = FAILED, self._cause(ended)
        else:
            collection = self._collection(place, ended, outcome, collecting)
            try:
                measured = self._measured(place, ended, collection)
                error = str(measured)
            except NepiqError as unreachable:
                outcome, cause = FAILED, cause_of(unreachable)
        if cause is not None and _is_begun_again(cause, ended.slot.attempt):
            if collection is not None:
                collection.discard()
                collection = None
        elif collection is None and outcome != FINISHED:
            collection = self._collection(place, ended, outcome, collecting)
        row = self._row(
            place,
            ended.slot,
            ended.run_id,
            hosts=host_names(self._template.base(place.values), ended.attributes),
            files_on=ended.machine if collection is not None and collection.files else "",
            outcome=outcome,
            metrics=measured.values,
            error=error,
            **ended.times,
        )
        if cause is not None:
            hosts = blamed(self._template.base(place.values), ended.attributes, cause)
            return failure(row, cause)._replace(avoid=" ".join(hosts))
        verdict = "wait" if outcome == FINISHED and self.needs_script else "row"
        return Fold(ended.run_id, verdict, outcome != FINISHED, outcome, error, row.to_json())

    def sampled(self, fold: Fold, slot: int, known: dict[int, Any]) -> Fold:
        """Return the end of a run with the samples of its point.

        Args:
            fold: the end of the run.
            slot: the place of the run in the order.
            known: samples so far by point, to which those of the run are added.
        """
        if fold.verdict != "row" or fold.outcome != FINISHED:
            return fold
        metrics = json.loads(fold.row).get("metrics") or {}
        point = self.point(slot)
        samples = known.setdefault(point, {"runs": 0, "values": {}})
        samples["runs"] += 1
        for name in {precision.metric for precision in self.precisions}:
            if isinstance(metrics.get(name), (int, float)):
                samples["values"].setdefault(name, []).append(metrics[name])
        enough = samples["runs"] >= self.least and all(
            precision.is_reached(samples["values"].get(precision.metric, ()))
            for precision in self.precisions
        )
        return fold._replace(point=point, samples=dumps(samples), enough=enough)

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
        part = self._template.base(self.place(slot).values).requesting
        return 0 if part is None else part.spec.guid

    # -- inside -------------------------------------------------------------------------------

    def _refusal(self, place: Place, slot: Slot, error: Exception) -> Refusal:
        told = details(error)
        cause = f"{told['type']}: {told['message']}"[:200]
        row = self._row(place, slot, "", outcome=FAILED, cause=cause, error=str(error))
        return Refusal(slot, cause, row.to_json())

    def _row(self, place: Place, slot: Slot, run_id: str, **fields: Any) -> Row:
        return Row(
            self.name,
            point_id(place.point),
            dict(place.point),
            place.repetition,
            place.seed,
            run_id,
            attempts=slot.attempt,
            **fields,
        )

    def _base_and_hosts(self, ended: Ended) -> tuple[Base, Mapping[str, str]]:
        base = self._template.base(self.place(ended.slot.number).values)
        return base, host_names(base, ended.attributes) if ended.meta else {}

    def _cause(self, ended: Ended) -> Cause | None:
        cause = json.loads(ended.meta["cause"])
        error = cause.get("error") or {}
        if not cause["guid"]:
            return cause_of(WaitTimeout(str(error.get("message", ""))))
        return cause_of(ended.failures)

    def _collection(
        self, place: Place, ended: Ended, outcome: str, collecting: bool
    ) -> Collection | None:
        """Bring the files of a run into the store; None if they are not kept."""
        if not (collecting and self.collects):
            return None
        collection = ended.collection(self._template.base(place.values).guids)
        if not collection.store.keeps(outcome):
            return None
        collection.bring(self._collect)
        return collection

    def _measured(self, place: Place, ended: Ended, collection: Collection | None) -> Measured:
        if not self.metrics:
            return NOTHING
        if not self.reads_traces:
            base = self._template.base(place.values)
            return evaluate(self.metrics, Figures(base.description, ended.attributes))
        with ended.experiment() as ec:
            view = ec if collection is None else CollectedView(ec, collection)
            return evaluate(self.metrics, view)


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


def failure(row: Row, cause: Cause) -> Fold:
    """Return what becomes of a run that failed, or whose results could not be read.

    Args:
        row: its row so far.
        cause: why.
    """
    again = _is_begun_again(cause, row.attempts)
    row = replace(row, outcome=FAILED, cause=str(cause), error=cause.example, metrics={})
    return Fold(row.run_id, "again" if again else "row", True, FAILED, str(cause), row.to_json())


def _is_begun_again(cause: Cause, attempt: int) -> bool:
    return cause.again is Again.FREE and attempt < MOST_ATTEMPTS
