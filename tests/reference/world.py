"""Everything around the records: Redis' network, the broker, hosts, and what went wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nepiq.controller.engine.store.calls import DueStep, Reply
from nepiq.controller.engine.store.timing import Timing

from .kernel import Kernel, LostError, Owner, Process
from .machines import Machine
from .model import Model
from .scenario import Scenario
from .truth import Truth

if TYPE_CHECKING:
    from .workers import Worker

#: Nothing goes wrong any more this many seconds after the beginning.
TROUBLE = 40.0


@dataclass(frozen=True)
class Rules:
    """What the world is made of; tests replace one part to see the checks catch it."""

    model: type[Model] = Model
    machine: type[Machine] = Machine
    timing: Timing = field(default_factory=Timing)
    stop_waits: bool = True
    audit: bool = True


class World:
    """One run of one scenario.

    Args:
        scenario: what is to happen.
        rules: what the world is made of.
    """

    def __init__(self, scenario: Scenario, rules: Rules | None = None) -> None:
        self.scenario = scenario
        self.rules = rules or Rules()
        self.kernel = Kernel(scenario.seed)
        self.rng = self.kernel.rng
        timing = replace(self.rules.timing, limit=scenario.limit)
        self.model = self.rules.model(lambda: self.kernel.now, timing)
        self.truth = Truth(self)
        self.active = False
        self.outage_until = 0.0
        self.rollbacks = 0
        self.workers: list[Worker] = []
        self.machines: dict[tuple[int, str], Machine] = {}
        self.gone_machines: set[str] = set()
        self.messages: Counter[str] = Counter()
        self.backlog: dict[str, float] = {}
        self.nonces = iter(range(1, 10**9))
        self.sweeping: tuple[str, float] = ("", 0.0)
        self.seen_machines: dict[str, float] = defaultdict(lambda: self.kernel.now)

    @property
    def faults(self) -> frozenset[str]:
        """What goes wrong in this run."""
        return self.scenario.faults

    def trouble(self, fault: str, share: float) -> bool:
        """Whether something goes wrong now."""
        troubled = fault in self.faults and self.kernel.now < 1000.0 + TROUBLE
        return troubled and self.rng.random() < share

    # -- Redis ------------------------------------------------------------------------------

    def redis(self, name: str, *args: Any) -> Process:
        """Call a script over the network; it may be executed twice, or never be answered."""
        yield self.kernel.soon(0.0005)
        while self.kernel.now < self.outage_until:
            yield self.outage_until - self.kernel.now + self.rng.random() * 0.01
        answer = self._execute(name, *args)
        if self.trouble("reply", 0.03):
            answer = self._execute(name, *args)
        elif self.trouble("reply", 0.02):
            raise LostError
        yield self.kernel.soon(0.0005)
        return answer

    def _execute(self, name: str, *args: Any) -> Any:
        if name in ("deploy", "request", "release"):
            self.active = True
        before = len(self.model.events)
        answer = getattr(self.model, name)(*args)
        self.truth.observe(self.model.events[before:])
        reply = answer[0] if isinstance(answer, tuple) and not isinstance(answer, Reply) else answer
        if isinstance(reply, Reply) and reply.ended:
            self.active = False
        return answer

    def settle(self, reply: Reply) -> Process:
        """Submit what a script made due and go on with what it left."""
        while True:
            for message in messages(reply.due):
                yield self.kernel.soon(0.0003)
                self.submit(message)
            if not reply.more:
                return
            if self.trouble("slow", 0.5):
                yield self.rng.uniform(0, 0.4)
            reply = yield from self.redis("go_on")

    def go_back(self, seconds: float) -> None:
        """Let Redis come back as it is now, but only in ``seconds``."""
        earlier, active = self.model.copy(), self.active

        def restore() -> None:
            self.model.restore(earlier)
            self.model.server += "'"
            self.active = active
            self.rollbacks += 1
            self.truth.forget()

        self.kernel.at(seconds, restore)

    # -- the broker -------------------------------------------------------------------------

    def submit(self, message: list[DueStep]) -> None:
        """Send a message; it may be lost or arrive twice."""
        for due in message:
            self.messages[due.step] += 1
        if self.trouble("loss", 0.1):
            return
        for _ in range(2 if self.trouble("duplicate", 0.2) else 1):
            self.kernel.at(self.kernel.soon(), partial(self._deliver, message))

    def _deliver(self, message: list[DueStep]) -> None:
        # A home is a preference, and every worker of the site may be it.
        queue, delay = message[0].queue.partition("@")[0], message[0].delay
        live = [worker for worker in self.workers if worker.alive and queue in worker.queues]
        if not live:
            self.backlog[queue] = self.kernel.now
            self.kernel.at(0.5, partial(self._deliver, message))
            return
        worker = self.rng.choice(live)
        steps = [due.step for due in message]
        wait = max(0.0, delay - worker.skew)
        self.kernel.at(wait, partial(self._begin, worker, steps))

    def backlogged(self) -> list[str]:
        """Queues in which messages waited for a worker just now."""
        return [queue for queue, at in self.backlog.items() if self.kernel.now - at < 1.0]

    def _begin(self, worker: Worker, steps: list[str]) -> None:
        if worker.alive:
            self.kernel.spawn(worker, worker.take(steps))

    # -- hosts ------------------------------------------------------------------------------

    def machine(self, node: int, worker_machine: str) -> Machine:
        """The host that a node stands for; a local one is the worker's own machine."""
        local = self.scenario.resources[node].spec.local
        key = (node, worker_machine if local else "")
        if key not in self.machines:
            self.machines[key] = self.rules.machine(
                self.kernel, self._behaviour, self.truth.launched, self.truth.ended
            )
        return self.machines[key]

    def _behaviour(self, guid: int, occ: int) -> tuple[float, int]:
        resource = self.scenario.resources[guid]
        return resource.life, resource.code

    # -- trouble ----------------------------------------------------------------------------

    def kill(self, worker: Worker) -> None:
        """Kill a worker; unless its machine is gone, another takes its place."""
        if not worker.alive:
            return
        worker.alive = False
        if worker.machine not in self.gone_machines:
            self.kernel.at(self.rng.uniform(0.5, 4), lambda: self.respawn(worker))

    def respawn(self, worker: Worker) -> None:
        """Start a worker in the place of a dead one."""
        if worker.machine not in self.gone_machines:
            type(worker).start(self, worker.machine)

    def pause(self, owner: Owner, seconds: float) -> None:
        """Let a program stand still."""
        owner.paused = self.kernel.now + seconds


def messages(due: Sequence[DueStep]) -> Iterator[list[DueStep]]:
    """How steps travel: those without I/O that are due together share a message."""
    together: dict[tuple[str, int], list[DueStep]] = {}
    for item in due:
        if item.batch:
            together.setdefault((item.queue, round(item.delay * 1000)), []).append(item)
        else:
            yield [item]
    yield from together.values()
