"""Functions of a script: metrics and stopping rules that only a process with the script can call.

Runs that have ended wait for them in Redis, with their records and the files on their hosts. One
process measures at a time. If it is killed, its claim runs out, and another one goes on.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..engine.campaign_history import START
from ..engine.campaign_records import Fold, Slot
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..errors import HostUnreachable, InvalidValue, NepiqError, UnknownRun
from . import samples
from .causes import cause_of
from .definition import Definition
from .evaluation import failure
from .row import CANCELLED, FINISHED, Row, Value
from .run_directories import RunDirectories

if TYPE_CHECKING:
    from ..experiment.connect import Access
    from ..experiment.controller import ExperimentController

MetricFunction = Callable[["ExperimentController"], Any]
StopFunction = Callable[[list[Row]], Any]

RENEWAL = 3.0
"""Seconds between two renewals of the claim while a function takes its time."""


@dataclass(frozen=True)
class Functions:
    """The functions of a script.

    Attributes:
        metrics: by name of the metric; each is called with the experiment of a run that has ended.
        stop: called with the rows of the finished runs of a point; True if it needs no further run.
    """

    metrics: Mapping[str, MetricFunction] = field(default_factory=dict)
    stop: StopFunction | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, Any] | None, stop: Any) -> Functions:
        """Return those of the metrics and the stopping rule of a campaign that are functions."""
        found = {name: item for name, item in (metrics or {}).items() if callable(item)}
        return cls(found, stop if callable(stop) else None)

    def __bool__(self) -> bool:
        return bool(self.metrics or self.stop)


class _Deleted(Exception):
    """Somebody deleted the records of a run that waits."""


class Measuring:
    """A process that measures the runs of a campaign.

    Args:
        access: connections to the engine.
        store: the campaign.
        functions: those of the script.
    """

    def __init__(self, access: Access, store: CampaignStore, functions: Functions) -> None:
        self._access = access
        self._store = store
        self._functions = functions
        self._nonce = secrets.token_hex(6)
        self._lock = threading.Lock()
        self._definition: Definition | None = None
        self._finished: dict[str, list[Row]] = {}
        self._after = START

    def work(self) -> None:
        """Measure the runs that wait, unless another process or thread does.

        Raises:
            InvalidValue: a function of the campaign is missing, or has returned no value.
            Exception: whatever a function raises. The run goes on waiting.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            while runs := self._claim():
                with self._renewed():
                    for run_id, slot, row in runs:
                        fold = self._fold(run_id, slot, Row.from_json(row))
                        directories = self._directories(slot, fold)
                        with contact():
                            if not self._store.measured(self._nonce, fold):
                                break  # this process stood still, and another one measures
                            directories.remove([run_id])
        except BaseException:
            with suppress(NepiqError), contact():  # else the claim runs out
                self._store.let_go(self._nonce)
            raise
        finally:
            self._lock.release()

    # -- inside -------------------------------------------------------------------------------

    def _claim(self) -> list[tuple[str, Slot, str]]:
        with contact():
            return self._store.measure(self._nonce) or []

    @contextmanager
    def _renewed(self) -> Iterator[None]:
        """Keep the claim while functions take their time."""
        done = threading.Event()

        def renew() -> None:
            # If Redis does not answer, entering the row reports it.
            with suppress(NepiqError), contact():
                while not done.wait(RENEWAL):
                    self._store.measure(self._nonce, 1)

        thread = threading.Thread(target=renew, name="nepiq-measuring", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _fold(self, run_id: str, slot: Slot, row: Row) -> Fold:
        """Return what becomes of a run."""
        definition = self._defined(slot)
        try:
            values = self._values(definition, run_id)
        except _Deleted:
            return Fold(run_id, "again", False, CANCELLED, "", "")
        except HostUnreachable as error:
            cause = cause_of(error)
            assert cause is not None  # noqa: S101 - an error has one
            return failure(row, cause)
        row = replace(row, metrics={**row.metrics, **values})
        fold = Fold(run_id, "row", False, FINISHED, row.error, row.to_json())
        if self._functions.stop is not None:
            return self._stopped(definition, fold, slot, row)
        if definition.precisions:
            with contact():
                known = self._store.samples([definition.point(slot.number)])
            return definition.sampled(fold, slot.number, known)
        return fold

    def _directories(self, slot: Slot, fold: Fold) -> RunDirectories:
        """Return the directories that are to be removed; they are found by records of the run."""
        definition = self._defined(slot)
        found = RunDirectories(self._access.backend, definition.name, definition.exp_id)
        if definition.clears_after(fold.outcome):
            with contact():
                found.find(fold.run_id, definition.hosts(slot.number))
        return found

    def _values(self, definition: Definition, run_id: str) -> dict[str, Value]:
        if not definition.scripts:
            return {}
        from ..experiment.controller import ExperimentController

        try:
            ec = ExperimentController.attach(run_id, settings=self._access.settings)
        except UnknownRun as error:
            raise _Deleted from error
        with closing(ec):
            return {
                name: _plain(name, run_id, self._functions.metrics[name](ec))
                for name in definition.scripts
            }

    def _stopped(self, definition: Definition, fold: Fold, slot: Slot, row: Row) -> Fold:
        """Return the end of a run with the decision of the script about its point."""
        stop = self._functions.stop
        rows = [*self._rows_of(row.point), row]
        enough = len(rows) >= definition.least and stop is not None and bool(stop(rows))
        return fold._replace(point=definition.point(slot.number), enough=enough)

    def _rows_of(self, point: str) -> list[Row]:
        """Return the rows of the finished runs of a point. Nobody else adds any meanwhile."""
        while True:
            with contact():
                entries = self._store.history(self._after)
            if not entries:
                return self._finished.get(point, [])
            self._after = entries[-1].id
            for row in (Row.from_json(entry.row) for entry in entries if entry.row):
                if row.outcome == FINISHED:
                    self._finished.setdefault(row.point, []).append(row)

    def _defined(self, slot: Slot) -> Definition:
        """Return the definition of the campaign, read again if spaces were added."""
        if self._definition is None or slot.number >= self._definition.total:
            with contact():
                self._definition = Definition.read(self._store)
            assert self._definition is not None  # noqa: S101 - a run of it waits
            self._require(self._definition)
        return self._definition

    def _require(self, definition: Definition) -> None:
        missing = [name for name in definition.scripts if name not in self._functions.metrics]
        if missing:
            raise InvalidValue(
                f"metric {missing[0]} is a function of the script, which is not given here",
                where=definition.name,
                hint="give all functions of the campaign",
            )
        if definition.asks and self._functions.stop is None:
            raise InvalidValue(
                f"stop is the function {definition.asks} of the script, which is not given here",
                where=definition.name,
            )


def _plain(name: str, run_id: str, value: Any) -> Value:
    try:
        return samples.plain(value)
    except ValueError as error:
        raise InvalidValue(
            f"metric {name} of run {run_id}: {error}", hint="return a number, text or None"
        ) from error
