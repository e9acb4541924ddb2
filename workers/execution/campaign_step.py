"""The step of a campaign: rows for the runs that have ended, and new runs in their places."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ...controller.campaign.run_directories import RunDirectories
from ...controller.engine import redis_memory
from ...controller.engine.campaign_records import (
    Begin,
    Fold,
    Placing,
    Refusal,
    Skip,
    Slot,
    Taken,
)
from ...controller.engine.campaigns import CampaignStore
from ...controller.engine.store import keys
from ...controller.errors import ClassNotImportable, FileMissing, NepiqError, UnknownRun
from ...controller.reports.failures import failures
from ..runtime import fault_injection
from ..runtime.context import Runtime
from . import rounds

if TYPE_CHECKING:
    from ...controller.campaign.collection import Collection
    from ...controller.campaign.definition import Definition
    from ...controller.campaign.evaluation import Ended
    from ...controller.engine.store.calls import Reply
    from ...controller.engine.transfer.outputs import Outputs
    from ...controller.experiment.controller import ExperimentController
    from .placing import Placer

log = logging.getLogger("nepiq.campaign")

# A campaign in these phases comes to its end also without the files of its runs.
_CANCELLED = ("cancelling", "cancelled")

MOST_DEFINITIONS = 16
"""Campaigns whose definitions a worker keeps."""

MOST_READERS = 8
"""Runs whose files are read at the same time."""

LOOK = 1.0
"""Seconds after which a worker that reads files of runs looks for further work."""


def advance(runtime: Runtime, name: str) -> str:
    """Carry out the step of a campaign, unless another worker does.

    Args:
        runtime: of this worker.
        name: of the campaign.

    Returns:
        A summary, for people.
    """
    store = runtime.backend.campaign(name)
    nonce = secrets.token_hex(6)
    taken = store.take(nonce, runtime.name)
    if taken is None:
        return "nothing to do"
    phase = taken.state["phase"]
    interval = runtime.backend.timing.renew

    def renew() -> float:
        store.renew(nonce)  # a claim that was lost may be taken once more
        return interval

    try:
        with runtime.lease_renewer.timer(interval, renew), _Step(runtime, store) as step:
            while taken is not None:
                phase = taken.state["phase"]
                fault_injection.point("advancing", name)
                taken = store.take(nonce, runtime.name, step.work(taken))
            return str(step)
    except _Undone as undone:
        what = "is paused" if undone.reason else "is given back"
        log.error("campaign %s %s: %s", name, what, undone)  # noqa: TRY400 - expected
        store.give_back(nonce, phase, undone.reason, held=undone.held)
        return f"given back: {undone}"
    except BaseException:
        with suppress(Exception):  # if Redis cannot be reached, the lease runs out
            store.give_back(nonce, phase)
        raise


class _Undone(Exception):
    """The work of the step cannot be done here and now.

    Args:
        message: why.
        pauses: the campaign pauses for this reason.
        held: ended runs have no row until it is gone.
    """

    def __init__(self, message: str, *, pauses: bool = False, held: bool = False) -> None:
        super().__init__(message)
        self.reason = message if pauses else ""
        self.held = held


class _Step:
    """One claim of a campaign's step."""

    def __init__(self, runtime: Runtime, store: CampaignStore) -> None:
        self._runtime = runtime
        self._store = store
        self._folded_count = self._begun = 0
        self._moment = datetime.now(timezone.utc)
        self._readers = ThreadPoolExecutor(MOST_READERS, "nepiq-files")
        #: Ended runs whose files are read at this moment.
        self._reading: dict[Future[Fold], Ended] = {}

    def __enter__(self) -> _Step:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)

    def __str__(self) -> str:
        return f"{self._folded_count} ended, {self._begun} begun"

    def work(self, taken: Taken) -> Sequence[str]:
        """Do what was taken; return the runs that were released.

        If the claim was lost, Redis refuses the work, and the next ``take`` as well.

        Raises:
            _Undone: the work cannot be done.
        """
        self._release(taken.releases)
        definition = self._defined(taken)
        reading = {item.run_id for item in self._reading.values()}
        over = [run_id for run_id in taken.over if run_id not in reading]
        slots, phase = taken.slots, taken.state["phase"]
        if definition.collects and phase not in _CANCELLED and (over or slots):
            from .campaign_files import obstacle

            if reason := obstacle(self._runtime, self._store.name):
                if not reading:
                    raise _Undone(reason, pauses=True, held=bool(over))
                over, slots = [], []
        # Those whose files are read still have their places.
        free = len(slots) - len(taken.over)
        ended = list(self._ended(definition, over))
        self._note_hosts(definition, ended)
        try:
            done = self._folded(definition, ended, phase, patient=free <= 0 and not taken.placed)
        except FileMissing as error:
            # Without a row, the sweeper sends the step again, and the files are read again.
            reason = f"worker machine {self._runtime.machine}: {error}"
            raise _Undone(reason, pauses=True, held=True) from error
        begins, placing = self._next(definition, taken, slots[: max(0, free + len(done))])
        directories = self._directories(definition, done)
        fault_injection.point("settling", self._store.name)
        try:
            folds = self._sampled(definition, done)
            statuses, replies = self._store.settle(taken.token, folds, begins)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
            raise _Undone("it begins no run: Redis is full") from error
        fault_injection.point("settled", self._store.name)
        self._folded_count += len(statuses)
        self._dispatch(definition, begins, replies)
        directories.remove(
            fold.run_id for fold, status in zip(folds, statuses, strict=True) if status != "STALE"
        )
        if taken.places:
            entered = [pair for pair, status in zip(done, statuses, strict=True) if status == "OK"]
            self._placer(definition).place(taken, entered, begins, placing)
        return taken.releases

    def _defined(self, taken: Taken) -> Definition:
        """Return the definition of the campaign.

        Raises:
            _Undone: this worker cannot carry it out.
        """
        try:
            definition = _definition(self._runtime, self._store, taken.state)
        except NepiqError as error:
            # Another worker may have the types that this one lacks.
            raise _Undone(str(error)) from error
        try:
            definition.load(self._runtime.settings.imports)
        except ClassNotImportable as error:
            reason = f"worker machine {self._runtime.machine}: {error}"
            raise _Undone(reason, pauses=True, held=bool(taken.over)) from error
        return definition

    def _release(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            with suppress(UnknownRun):  # the sweeper finds out
                self._runtime.run(run_id).release(key="cancel")

    def _next(
        self, definition: Definition, taken: Taken, slots: Sequence[Slot]
    ) -> tuple[Sequence[Begin | Refusal | Skip], Sequence[Placing]]:
        """Return what to begin, and what to request hosts for.

        Args:
            definition: of the campaign.
            taken: the work of the step.
            slots: those of its slots for which there is room.
        """
        if not taken.places:
            return self._begins(definition, slots), []
        placer = self._placer(definition)
        enough = self._enough(definition, [item.slot for item in taken.placed])
        placed = placer.begins(taken.placed, enough)
        placing, others = placer.plan(slots, self._enough(definition, slots))
        return [*placed, *others], placing

    def _placer(self, definition: Definition) -> Placer:
        from .placing import Placer

        return Placer(self._runtime, self._store, definition, self._run_id)

    def _dispatch(
        self,
        definition: Definition,
        begins: Sequence[Begin | Refusal | Skip],
        replies: Sequence[Reply],
    ) -> None:
        """Send the steps of the runs that have begun."""
        self._begun += sum(reply.status == "OK" for reply in replies)
        started = [
            (item.run_id, reply)
            for item, reply in zip(begins, replies, strict=True)
            if reply.ok and isinstance(item, Begin)
        ]
        rounds.dispatch(self._runtime, definition.exp_id, started)

    def _folded(
        self, definition: Definition, ended: Sequence[Ended], phase: str, *, patient: bool
    ) -> list[tuple[Ended, Fold]]:
        """Return ended runs, and what becomes of them; those whose files are read come later.

        Args:
            definition: of the campaign.
            ended: runs that have ended.
            phase: of the campaign.
            patient: wait for one of those whose files are read.

        Raises:
            FileMissing: the file store cannot be written.
        """
        if not (definition.collects or definition.reads_traces):
            return [(item, definition.fold(item)) for item in ended]
        for item in ended:
            future = self._readers.submit(_fold, definition, item, phase)
            self._reading[future] = item
        ready = wait(self._reading, LOOK if patient else 0.0, FIRST_COMPLETED).done
        return [(self._reading.pop(future), future.result()) for future in ready]

    def _directories(
        self, definition: Definition, done: Sequence[tuple[Ended, Fold]]
    ) -> RunDirectories:
        """Return the directories that are to be removed; they are found by records of the runs."""
        found = RunDirectories(self._runtime.backend, self._store.name, definition.exp_id)
        for item, fold in done:
            if fold.verdict != "wait" and definition.clears_after(fold.outcome):
                found.find(item.run_id, definition.hosts(item.slot.number))
        return found

    def _sampled(self, definition: Definition, done: Sequence[tuple[Ended, Fold]]) -> list[Fold]:
        """Return the ends of runs with the samples of their points."""
        if not definition.precisions or definition.needs_script:
            return [fold for _, fold in done]
        known = self._store.samples([definition.point(item.slot.number) for item, _ in done])
        return [definition.sampled(fold, item.slot.number, known) for item, fold in done]

    def _note_hosts(self, definition: Definition, ended: Sequence[Ended]) -> None:
        """Record the facts of hosts that this worker has not recorded, before their runs go."""
        now = time.time()
        wanted = {item.run_id: definition.facts_wanted(item, now) for item in ended}
        redis: Any = self._runtime.redis
        with redis.pipeline(transaction=False) as pipe:
            for run_id, guids in wanted.items():
                for guid in guids:
                    pipe.hgetall(keys.RunKeys(run_id).of("attr", guid))
            values = iter(pipe.execute())
        records: dict[str, Any] = {}
        for item in ended:
            attributes = {guid: _attributes(next(values)) for guid in wanted[item.run_id]}
            facts = definition.host_facts(item, attributes, now)
            records.update({host.key: vars(host) for host in facts})
        if records:
            self._store.note_hosts(records)

    def _begins(
        self, definition: Definition, slots: Sequence[Slot]
    ) -> list[Begin | Refusal | Skip]:
        return [
            Skip(slot) if needless else definition.begin(self._run_id(), slot)
            for slot, needless in zip(slots, self._enough(definition, slots), strict=True)
        ]

    def _enough(self, definition: Definition, slots: Sequence[Slot]) -> list[bool]:
        """Return for each slot whether its point needs no further run."""
        if not definition.stops:
            return [False] * len(slots)
        return self._store.enough([definition.point(slot.number) for slot in slots])

    def _run_id(self) -> str:
        """Return an id for a new run, the time as in all others."""
        self._moment = max(self._moment + timedelta(microseconds=1), datetime.now(timezone.utc))
        return self._moment.strftime("%Y%m%d%H%M%S%f")

    def _ended(self, definition: Definition, run_ids: Sequence[str]) -> Iterator[Ended]:
        from ...controller.campaign.evaluation import Ended

        redis: Any = self._runtime.redis
        entries = self._store.entries(run_ids)
        wanted = {run: definition.wanted(slot.number) for run, slot in entries.items()}
        with redis.pipeline(transaction=False) as pipe:
            for run_id in entries:
                pipe.get(keys.RunKeys(run_id).of("meta"))
                for guid in wanted[run_id]:
                    pipe.hgetall(keys.RunKeys(run_id).of("attr", guid))
            values = iter(pipe.execute())
        for run_id, slot in entries.items():
            meta = json.loads(next(values) or b"{}")
            attributes = {guid: _attributes(next(values)) for guid in wanted[run_id]}
            failed = failures(self._runtime.run(run_id).store.records()) if "cause" in meta else []
            yield Ended(
                run_id,
                slot,
                meta,
                attributes,
                failed,
                partial(_outputs, self._runtime, run_id),
                partial(self._experiment, run_id),
                partial(_collection, self._runtime, definition, run_id),
                self._runtime.machine,
            )

    @contextmanager
    def _experiment(self, run_id: str) -> Iterator[ExperimentController]:
        """The experiment of a run, for functions."""
        from ...controller.experiment.controller import ExperimentController

        ec = ExperimentController.attach(run_id, settings=self._runtime.settings)
        try:
            yield ec
        finally:
            ec.close()


def _fold(definition: Definition, ended: Ended, phase: str) -> Fold:
    """Return what becomes of an ended run.

    Raises:
        FileMissing: the file store cannot be written. Not in a campaign that is cancelled, which
            would not come to its end.
    """
    try:
        return definition.fold(ended)
    except FileMissing as error:
        if phase not in _CANCELLED:
            raise
        log.warning("files of run %s are not collected: %s", ended.run_id, error)
        return definition.fold(ended, collecting=False)


def _collection(
    runtime: Runtime, definition: Definition, run_id: str, guids: Mapping[str, int]
) -> Collection:
    from .campaign_files import collection

    return collection(runtime, definition, run_id, guids)


def _outputs(runtime: Runtime, run_id: str) -> Outputs:
    from ...controller.engine.transfer.outputs import Outputs
    from .own_hosts import OwnHosts

    return Outputs(runtime.run(run_id), OwnHosts(runtime))


def _attributes(raw: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {
        name.decode(): json.loads(value) for name, value in raw.items() if not name.startswith(b"=")
    }


def _definition(runtime: Runtime, store: CampaignStore, state: Mapping[str, str]) -> Definition:
    """Return the definition of a campaign, read again if spaces were added."""
    from ...controller.campaign.definition import Definition

    version = (state["created"], state["segments"])
    known = runtime.campaigns.get(store.name)
    if known is None or known[0] != version:
        made = Definition.read(store)
        assert made is not None  # noqa: S101 - its step was claimed
        if len(runtime.campaigns) >= MOST_DEFINITIONS:
            runtime.campaigns.clear()
        known = runtime.campaigns[store.name] = (version, made)
    definition: Definition = known[1]
    return definition
