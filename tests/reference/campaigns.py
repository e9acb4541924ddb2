"""A campaign as plain Python, as docs/engine.md describes it in "Campaigns"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.reference.pools import PoolModel, Request

from nepiq.controller.engine.campaign_records import Fold, Slot
from nepiq.controller.model.pools import Want

_ENDED = ("finished", "stopped", "cancelled")
MOST_PLACING = 16


@dataclass
class Work:
    """What a worker has claimed.

    Attributes:
        token: of the claim.
        phase: of the campaign.
        over: runs that have ended.
        releases: runs to release.
        slots: what to begin, or to request hosts for.
        placed: runs that have hosts.
        withdrawn: runs that shall get none.
    """

    token: int
    phase: str
    over: set[str]
    releases: set[str]
    slots: list[Slot]
    placed: dict[str, Slot] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)


@dataclass
class CampaignModel:
    """The records of a campaign. Leases end only when :meth:`lose` is called.

    Attributes:
        total, cursor, parallel, phase, status, token, holder: as in ``state``.
        max_failures, most: ``max_failures`` and ``most_failures``; None for no limit.
        active, over, releasing, again, failed: as the keys of these names.
        rows: slot and outcome of each row, in their order.
        ahead: how many runs may wait for a script beyond ``parallel``; None if none measures.
        waiting: runs that wait, in the order in which they ended.
        reader: nonce of the process that measures; empty for none.
        pool: the pool of the hosts that it requests before it begins a run; None if it does not.
        placing: runs that hosts are requested for.
        granted: those of them that have hosts.
        warm: when it last got each host.
        priority: of the requests that it makes.
    """

    total: int
    parallel: int
    most: int | None
    cursor: int = 0
    phase: str = "running"
    status: str = "due"
    token: int = 0
    holder: str = ""
    max_failures: int | None = None
    active: dict[str, Slot] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    releasing: set[str] = field(default_factory=set)
    again: list[Slot] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    rows: list[tuple[int, str]] = field(default_factory=list)
    ahead: int | None = None
    waiting: dict[str, Slot] = field(default_factory=dict)
    reader: str = ""
    pool: PoolModel | None = None
    placing: dict[str, Slot] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    warm: dict[str, int] = field(default_factory=dict)
    priority: int = 0

    def __post_init__(self) -> None:
        """Begin with the limit of failures that the user chose."""
        self.max_failures = self.most

    # -- the step -----------------------------------------------------------------------------

    def take(self, worker: str, released: Iterable[str] = ()) -> Work | None:
        """Claim the step, go on with it, or let go."""
        if self.status == "idle" or (self.status == "claimed" and self.holder != worker):
            return None
        self.releasing.update(released)
        if self.status != "claimed":
            self.token += 1
        work = Work(self.token, self.phase, set(self.over), set(), [])
        room = self._room(len(self.over))
        excess = max(0, -room) if self.phase == "running" else len(self.placing)
        work.withdrawn = sorted(self.placing, reverse=True)[:excess]
        if self.phase == "running":
            if not work.withdrawn:
                work.placed = {run: self.placing[run] for run in self.granted}
            free = max(0, min(room, self._places()))
            work.slots = self.again[:free]
            fresh = max(0, min(free - len(work.slots), self.total - self.cursor))
            work.slots += [Slot(self.cursor + n) for n in range(fresh)]
        elif self.phase == "cancelling":
            work.releases = self.active.keys() - self.over - self.releasing
            if not (work.releases or work.withdrawn):
                self.phase = "cancelled"
        if work.over or work.releases or work.slots or work.placed or work.withdrawn:
            self.status, self.holder, work.phase = "claimed", worker, self.phase
            return work
        self.status = "idle"
        under_way = self.active or self.placing or self.waiting
        if self.phase == "running" and not (under_way or self._left()):
            self.phase = "finished"
        return None

    def give_back(self, worker: str, phase: str, reason: str) -> None:
        """End a claim whose work was not done; the sweeper sends the step again."""
        if self.status != "claimed" or self.holder != worker:
            return
        self.status = "idle" if self.phase == phase else "due"
        if reason and self.phase == "running":
            self.phase = "paused"

    def begin(self, token: int, run: str, slot: Slot) -> str:
        """Begin a run; the status."""
        if self.active.get(run) == slot:
            return "OK"
        if token != self.token:
            return "STALE"
        if self.phase != "running":
            return "CLOSED"
        placed = slot.origin == "placed"
        room = self.parallel - len(self.active) if placed else self._room(0)
        if room <= 0:
            return "FULL"
        if not self._take_slot(slot, run):
            return "STALE"
        self.active[run] = slot
        return "OK"

    def place(
        self,
        token: int,
        ended: Iterable[str],
        withdrawn: Iterable[str],
        new: Mapping[str, tuple[Slot, Sequence[Want]]],
    ) -> str:
        """Request hosts for runs, and give up those of others; the status."""
        assert self.pool is not None
        if token != self.token:
            self.pool.place([f"{run}/1" for run in ended], {})
            return "STALE"
        gone = [run for run in withdrawn if run in self.placing]
        for run in gone:
            self.again.insert(0, self.placing.pop(run)._replace(origin="again"))
            self.granted.discard(run)
        requests = {}
        for run, (slot, wants) in new.items():
            if self.phase == "running" and self._room(0) > 0 and self._take_slot(slot):
                self.placing[run] = slot
                told = partial(self._grant, run)
                requests[f"{run}/1"] = Request(
                    run, wants, self.priority, granted=told, warm=self.warm
                )
        self.pool.place([f"{run}/1" for run in (*ended, *gone)], requests)
        return "OK"

    def fold(self, token: int, end: Fold) -> str:
        """Enter the end of a run; the status."""
        if end.run_id in self.waiting:
            return "KNOWN" if end.verdict == "wait" else "STALE"
        slot = self.active.get(end.run_id)
        if slot is None:
            self.over.discard(end.run_id)
            self.releasing.discard(end.run_id)
            return "KNOWN"
        if token != self.token:
            return "STALE"
        cancelled = end.run_id in self.releasing and end.outcome == "cancelled"
        if cancelled or end.verdict == "again":
            attempt = slot.attempt + (0 if cancelled else 1)
            self.again.append(Slot(slot.number, attempt, "again"))
        elif end.verdict == "wait":
            self.waiting[end.run_id] = slot
        else:
            self._enter_row(slot.number, end.outcome, end.cause)
        del self.active[end.run_id]
        self.over.discard(end.run_id)
        self.releasing.discard(end.run_id)
        return "OK"

    def measure(self, nonce: str) -> list[str] | None:
        """Claim the measurement, go on with it, or let go; the runs that wait."""
        if self.reader not in ("", nonce):
            return None
        self.reader = nonce if self.waiting else ""
        return list(self.waiting)

    def measured(self, nonce: str, end: Fold) -> bool:
        """Enter a run that was measured; whether the claim still held."""
        slot = self.waiting.get(end.run_id)
        if slot is None:
            return True
        if nonce != self.reader:
            return False
        del self.waiting[end.run_id]
        if end.verdict == "again":
            self.again.append(Slot(slot.number, slot.attempt + 1, "again"))
        else:
            self._enter_row(slot.number, end.outcome, end.cause)
        self._trigger()
        return True

    def lose(self) -> None:
        """Let the lease of the claim run out, and the sweeper find that."""
        if self.status == "claimed":
            self.status = "due"

    def sweep(self) -> None:
        """Find work that no worker has."""
        running = self.phase == "running"
        free = running and self._left() and self._room(0) > 0 and self._places() > 0
        placed = self.granted or (self.placing and not running)
        if self.status == "idle" and (free or placed or self.phase == "cancelling" or self.over):
            self.status = "due"

    # -- runs and verbs -----------------------------------------------------------------------

    def ended(self, run: str) -> None:
        """Enter the end of a run."""
        if run in self.active:
            self.over.add(run)
            self._trigger()

    def add(self, count: int) -> None:
        """Add slots."""
        self.total += count
        if self.phase == "finished":
            self.phase = "running"
        self._trigger()

    def change(self, verb: str, argument: str | int = "") -> int:
        """Carry out a verb; the number of runs that it concerns."""
        number = 0
        if verb == "pause" and self.phase == "running":
            self.phase = "paused"
        elif verb == "stop" and self.phase in ("running", "paused"):
            self.phase = "stopped"
        elif verb == "cancel" and self.phase != "cancelling":
            if self.phase not in _ENDED or self.active or self.placing or self.over:
                self.phase = "cancelling"
        elif verb == "resume" and self.phase not in ("running", "finished"):
            self.phase = "running"
            failures = self.outcomes().count("failed")
            if self.max_failures is not None and failures >= self.max_failures:
                self.max_failures = failures + (self.most or 0)
        elif verb == "set":
            self.parallel = int(argument)
        elif verb == "rank":
            self.priority = int(argument)
        elif verb == "retry":
            number = self._retry(str(argument))
        self._trigger()
        return number

    def outcomes(self) -> list[str]:
        """The outcomes of all rows."""
        return [outcome for _, outcome in self.rows]

    def slots(self) -> Sequence[int]:
        """The numbers of all slots that were begun, wherever they are now."""
        under_way = (*self.active.values(), *self.placing.values(), *self.waiting.values())
        held = [slot.number for slot in (*under_way, *self.again)]
        return sorted([*held, *(number for number, _ in self.rows)])

    # -- inside -------------------------------------------------------------------------------

    def _room(self, over: int) -> int:
        free = self.parallel - len(self.active) - len(self.placing)
        if self.ahead is None:
            return free + over
        return min(free + over, free + self.ahead - len(self.waiting))

    def _places(self) -> int:
        return MOST_PLACING - len(self.placing) if self.pool is not None else self.total

    def _take_slot(self, slot: Slot, run: str = "") -> bool:
        if slot.origin == "placed":
            self.granted.discard(run)
            return self.placing.pop(run, None) is not None
        if slot.origin == "again":
            if slot not in self.again:
                return False
            self.again.remove(slot)
            return True
        if slot.number != self.cursor:
            return False
        self.cursor += 1
        return True

    def _grant(self, run: str) -> None:
        self.granted.add(run)
        self._trigger()

    def _left(self) -> int:
        return len(self.again) + self.total - self.cursor

    def _trigger(self) -> None:
        if self.status == "idle":
            self.status = "due"

    def _enter_row(self, number: int, outcome: str, cause: str) -> None:
        self.rows.append((number, outcome))
        if outcome == "finished":
            return
        self.failed[number] = cause
        failures, most = self.outcomes().count("failed"), self.max_failures
        running = outcome == "failed" and self.phase == "running"
        if running and most is not None and failures >= most:
            self.phase = "paused"

    def _retry(self, cause: str) -> int:
        chosen = [number for number, text in self.failed.items() if cause in ("", text)]
        for number in chosen:
            del self.failed[number]
            self.rows = [row for row in self.rows if row[0] != number]
            self.again.append(Slot(number, 1, "again"))
        if chosen and self.phase == "finished":
            self.phase = "running"
        return len(chosen)
