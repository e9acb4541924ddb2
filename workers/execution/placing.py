"""The hosts of the runs of a campaign, requested before the runs begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

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
    from ...controller.campaign.definition import Definition, Ended

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
        ended: Sequence[Ended],
        begins: Sequence[Begin | Refusal | Skip],
        runs: Sequence[Placing],
    ) -> bool:
        """Request hosts, and give up those that are not needed; False if the claim was lost.

        Args:
            taken: the work of the step.
            ended: runs that have been folded.
            begins: runs that have begun.
            runs: those to request hosts for.
        """
        begun = {item.run_id for item in begins if isinstance(item, Begin)}
        withdrawn = [item.run_id for item in taken.placed if item.run_id not in begun]
        withdrawn += taken.withdrawn
        over = [
            (item.run_id, self._definition.request_of(item.slot.number))
            for item in ended
            if item.meta.get("phase") in _OVER
        ]
        if not (over or withdrawn or runs):
            return True
        fault_injection.point("placing", self._store.name)
        status, wakes = self._runtime.backend.pools.place(
            self._store.name, taken.token, over, withdrawn, runs
        )
        fault_injection.point("placed", self._store.name)
        wake(self._runtime, wakes)
        return status != "STALE"
