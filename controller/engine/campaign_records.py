"""A campaign as it is read from Redis, and what its workers write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..model.pools import HostLease, Want
from .store.scripts import Argument


class Slot(NamedTuple):
    """One repetition of one point: its place in the order of the campaign.

    Attributes:
        number: the place, from 0.
        attempt: which run this is to be for it, from 1.
        origin: ``again`` for one that was begun before, ``next`` for the next one of the order,
            ``placed`` for one whose run has hosts; empty for one that is under way.
    """

    number: int
    attempt: int = 1
    origin: str = "next"


class Placed(NamedTuple):
    """A run that has its hosts and has not begun.

    Attributes:
        run_id: its id.
        slot: what it is for.
        leases: the lease of each resource by guid.
    """

    run_id: str
    slot: Slot
    leases: Mapping[int, HostLease]


class Taken(NamedTuple):
    """The work of a campaign's step, as a worker claimed it.

    Attributes:
        token: of the claim.
        state: the campaign's state.
        over: ids of runs that have ended and have no row yet.
        releases: ids of runs to release, since the campaign was cancelled.
        slots: what to begin, or to request hosts for if the campaign places its runs.
        placed: runs to begin, whose hosts were granted.
        withdrawn: runs that shall get no hosts, since the campaign begins no run now.
    """

    token: str
    state: Mapping[str, str]
    over: Sequence[str]
    releases: Sequence[str]
    slots: Sequence[Slot]
    placed: Sequence[Placed] = ()
    withdrawn: Sequence[str] = ()

    @property
    def places(self) -> bool:
        """True if the campaign requests the hosts of its runs before it begins them."""
        return "places" in self.state


class Placing(NamedTuple):
    """A run that hosts are requested for.

    Attributes:
        run_id: its id.
        guid: the resource on behalf of which they are requested.
        slot: what it is for.
        wants: the hosts that its resources can use.
    """

    run_id: str
    guid: int
    slot: Slot
    wants: Sequence[Want]


class Begin(NamedTuple):
    """A run to begin.

    Attributes:
        run_id: its id.
        slot: what it is for.
        arguments: the compiled description: name of the experiment, time limit, number of
            resources whose end is awaited, guids, resources.
    """

    run_id: str
    slot: Slot
    arguments: Sequence[Argument]


class Refusal(NamedTuple):
    """A slot for which no run can be described.

    Attributes:
        slot: the slot.
        cause: the error.
        row: the row as JSON.
    """

    slot: Slot
    cause: str
    row: str


class Skip(NamedTuple):
    """A slot that needs no run, since its point needs no further one.

    Attributes:
        slot: the slot.
    """

    slot: Slot


class Fold(NamedTuple):
    """An ended run, and what becomes of its slot.

    Attributes:
        run_id: its id.
        verdict: ``row``, ``again`` for another attempt, or ``wait`` for a script that measures it.
        keep: keep its records for the retention.
        outcome: of its row: ``finished``, ``failed`` or ``cancelled``.
        cause: of a failure, the text that is the same for all runs that fail in this way.
        row: the row as JSON.
        point: number of its point among all of the campaign, if its samples decide about more runs.
        samples: all samples of the point so far, as JSON.
        enough: the point needs no further run.
        avoid: keys of the hosts on which the next attempt is not to be, space-separated.
    """

    run_id: str
    verdict: str
    keep: bool
    outcome: str
    cause: str
    row: str
    point: int = 0
    samples: str = ""
    enough: bool = False
    avoid: str = ""


class Repeated(NamedTuple):
    """Runs that were begun again for one cause.

    Attributes:
        runs: number of them.
        example: id of the last one.
        hosts: keys of the hosts of pools that failed them, at most 20.
    """

    runs: int
    example: str
    hosts: Sequence[str] = ()


class Entry(NamedTuple):
    """An entry of a campaign's history.

    Attributes:
        id: its position.
        row: a row as JSON; empty for a change of phase.
        phase: the new phase; empty for a row.
        why: the reason of the change, if there is one.
        waits: id of a run that waits for a script that measures it.
    """

    id: str
    row: str = ""
    phase: str = ""
    why: str = ""
    waits: str = ""


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign.

    Attributes:
        name: its name.
        phase: ``running``, ``paused``, ``stopped``, ``cancelling``, ``cancelled``, ``finished``.
        why: why it is in this phase, if that was not a user's wish.
        created: when, in seconds since the epoch.
        total: number of runs of the whole campaign.
        finished, failed, cancelled: number of rows with this outcome.
        begun: number of runs begun, those that were begun again included.
        again: number of runs that ended and were begun again.
        skipped: number of runs that were not needed.
        active: number of runs under way.
        waiting: number of runs that have ended and wait for a script that measures them.
        placing: number of runs that are to begin as soon as they have hosts.
        held: True if ended runs among them wait until what it was paused for is mended.
        parallel: how many may be under way.
        priority: when hosts are given to campaigns; higher ones are first.
    """

    name: str
    phase: str
    why: str
    created: float
    total: int
    finished: int
    failed: int
    cancelled: int
    begun: int
    again: int
    skipped: int
    active: int
    waiting: int
    placing: int
    parallel: int
    held: bool = False
    priority: int = 0

    @property
    def done(self) -> int:
        """Number of runs that have a row."""
        return self.finished + self.failed + self.cancelled

    @property
    def over(self) -> bool:
        """True if it does nothing more by itself."""
        ended = self.phase in ("finished", "stopped", "cancelled")
        return ended and not (self.active or self.placing)
