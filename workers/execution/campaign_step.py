"""The step of a campaign: rows for the runs that have ended, and new runs in their places."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

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
from ...controller.errors import NepiqError, UnknownRun
from ...controller.reports.failures import failures
from ..runtime import fault_injection
from ..runtime.context import Runtime
from . import rounds

if TYPE_CHECKING:
    from ...controller.campaign.definition import Definition, Ended
    from ...controller.experiment.controller import ExperimentController
    from .placing import Placer

log = logging.getLogger("nepiq.campaign")

MOST_DEFINITIONS = 16
"""Campaigns whose definitions a worker keeps."""

MOST_READERS = 8
"""Runs whose traces are read at the same time."""


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
    step = _Step(runtime, store)
    interval = runtime.backend.timing.renew

    def renew() -> float | None:
        return interval if store.renew(nonce) else None

    with runtime.lease_renewer.timer(interval, renew):
        while taken is not None:
            fault_injection.point("advancing", name)
            released = step.work(taken)
            if released is None:
                return f"{step}, then it was ended"
            taken = store.take(nonce, runtime.name, released)
    return str(step)


class _Step:
    """One claim of a campaign's step."""

    def __init__(self, runtime: Runtime, store: CampaignStore) -> None:
        self._runtime = runtime
        self._store = store
        self._folded = self._begun = 0
        self._moment = datetime.now(timezone.utc)

    def __str__(self) -> str:
        return f"{self._folded} ended, {self._begun} begun"

    def work(self, taken: Taken) -> Sequence[str] | None:
        """Do what was taken; return the runs that were released, or None to end the step here."""
        for run_id in taken.releases:
            with suppress(UnknownRun):  # the sweeper finds out
                self._runtime.run(run_id).release(key="cancel")
        try:
            definition = _definition(self._runtime, self._store, taken.state)
        except NepiqError as error:
            # Another worker may have the types that this one lacks.
            log.error("campaign %s: %s", self._store.name, error)  # noqa: TRY400 - expected
            return None
        ended = list(self._ended(definition, taken.over))
        self._note_hosts(definition, ended)
        folds = self._folds(definition, ended)
        placer = self._placer(definition) if taken.places else None
        placing: Sequence[Placing] = ()
        if placer is None:
            begins = self._begins(definition, taken.slots)
        else:
            enough = self._enough(definition, [item.slot for item in taken.placed])
            placed = placer.begins(taken.placed, enough)
            placing, others = placer.plan(taken.slots, self._enough(definition, taken.slots))
            begins = [*placed, *others]
        fault_injection.point("settling", self._store.name)
        try:
            statuses, replies = self._store.settle(taken.token, folds, begins)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
            # The sweeper sends the step again when the lease has run out.
            log.warning("campaign %s begins no run: Redis is full", self._store.name)
            return None
        fault_injection.point("settled", self._store.name)
        self._folded += len(statuses)
        self._begun += sum(reply.status == "OK" for reply in replies)
        started = [
            (item.run_id, reply)
            for item, reply in zip(begins, replies, strict=True)
            if reply.ok and isinstance(item, Begin)
        ]
        rounds.dispatch(self._runtime, definition.exp_id, started)
        lost = "STALE" in statuses or any(reply.status == "STALE" for reply in replies)
        if placer is not None and not lost:
            lost = not placer.place(taken, ended, begins, placing)
        return None if lost else taken.releases

    def _placer(self, definition: Definition) -> Placer:
        from .placing import Placer

        return Placer(self._runtime, self._store, definition, self._run_id)

    def _folds(self, definition: Definition, ended: Sequence[Ended]) -> list[Fold]:
        folds = _folds(definition, ended)
        if not definition.precisions or definition.needs_script:
            return folds
        known = self._store.samples([definition.point(item.slot.number) for item in ended])
        return [
            definition.sampled(fold, item.slot.number, known)
            for fold, item in zip(folds, ended, strict=True)
        ]

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
        from ...controller.campaign.definition import Ended

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
            yield Ended(run_id, slot, meta, attributes, failed, partial(self._experiment, run_id))

    @contextmanager
    def _experiment(self, run_id: str) -> Iterator[ExperimentController]:
        """The experiment of a run, for traces and functions."""
        from ...controller.experiment.controller import ExperimentController

        ec = ExperimentController.attach(run_id, settings=self._runtime.settings)
        try:
            yield ec
        finally:
            ec.close()


def _folds(definition: Definition, ended: Sequence[Ended]) -> list[Fold]:
    """Return what becomes of ended runs; those whose traces are read are looked at side by side."""
    if len(ended) < 2 or not definition.reads_traces:
        return [definition.fold(item) for item in ended]
    with ThreadPoolExecutor(MOST_READERS) as pool:
        return list(pool.map(definition.fold, ended))


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
