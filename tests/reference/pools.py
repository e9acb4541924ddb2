"""The queue of requests for hosts as plain Python, as docs/engine.md describes it in "Pools"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nepiq.controller.model.pools import Want


@dataclass
class Request:
    """A request of a run.

    Attributes:
        run: the run.
        wants: the hosts that its resources can use.
        priority: higher ones are before lower ones.
        overtaken: how often later requests have taken such a host.
        granted: called when it is granted, if a campaign places the run.
        warm: when the campaign last got each host.
    """

    run: str
    wants: Sequence[Want]
    priority: int = 0
    overtaken: int = 0
    granted: Callable[[], None] | None = None
    warm: dict[str, int] = field(default_factory=dict)

    def can_use(self, hosts: Iterable[str]) -> bool:
        """Whether any of the hosts is one that it could have."""
        usable = {host for want in self.wants for host in want.hosts}
        return not usable.isdisjoint(hosts)


@dataclass
class PoolModel:
    """The hosts that runs have or wait for.

    Attributes:
        most_overtaken: how often a request can be overtaken; then hosts are kept for it.
        leases: request and guid by host.
        requests: those that wait or were granted, by id.
        queue: ids of those that wait.
        closed: ids of those whose hosts were given back, and their runs.
        decisions: number of decisions so far.
    """

    most_overtaken: int
    leases: dict[str, tuple[str, int]] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    decisions: int = 0

    def place(self, forgotten: Iterable[str], new: Mapping[str, Request]) -> None:
        """End requests, which nobody knows afterwards, and enter those of a campaign."""
        for name in forgotten:
            self._drop(name, None)
            self.requests.pop(name, None)
            self.closed.pop(name, None)
            self.queue = [other for other in self.queue if other != name]
        for name, item in new.items():
            self._enter(name, item)
        self._decide()

    def request(self, name: str, run: str, wants: Sequence[Want]) -> str:
        """Request hosts; the same request again changes only what it can use."""
        if name in self.closed:
            return "CLOSED"
        if name not in self.requests:
            self._enter(name, Request(run, wants))
        elif name in self.queue:
            self.requests[name].wants = wants
        self._decide()
        return "WAITING" if name in self.queue else "OK"

    def give_back(self, name: str, run: str, guid: int | None = None) -> None:
        """Give back one host of a request, or all of them for good."""
        self._drop(name, guid)
        if guid is None:
            self.requests.pop(name, None)
            self.queue = [other for other in self.queue if other != name]
            self.closed[name] = run
        self._decide()

    def sweep(self, over: Iterable[str], halted: Iterable[str] = ()) -> set[str]:
        """Give back the hosts of runs that are over, and of halted ones what is not used yet.

        Returns the runs that have or had requests.
        """
        for name in [name for name in self.queue if self.requests[name].run in {*halted} - {*over}]:
            self.queue.remove(name)
            self.closed[name] = self.requests.pop(name).run
        for run in over:
            for name in [name for name, item in self.requests.items() if item.run == run]:
                self._drop(name, None)
                del self.requests[name]
                self.queue = [other for other in self.queue if other != name]
            self.closed = {name: other for name, other in self.closed.items() if other != run}
        self._decide()
        return {item.run for item in self.requests.values()} | set(self.closed.values())

    def _enter(self, name: str, item: Request) -> None:
        """Enter a request behind those that it must not pass."""
        self.requests[name] = item
        place = len(self.queue)
        while place and self._may_pass(item, self.requests[self.queue[place - 1]]):
            place -= 1
        self.queue.insert(place, name)

    def _may_pass(self, item: Request, other: Request) -> bool:
        return other.priority < item.priority and other.overtaken < self.most_overtaken

    def _drop(self, name: str, guid: int | None) -> None:
        self.leases = {
            host: (owner, one)
            for host, (owner, one) in self.leases.items()
            if owner != name or (guid is not None and guid != one)
        }

    def _decide(self) -> None:
        self.decisions += 1
        kept: set[str] = set()
        ahead: list[Request] = []
        line = list(self.queue)
        while line:
            name = line.pop(0)
            item = self.requests[name]
            found = self.match(item, kept)
            if len(found) == sum(len(want.guids) for want in item.wants):
                self.leases.update({host: (name, guid) for host, guid in found.items()})
                self.queue.remove(name)
                if item.granted is not None:
                    item.warm.update(dict.fromkeys(found, self.decisions))
                    item.granted()
                for other in ahead:
                    if other.can_use(found):
                        other.overtaken += 1
                        if other.overtaken == self.most_overtaken:
                            kept |= self.match(other, kept).keys()
                self._pass(line, item, found)
            else:
                ahead.append(item)
                if item.overtaken >= self.most_overtaken:
                    kept |= found.keys()

    def _pass(self, line: list[str], item: Request, found: Mapping[str, int]) -> None:
        """Count that a request was granted hosts that the next one of lower priority can use."""
        for name in line:
            other = self.requests[name]
            if other.priority < item.priority and other.can_use(found):
                other.overtaken += 1
                if other.overtaken == self.most_overtaken:
                    line.remove(name)
                    line.insert(0, name)
                    self.queue.remove(name)
                    due = [self._is_due(one) for one in self.queue]
                    self.queue.insert([*due, False].index(False), name)
                return

    def _is_due(self, name: str) -> bool:
        return self.requests[name].overtaken >= self.most_overtaken

    def match(self, request: Request, kept: set[str]) -> dict[str, int]:
        """Return as many pairs of a free host and a resource as possible, the warmest first."""
        warmest = sorted(request.warm, key=lambda host: (request.warm[host], host), reverse=True)
        slots = []
        for want in request.wants:
            hosts = [*(host for host in warmest if host in want.hosts), *want.hosts]
            free = [host for host in dict.fromkeys(hosts) if host not in {*self.leases, *kept}]
            slots += [(guid, free) for guid in want.guids]
        taken: dict[str, int] = {}

        def place(slot: int, seen: set[str]) -> bool:
            hosts = slots[slot][1]
            for host in hosts:
                if host not in taken:
                    taken[host] = slot
                    return True
            for host in hosts:
                if host not in seen:
                    seen.add(host)
                    if place(taken[host], seen):
                        taken[host] = slot
                        return True
            return False

        for slot in range(len(slots)):
            place(slot, set())
        return {host: slots[slot][0] for host, slot in taken.items()}
