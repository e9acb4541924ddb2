"""The evaluation of ended runs: the row of each, or another attempt, and samples of its point."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..engine.campaign_records import Fold, Refusal, Slot
from ..engine.store.forms import dumps
from ..errors import NepiqError, WaitTimeout, details
from .causes import Again, Cause, cause_of
from .collection import Collection
from .compiled import Base
from .metric_views import CollectedView, Figures, Recorded
from .metrics import Measured, View, evaluate
from .observables import Observables
from .placement import blamed, host_names
from .places import Place
from .row import CANCELLED, FAILED, FINISHED, Row
from .space import point_id

if TYPE_CHECKING:
    from ..engine.transfer.outputs import Outputs
    from ..reports.failures import Failure

NOTHING = Measured({}, {})

MOST_ATTEMPTS = 3
"""Runs for one repetition of a point, if each fails because of a host or a worker."""


@dataclass(frozen=True)
class Ended:
    """An ended run, as Redis has it.

    Attributes:
        run_id: its id.
        slot: its place in the order, and the attempt.
        meta: the record of the run; empty if it does not exist any more.
        attributes: stored attributes by guid, of those resources that
            :meth:`.Definition.wanted` names.
        failures: of a run that failed.
        outputs: returns what reads its outputs.
        experiment: opens the experiment of the run, for functions.
        collection: returns a collection of its files, by the guids of its resources.
        machine: name of the worker machine whose file store that is.
    """

    run_id: str
    slot: Slot
    meta: Mapping[str, Any]
    attributes: Mapping[int, Mapping[str, Any]]
    failures: Sequence[Failure]
    outputs: Callable[[], Outputs]
    experiment: Callable[[], AbstractContextManager[View]]
    collection: Callable[[Mapping[str, int]], Collection]
    machine: str

    @property
    def times(self) -> dict[str, float]:
        """Begin and end of the run, for its row."""
        meta = self.meta
        return {"began": float(meta["created"]), "ended": float(meta.get("over", meta["last"]))}


class Evaluation:
    """Evaluates the ended runs of a campaign.

    Args:
        campaign: name of the campaign.
        observables: what is read and kept of each run.
    """

    def __init__(self, campaign: str, observables: Observables) -> None:
        self._campaign = campaign
        self._observables = observables

    def fold(self, place: Place, base: Base, ended: Ended, *, collecting: bool = True) -> Fold:
        """Return what becomes of an ended run: its row, or another attempt.

        Args:
            place: that of the run.
            base: its description.
            ended: the run; its record exists.
            collecting: bring its files into the file store, if they are kept.

        Raises:
            FileMissing: the file store cannot be written, for example because the disk is full.
        """
        cause, measured = None, NOTHING
        outcome, error = FINISHED, ""
        collection = None
        if "over" not in ended.meta:
            outcome, error = CANCELLED, "another client released the run"
        elif ended.meta.get("cause"):
            outcome, cause = FAILED, _cause(ended)
        else:
            collection = self._collection(base, ended, outcome, collecting)
            try:
                measured = self._measured(base, ended, collection)
                error = str(measured)
            except NepiqError as unreachable:
                outcome, cause = FAILED, cause_of(unreachable)
        if cause is not None and _is_begun_again(cause, ended.slot.attempt):
            if collection is not None:
                collection.discard()
                collection = None
        elif collection is None and outcome != FINISHED:
            collection = self._collection(base, ended, outcome, collecting)
        row = self._row(
            place,
            ended.slot,
            ended.run_id,
            hosts=host_names(base, ended.attributes),
            files_on=ended.machine if collection is not None and collection.files else "",
            outcome=outcome,
            metrics=measured.values,
            error=error,
            **ended.times,
        )
        if cause is not None:
            hosts = blamed(base, ended.attributes, cause)
            return failure(row, cause)._replace(avoid=" ".join(hosts))
        waits = outcome == FINISHED and self._observables.needs_script
        verdict = "wait" if waits else "row"
        return Fold(ended.run_id, verdict, outcome != FINISHED, outcome, error, row.to_json())

    def sampled(self, fold: Fold, point: int, known: dict[int, Any]) -> Fold:
        """Return the end of a run with the samples of its point.

        Args:
            fold: the end of the run.
            point: the number of its point.
            known: samples so far by point, to which those of the run are added.
        """
        if fold.verdict != "row" or fold.outcome != FINISHED:
            return fold
        precisions = self._observables.precisions
        metrics = json.loads(fold.row).get("metrics") or {}
        samples = known.setdefault(point, {"runs": 0, "values": {}})
        samples["runs"] += 1
        for name in {precision.metric for precision in precisions}:
            if isinstance(metrics.get(name), (int, float)):
                samples["values"].setdefault(name, []).append(metrics[name])
        enough = samples["runs"] >= self._observables.least and all(
            precision.is_reached(samples["values"].get(precision.metric, ()))
            for precision in precisions
        )
        return fold._replace(point=point, samples=dumps(samples), enough=enough)

    def refused(self, place: Place, slot: Slot, error: Exception) -> Refusal:
        """Return the refusal of a slot whose run cannot be described."""
        told = details(error)
        cause = f"{told['type']}: {told['message']}"[:200]
        row = self._row(place, slot, "", outcome=FAILED, cause=cause, error=str(error))
        return Refusal(slot, cause, row.to_json())

    # -- inside -------------------------------------------------------------------------------

    def _row(self, place: Place, slot: Slot, run_id: str, **fields: Any) -> Row:
        return Row(
            self._campaign,
            point_id(place.point),
            dict(place.point),
            place.repetition,
            place.seed,
            run_id,
            attempts=slot.attempt,
            **fields,
        )

    def _collection(
        self, base: Base, ended: Ended, outcome: str, collecting: bool
    ) -> Collection | None:
        """Bring the files of a run into the store; None if they are not kept."""
        if not (collecting and self._observables.collects):
            return None
        collection = ended.collection(base.guids)
        if not collection.store.keeps(outcome):
            return None
        collection.bring(self._observables.collect)
        return collection

    def _measured(self, base: Base, ended: Ended, collection: Collection | None) -> Measured:
        metrics = self._observables.metrics
        if not metrics:
            return NOTHING
        if not self._observables.reads_traces:
            return evaluate(metrics, Figures(base.description, ended.attributes))
        with contextlib.ExitStack() as stack:
            view: View
            if self._observables.calls_functions:
                view = stack.enter_context(ended.experiment())
            else:
                view = Recorded(base.description, ended.attributes, ended.outputs())
            return evaluate(
                metrics, view if collection is None else CollectedView(view, collection)
            )


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


def _cause(ended: Ended) -> Cause | None:
    cause = json.loads(ended.meta["cause"])
    error = cause.get("error") or {}
    if not cause["guid"]:
        return cause_of(WaitTimeout(str(error.get("message", ""))))
    return cause_of(ended.failures)
