"""Pools of hosts in Redis: their definitions, the leases of runs, and the queue of requests.

The keys belong to the installation. Every decision is made by one Lua script: requests are granted
as a whole or not at all, in the order in which they came; see "Pools" in docs/engine.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..model.pools import HostLease, Want
from .redis_memory import execute
from .store import keys
from .store.forms import dumps
from .store.scripts import Argument, evaluate
from .store.timing import Timing

if TYPE_CHECKING:
    from redis import Redis

    from .campaign_records import Placing

MOST_OVERTAKEN = 4
"""How often later requests may take hosts that a request waits for; then these are kept for it."""
PATIENCE = 60.0
"""Seconds after which they are kept for it in any case."""


class Wake(NamedTuple):
    """A step that waits for hosts that were granted.

    Attributes:
        run_id: its run; empty for the step of a campaign.
        step: its id; empty for the step of a campaign.
        campaign: the campaign; empty for a step of a run.
    """

    run_id: str
    step: str
    campaign: str = ""


@dataclass(frozen=True)
class LeaseRecord:
    """A leased host.

    Attributes:
        host: its key.
        run_id: the run that has it.
        request: the request by which it has it.
        guid: the resource that it is for.
        token: number of the lease.
        since: when it was granted, in seconds since the epoch.
    """

    host: str
    run_id: str
    request: str
    guid: int
    token: int
    since: float


@dataclass(frozen=True)
class RequestRecord:
    """A request that waits for hosts.

    Attributes:
        id: its name.
        run_id: its run.
        since: when it was made, in seconds since the epoch.
        wants: the hosts that it can use.
        overtaken: how often later requests have taken such a host.
        kept: True if free hosts are kept for it.
        campaign: the campaign that places the run; empty if the run itself requests.
    """

    id: str
    run_id: str
    since: float
    wants: Sequence[Want]
    overtaken: int
    kept: bool
    campaign: str = ""

    @property
    def count(self) -> int:
        """The number of hosts that it needs."""
        return sum(len(want.guids) for want in self.wants)

    def hosts(self) -> set[str]:
        """Return the keys of all hosts that it can use."""
        return {host for want in self.wants for host in want.hosts}


@dataclass(frozen=True)
class Allocation:
    """The hosts that runs have or wait for, at one moment.

    Attributes:
        at: the moment by Redis' clock, in seconds since the epoch.
        leases: leased hosts by key.
        queue: waiting requests, the first one first.
    """

    at: float
    leases: Mapping[str, LeaseRecord]
    queue: Sequence[RequestRecord]


class PoolStore:
    """The pools of an installation.

    Args:
        redis: a client that does not decode responses.
        most_overtaken, patience: limits of overtaking.
        prefix: what the keys begin with.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        most_overtaken: int = MOST_OVERTAKEN,
        patience: float = PATIENCE,
        prefix: str = keys.POOLS,
    ) -> None:
        self._redis: Any = redis
        self._limits = (most_overtaken, patience, Timing().grace)
        self._prefix = prefix

    # -- leases -------------------------------------------------------------------------------

    def request(
        self, run_id: str, guid: int, step: str, wants: Sequence[Want]
    ) -> tuple[str, float, dict[int, HostLease], list[Wake]]:
        """Request hosts; the same request again has the same result.

        Args:
            run_id: the run.
            guid: the resource that makes the request; it can make one.
            step: the step that is woken when it is granted.
            wants: the hosts that can be used, by resource.

        Returns:
            The status (``OK`` if it is granted, ``WAITING``, or ``CLOSED`` if its hosts were given
            back), the seconds that it has waited, its leases by guid, and steps to wake.
        """
        listed = [
            dumps(part)
            for want in wants
            if want.guids
            for part in (list(map(str, want.guids)), list(want.hosts))
        ]
        status, wakes, waited, grants = self._ask(
            "pool_request", request_id(run_id, guid), run_id, step, *listed
        )
        return status, float(waited), leases_of(grants), _wakes(wakes)

    def place(
        self,
        campaign: str,
        token: str,
        ended: Sequence[tuple[str, int]],
        withdrawn: Sequence[str],
        runs: Sequence[Placing],
    ) -> tuple[str, list[Wake]]:
        """Request hosts for runs that a campaign is to begin; it is told when it has them.

        The hosts of a run are granted together or not at all.

        Args:
            campaign: its name.
            token: of the claim of its step.
            ended: runs that have ended, and the resource that requested: all of their hosts.
            withdrawn: runs that it does not begin now, whose slots are to be begun again.
            runs: those to request hosts for.

        Returns:
            The status (``STALE`` if the claim was lost), and steps to wake.
        """
        lists: dict[str, int] = {}
        items: list[Argument] = []
        for run in runs:
            items += [run.run_id, run.guid, run.slot.origin, run.slot.number, run.slot.attempt]
            items.append(len(run.wants))
            for want in run.wants:
                number = lists.setdefault(dumps(list(want.hosts)), len(lists) + 1)
                items += [dumps(list(map(str, want.guids))), number]
        over = [request_id(run_id, guid) for run_id, guid in ended]
        parts: list[Sequence[Argument]] = [list(lists), over, withdrawn]
        counted = [item for part in parts for item in (len(part), *part)]
        status, wakes = self._ask("pool_place", campaign, token, *counted, *items)
        return status, _wakes(wakes)

    def give_back(self, run_id: str, request: int, guid: int | None = None) -> list[Wake]:
        """Give back the hosts of a request, or that of one resource; return the steps to wake."""
        name = request_id(run_id, request)
        return _wakes(self._ask("pool_release", name, run_id, "" if guid is None else guid)[1])

    def sweep(
        self, over: Sequence[str] = (), halted: Sequence[str] = ()
    ) -> tuple[list[str], list[Wake]]:
        """Give back what runs do not need any more.

        Args:
            over: runs that have ended: all of their hosts.
            halted: runs that start nothing any more: requests that they have not used.

        Returns:
            The runs that have or wait for hosts, and steps to wake.
        """
        _, wakes, runs = self._ask("pool_sweep", len(over), *over, *halted)
        return list(runs), _wakes(wakes)

    def leases_of(self, run_ids: Collection[str]) -> list[LeaseRecord]:
        """Return the leases of runs, in the order of the hosts."""
        if not run_ids:
            return []
        found = self._redis.hgetall(self._prefix + "leases")
        leases = [_lease(host.decode(), json.loads(raw)) for host, raw in sorted(found.items())]
        return [lease for lease in leases if lease.run_id in run_ids]

    def allocation(self) -> Allocation:
        """Return who has and who waits for hosts."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(self._prefix + "leases")
            pipe.hgetall(self._prefix + "requests")
            pipe.lrange(self._prefix + "queue", 0, -1)
            pipe.hgetall(self._prefix + "lists")
            (seconds, micros), leases, requests, queue, raw = pipe.execute()
        at = seconds + micros / 1e6
        lists = {name.decode(): json.loads(text) for name, text in raw.items()}
        return Allocation(
            at,
            {host.decode(): _lease(host.decode(), json.loads(raw)) for host, raw in leases.items()},
            [self._request(name.decode(), json.loads(requests[name]), lists, at) for name in queue],
        )

    def _request(
        self, name: str, raw: Mapping[str, Any], lists: Mapping[str, Sequence[str]], at: float
    ) -> RequestRecord:
        most, patience, _ = self._limits
        since, overtaken = float(raw["since"]), raw["overtaken"]
        wants = [Want(list(map(int, item["guids"])), lists[item["list"]]) for item in raw["wants"]]
        kept = overtaken >= most or at - since >= patience
        campaign = raw.get("campaign", "")
        return RequestRecord(name, raw["run"], since, wants, overtaken, kept, campaign)

    # -- definitions --------------------------------------------------------------------------

    def install(self, name: str, definition: Mapping[str, Any]) -> None:
        """Keep a pool under a name; an earlier one of this name is replaced."""
        self._redis.hset(self._prefix + "pools", name, dumps(dict(definition)))

    def uninstall(self, name: str) -> bool:
        """Remove a pool; its leases stay until they are given back. False if there is none."""
        return bool(self._redis.hdel(self._prefix + "pools", name))

    def installed(self, name: str) -> dict[str, Any] | None:
        """Return a pool, or None if there is none of this name."""
        raw = self._redis.hget(self._prefix + "pools", name)
        return None if raw is None else dict(json.loads(raw))

    def all_installed(self) -> dict[str, dict[str, Any]]:
        """Return all pools by name."""
        found = self._redis.hgetall(self._prefix + "pools")
        return {name.decode(): json.loads(raw) for name, raw in sorted(found.items())}

    def facts(self, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what is known of hosts; those of which nothing is known are missing."""
        if not hosts:
            return {}
        found = self._redis.hmget(self._prefix + "facts", list(hosts))
        return {host: json.loads(raw) for host, raw in zip(hosts, found, strict=True) if raw}

    def learn(self, host: str, facts: Mapping[str, Any]) -> None:
        """Keep facts of a host besides those that are known; None removes one."""
        known = {**self.facts([host]).get(host, {}), **facts}
        text = dumps({name: value for name, value in known.items() if value is not None})
        execute(self._redis, [("HSET", self._prefix + "facts", host, text)])

    def _ask(self, name: str, *args: Argument) -> list[Any]:
        return list(json.loads(evaluate(self._redis, name, self._prefix, *self._limits, *args)))


def request_id(run_id: str, guid: int) -> str:
    """Return the name of the request that a resource makes."""
    return f"{run_id}/{guid}"


def _wakes(items: Iterable[Sequence[str]]) -> list[Wake]:
    return [Wake(*item) for item in items]


def leases_of(grants: Iterable[Sequence[str]]) -> dict[int, HostLease]:
    """Return the leases of a request by guid, as scripts answer them."""
    return {int(guid): HostLease(host, int(token)) for guid, host, token in grants}


def _lease(host: str, raw: Mapping[str, Any]) -> LeaseRecord:
    return LeaseRecord(
        host,
        raw["run"],
        raw["request"],
        int(raw["guid"]),
        int(raw["token"]),
        float(raw["since"]),
    )
