"""The hosts of the runs of a campaign, requested before the runs begin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ...controller.campaign.causes import Blame
from ...controller.campaign.quarantine import Quarantine
from ...controller.engine.campaign_records import (
    Begin,
    Placed,
    Placing,
    Refusal,
    Skip,
    Slot,
    Taken,
)
from ...controller.engine.campaigns import CampaignStore
from ..runtime import fault_injection
from ..runtime.context import Runtime
from .pools import ReadPools, wake

if TYPE_CHECKING:
    from ...controller.campaign.definition import Definition
    from ...controller.campaign.evaluation import Ended
    from ...controller.engine.campaign_records import Fold

log = logging.getLogger("nepiq.campaign")

#: Phases of runs that have left their hosts; None for one without records.
_OVER = (None, "RELEASED", "EXPIRED")


class Placer:
    """Requests the hosts of the next runs of a campaign, within one claim of its step.

    Args:
        runtime: of this worker.
        store: the campaign.
        definition: of the campaign.
        run_id: returns an id for a new run.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: CampaignStore,
        definition: Definition,
        run_id: Callable[[], str],
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._definition = definition
        self._run_id = run_id
        self._pools = ReadPools(runtime)

    def begins(self, placed: Sequence[Placed], enough: Sequence[bool]) -> list[Begin]:
        """Return the runs that have hosts, without those that need none by now, or others."""
        found = [
            self._definition.begin_placed(item, self._pools)
            for item, needless in zip(placed, enough, strict=True)
            if not needless
        ]
        return [begin for begin in found if begin is not None]

    def plan(
        self, slots: Sequence[Slot], enough: Sequence[bool]
    ) -> tuple[list[Placing], list[Refusal | Skip]]:
        """Return what to request hosts for, or else what needs none.

        Slots are taken in their order: those behind the first of the other kind come later.
        """
        avoid = self._store.avoided([slot.number for slot in slots])
        found = self._definition.requests(slots, avoid, self._pools)
        items: list[Placing | Refusal | Skip] = []
        for slot, needless, request in zip(slots, enough, found, strict=True):
            if needless:
                items.append(Skip(slot))
            elif isinstance(request, Refusal):
                items.append(request)
            else:
                items.append(Placing(self._run_id(), request[0], slot, request[1]))
        groups = [list(group) for _, group in groupby(items, lambda it: isinstance(it, Placing))]
        first = groups[0] if groups else []
        placing = [item for item in first if isinstance(item, Placing)]
        return placing, [item for item in first if not isinstance(item, Placing)]

    def place(
        self,
        taken: Taken,
        entered: Sequence[tuple[Ended, Fold]],
        begins: Sequence[Begin | Refusal | Skip],
        runs: Sequence[Placing],
    ) -> None:
        """Request hosts, and give up those that are not needed.

        The hosts are judged before, by the runs that have ended.

        Args:
            taken: the work of the step.
            entered: runs that have ended, and what was entered of them.
            begins: runs that have begun.
            runs: those to request hosts for.
        """
        self._judge(taken.token, entered)
        begun = {item.run_id for item in begins if isinstance(item, Begin)}
        withdrawn = [item.run_id for item in taken.placed if item.run_id not in begun]
        withdrawn += taken.withdrawn
        over = [
            (item.run_id, self._definition.request_of(item.slot.number))
            for item, _ in entered
            if item.meta.get("phase") in _OVER
        ]
        if not (over or withdrawn or runs):
            return
        fault_injection.point("placing", self._store.name)
        _, wakes = self._runtime.backend.pools.place(
            self._store.name, taken.token, over, withdrawn, runs
        )
        fault_injection.point("placed", self._store.name)
        wake(self._runtime, wakes)

    def _judge(self, token: str, entered: Sequence[tuple[Ended, Fold]]) -> None:
        """Judge the hosts by runs that have ended, and leave some of them alone for a while."""
        results = [it for ended, fold in entered for it in self._definition.results(ended, fold)]
        if not results:
            return
        data = self._store.quarantine() or {"size": 0, "hosts": {}, "points": {}}
        size = max(data["size"], self._definition.pool_size)
        quarantine, now = Quarantine.from_data(size, data), self._runtime.now()
        for host, point, outcome, blame in results:
            if host in quarantine.due(now) and blame is not Blame.WORKER:
                verdicts = quarantine.probed(host, ok=blame is not Blame.HOST, at=now)
            else:
                verdicts = quarantine.record(host, point, outcome, blame, now)
            for verdict in verdicts:
                subject = f"host {verdict.host}" if verdict.host else f"point {verdict.point}"
                log.warning("campaign %s: %s: %s", self._store.name, subject, verdict.kind.value)
        self._store.judge(token, {"size": size, **quarantine.to_data()}, quarantine.hosts)
