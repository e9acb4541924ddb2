"""linux::Reservation: the hosts of the nodes that are deployed together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...errors import DeadlineError, HostError, InvalidValue, NepiqError
from ...errors.text import quoted
from ...model import (
    Action,
    AssignedHost,
    Attribute,
    Connection,
    Context,
    Flag,
    HostLease,
    Later,
    Pools,
    Queued,
    ResourceManager,
    Want,
)
from .leased_host import FACTS, LeasedHost, facts_of, is_passed_over, unreachable_now
from .node import Node
from .pool import Pool, PoolHost

#: Seconds until a queued request is repeated; it is woken when it is granted.
REPEATED = 60.0


class LeasedHosts(dict[str, LeasedHost]):
    """Leased hosts by the guid of their node, as text."""

    @classmethod
    def parse(cls, value: Any) -> LeasedHosts:
        """Return leased hosts from their JSON form."""
        if not isinstance(value, Mapping):
            raise InvalidValue("must be a mapping of leased hosts")
        return cls({guid: LeasedHost.parse(item) for guid, item in value.items()})


class Reservation(ResourceManager, rtype="linux::Reservation"):
    """A request for the hosts of all nodes with ``pool`` in one deployment: all of them or none.

    A deployment makes it. The nodes are deployed when it is READY and released before it.
    """

    internal = True
    unattended = 10.0

    leases = Attribute(
        LeasedHosts, {}, help="The leased hosts by node.", flags=Flag.NO_WRITE | Flag.RESERVED
    )
    waited = Attribute(float, help="Seconds that it waited for the hosts.", flags=Flag.NO_WRITE)

    nodes = Connection(Node, many=True, waits=False, help="The nodes that it is for.")

    def site_of_workers(self) -> str:
        """Return the site of its first node: its workers can look at hosts that are not known."""
        nodes = self.nodes
        return nodes[0].placement().site if nodes else ""

    def deadline_for(self, action: Action) -> float:
        """Return no limit for a deployment: a queue may be long; see ``poolTimeout``."""
        return math.inf if action is Action.DEPLOY else super().deadline_for(action)

    def do_reserve(self, context: Context) -> Later | None:
        """Request the hosts; wait in the queue until all of them are granted."""
        if self.leases:
            return None  # a campaign has requested them
        answer = context.pools.lease(self.requested(context.pools))
        if isinstance(answer, Queued):
            nodes = self.nodes
            limit = min((node.poolTimeout or math.inf for node in nodes), default=math.inf)
            if answer.seconds >= limit:
                context.pools.give_back()
                raise DeadlineError(
                    f"the pool had no {len(nodes)} free hosts within {limit:g} s",
                    hint="nepiq pool ls shows the runs that have them; raise poolTimeout",
                )
            return Later(min(REPEATED, limit - answer.seconds))
        self.waited = answer.seconds
        self.accept(context.pools, answer.hosts)
        return None

    def do_release(self, context: Context) -> None:
        """Give back the hosts that the nodes have not given back, and leave the queue."""
        context.pools.give_back()

    def requested(self, pools: Pools, avoid: Collection[str] = ()) -> list[Want]:
        """Return the hosts that the nodes can use, the best ones of them if these are enough.

        Those that could not be reached lately, or are to be avoided, are used if others are not
        enough.

        Raises:
            InvalidValue: there is no such pool.
            HostError: the pools have too few such hosts.
        """
        wants, suspects = [], []
        for (name, _, site), members in self._groups().items():
            entries = _entries_at(pools, members[0], site)
            fit, doubtful = _fitting(pools, members[0], entries)
            if len(fit) + len(doubtful) < len(members):
                raise _too_few(name, site, members, len(fit) + len(doubtful), len(entries))
            guids = [node.guid for node in members]
            wants.append(Want(guids, [host for host in fit if host not in avoid]))
            suspects.append(Want(guids, [*fit, *doubtful]))
        if not _shortage(wants):
            return wants
        if short := _shortage(suspects):
            raise HostError(
                f"the pools have {short} hosts too few for nodes that can use the same ones",
                hint="add hosts to the pools, or let nodes use other ones",
            )
        return suspects

    def accept(self, pools: Pools, leases: Mapping[int, HostLease]) -> None:
        """Keep the hosts that the nodes were granted.

        Raises:
            HostError: a host is not in the pools any more.
        """
        hosts: dict[str, PoolHost] = {}
        for (_, _, site), members in self._groups().items():
            hosts.update({item.key: item for item in _entries_at(pools, members[0], site)})
        for lease in leases.values():
            if lease.host not in hosts:
                raise HostError(f"host {lease.host} is not in the pools any more")
        self.leases = LeasedHosts(
            {
                str(guid): LeasedHost(
                    host=lease.host,
                    token=lease.token,
                    request=self.guid,
                    login=dict(hosts[lease.host].login),
                    labels=dict(hosts[lease.host].labels),
                )
                for guid, lease in leases.items()
            }
        )

    def assignments(self) -> dict[int, AssignedHost]:
        """Return the leased host of each node by guid."""
        return {
            int(guid): AssignedHost(leased.host, str(leased.login["hostname"]))
            for guid, leased in self.leases.items()
        }

    def _groups(self) -> dict[tuple[str, str, str], list[Node]]:
        """Return the nodes that can use the same hosts, by pool, condition and site."""
        groups: dict[tuple[str, str, str], list[Node]] = defaultdict(list)
        for node in self.nodes:
            where = node.where.text if node.where else ""
            groups[_pool_name(node), where, node.placement().site].append(node)
        return groups


def _pool_name(node: Node) -> str:
    return node.inventory.label if node.inventory is not None else str(node.pool)


def _entries_at(pools: Pools, node: Node, site: str) -> Sequence[PoolHost]:
    """Return the hosts of the pool of a node that are at a site."""
    entries = _entries(pools, node)
    return [entry for entry in entries if entry.login.get("site", "default") == site]


def _entries(pools: Pools, node: Node) -> Sequence[PoolHost]:
    """Return the hosts of the pool of a node."""
    pool: Pool | None = node.inventory
    if pool is not None and pool.name is None:
        return pool.entries()
    name = str(node.pool) if pool is None else str(pool.name)
    definition = pools.installed(name)
    if definition is None:
        raise InvalidValue(
            f"there is no pool {quoted(name)}, neither in the experiment nor in the installation",
            where=node.label,
            hint="register a linux::Pool, or keep one by nepiq pool add; nepiq pool ls",
        )
    return Pool.load(guid=0, label=name, attributes=definition).entries()


def _fitting(pools: Pools, node: Node, entries: Sequence[PoolHost]) -> tuple[list[str], list[str]]:
    """Return the hosts that a node can use, and those that are passed over if these are enough.

    Hosts that could not be reached when they were last used come last.
    """
    known = dict(pools.facts([entry.key for entry in entries]))
    where = node.where
    if where is not None:
        needed = [
            entry
            for entry in entries
            if (where.names & set(FACTS)) - entry.labels.keys()
            and "inspected" not in known.get(entry.key, {})
            and not is_passed_over(known.get(entry.key, {}))
        ]
        known |= _inspect(pools, node, needed)
    fit: list[str] = []
    tried: list[str] = []
    doubtful: list[str] = []
    for entry in entries:
        facts = known.get(entry.key, {})
        if where is None or where.matches({**facts, **entry.labels}):
            group = tried if facts.get("unreachable") else fit
            (doubtful if is_passed_over(facts) else group).append(entry.key)
    return [*fit, *tried], doubtful


def _inspect(pools: Pools, node: Node, entries: Sequence[PoolHost]) -> dict[str, Mapping[str, Any]]:
    """Look at hosts of which nothing is known yet, and keep what they report."""
    found: dict[str, Mapping[str, Any]] = {}
    machines = {
        entry.key: type(node).load(guid=node.guid, label=entry.key, attributes=entry.login)
        for entry in entries
    }
    for key, answer in pools.inspect(machines).items() if machines else ():
        if isinstance(answer, NepiqError):
            found[key] = unreachable_now(pools.facts([key]).get(key, {}))
        else:
            found[key] = facts_of(answer)
        pools.learn(key, found[key])
    return found


def _too_few(name: str, site: str, nodes: Sequence[Node], fit: int, total: int) -> HostError:
    where = f" that fulfil {nodes[0].where}" if nodes[0].where and nodes[0].where.text else ""
    return HostError(
        f"pool {name} has {fit} hosts at site {site}{where}, and {len(nodes)} nodes need one each",
        hint=f"of its hosts {total} are at that site; nepiq pool show lists their labels and facts",
    )


def _shortage(wants: Sequence[Want]) -> int:
    """Return how many resources would get no host if all hosts were free."""
    slots = [list(want.hosts) for want in wants for _ in want.guids]
    taken: dict[str, int] = {}

    def place(slot: int, seen: set[str]) -> bool:
        for host in slots[slot]:
            if host not in taken:
                taken[host] = slot
                return True
        for host in slots[slot]:
            if host not in seen:
                seen.add(host)
                if place(taken[host], seen):
                    taken[host] = slot
                    return True
        return False

    return sum(not place(slot, set()) for slot in range(len(slots)))
