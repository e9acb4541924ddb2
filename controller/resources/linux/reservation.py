"""linux::Reservation: the hosts of the nodes that are deployed together."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import DeadlineError, HostError, InvalidValue, NepiqError
from ...errors.text import quoted
from ...model import (
    Action,
    Attribute,
    Connection,
    Context,
    Flag,
    Later,
    Queued,
    ResourceManager,
    Want,
)
from .leased_host import FACTS, SUSPECT, LeasedHost, facts_of
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
        nodes = {node.guid: node for node in self.nodes}
        hosts: dict[str, PoolHost] = {}
        wants = self._wants(context, nodes.values(), hosts)
        answer = context.pools.lease(wants)
        if isinstance(answer, Queued):
            limit = min((node.poolTimeout or math.inf for node in nodes.values()), default=math.inf)
            if answer.seconds >= limit:
                context.pools.give_back()
                raise DeadlineError(
                    f"the pool had no {len(nodes)} free hosts within {limit:g} s",
                    hint="nepiq pool ls shows the runs that have them; raise poolTimeout",
                )
            return Later(min(REPEATED, limit - answer.seconds))
        self.waited = answer.seconds
        self.leases = LeasedHosts(
            {
                str(guid): LeasedHost(
                    host=lease.host,
                    token=lease.token,
                    request=self.guid,
                    login=dict(hosts[lease.host].login),
                    labels=dict(hosts[lease.host].labels),
                )
                for guid, lease in answer.hosts.items()
                if lease.host in hosts
            }
        )
        return None

    def do_release(self, context: Context) -> None:
        """Give back the hosts that the nodes have not given back, and leave the queue."""
        context.pools.give_back()

    def _wants(
        self, context: Context, nodes: Iterable[Node], hosts: dict[str, PoolHost]
    ) -> list[Want]:
        """Return the hosts that the nodes can use, and put all of them into ``hosts``.

        Raises:
            InvalidValue: there is no such pool.
            HostError: the pools have too few such hosts.
        """
        groups: dict[tuple[str, str, str], list[Node]] = defaultdict(list)
        for node in nodes:
            where = node.where.text if node.where else ""
            groups[_pool_name(node), where, node.placement().site].append(node)
        wants, suspects = [], []
        for (name, _, site), members in groups.items():
            entries = [
                entry
                for entry in _entries(context, members[0])
                if entry.login.get("site", "default") == site
            ]
            hosts.update({entry.key: entry for entry in entries})
            fit, doubtful = _fitting(context, members[0], entries)
            if len(fit) + len(doubtful) < len(members):
                raise _too_few(name, site, members, len(fit) + len(doubtful), len(entries))
            guids = [node.guid for node in members]
            wants.append(Want(guids, fit))
            suspects.append(Want(guids, [*fit, *doubtful]))
        if not _shortage(wants):
            return wants
        if short := _shortage(suspects):
            raise HostError(
                f"the pools have {short} hosts too few for nodes that can use the same ones",
                hint="add hosts to the pools, or let nodes use other ones",
            )
        return suspects


def _pool_name(node: Node) -> str:
    return node.inventory.label if node.inventory is not None else str(node.pool)


def _entries(context: Context, node: Node) -> Sequence[PoolHost]:
    """Return the hosts of the pool of a node."""
    pool: Pool | None = node.inventory
    if pool is not None and pool.name is None:
        return pool.entries()
    name = str(node.pool) if pool is None else str(pool.name)
    definition = context.pools.installed(name)
    if definition is None:
        raise InvalidValue(
            f"there is no pool {quoted(name)}, neither in the experiment nor in the installation",
            where=node.label,
            hint="register a linux::Pool, or keep one by nepiq pool add; nepiq pool ls",
        )
    return Pool.load(guid=0, label=name, attributes=definition).entries()


def _fitting(
    context: Context, node: Node, entries: Sequence[PoolHost]
) -> tuple[list[str], list[str]]:
    """Return the hosts that a node can use, and those of them that could not be reached lately."""
    known = dict(context.pools.facts([entry.key for entry in entries]))
    where = node.where
    if where is not None:
        needed = [
            entry
            for entry in entries
            if (where.names & set(FACTS)) - entry.labels.keys()
            and "inspected" not in known.get(entry.key, {})
            and not _is_suspect(known.get(entry.key, {}))
        ]
        known |= _inspect(context, node, needed)
    fit: list[str] = []
    doubtful: list[str] = []
    for entry in entries:
        facts = known.get(entry.key, {})
        if where is None or where.matches({**facts, **entry.labels}):
            (doubtful if _is_suspect(facts) else fit).append(entry.key)
    return fit, doubtful


def _is_suspect(facts: Mapping[str, Any]) -> bool:
    return time.time() - float(facts.get("unreachable") or 0.0) < SUSPECT


def _inspect(
    context: Context, node: Node, entries: Sequence[PoolHost]
) -> dict[str, Mapping[str, Any]]:
    """Look at hosts of which nothing is known yet, and keep what they report."""
    found: dict[str, Mapping[str, Any]] = {}
    machines = {
        entry.key: type(node).load(guid=node.guid, label=entry.key, attributes=entry.login)
        for entry in entries
    }
    for key, answer in context.pools.inspect(machines).items() if machines else ():
        if isinstance(answer, NepiqError):
            context.log.warning("host %s cannot be looked at: %s", key, answer)
            found[key] = {"unreachable": time.time()}
        else:
            found[key] = facts_of(answer)
        context.pools.learn(key, found[key])
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
