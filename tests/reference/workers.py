"""Workers as the engine's correctness depends on them: tasks, lease renewer, sweeper, watcher."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nepiq.controller.engine.store.calls import NotDue, Outcome, Reply, WatchGrant

from .hooks import Attempt, Hook, HostLostError, Later, RefusedError, StoppedError
from .kernel import Future, LostError, Owner, Process
from .machines import Machine

if TYPE_CHECKING:
    from .world import World

_SWEEP_LOCK = 5.0
_GONE_AFTER = 60.0
_JUDGED = 5.0
_AUDIT = 5.0
_IMPATIENCE = 0.5
_BEFORE_READY = ("NEW", "DISCOVERED", "RESERVED", "PROVISIONED")


@dataclass(eq=False)
class Worker(Owner):
    """A worker process."""

    world: World = field(kw_only=True)
    machine: str = field(kw_only=True)
    skew: float = 0.0
    held: dict[tuple[str, int], Attempt] = field(default_factory=dict)

    @classmethod
    def start(cls, world: World, machine: str) -> Worker:
        """Start a worker on a worker machine."""
        name = f"w{len(world.workers)}@{machine}"
        worker = cls(name, world=world, machine=machine)
        if "skew" in world.faults:
            worker.skew = world.rng.choice([0.0, 0.0, 2.0])
        world.workers.append(worker)
        for loop in (worker.keep_leases, worker.sweep, worker.watch_exits):
            world.kernel.spawn(worker, loop())
        return worker

    @property
    def queues(self) -> tuple[str, ...]:
        """What it consumes."""
        return "nepiq", "nepiq.default", f"nepiq.m.{self.machine}"

    def call(self, name: str, *args: Any) -> Process:
        """Call a script and settle its reply; the rest of its answer."""
        answer = yield from self.world.redis(name, *args)
        if isinstance(answer, Reply):
            yield from self.world.settle(answer)
            return answer.status
        if isinstance(answer, tuple) and isinstance(answer[0], Reply):
            yield from self.world.settle(answer[0])
            return answer[1]
        return answer

    # -- the lease renewer, the sweeper ----------------------------------------------------------

    def keep_leases(self) -> Process:
        """Renew exactly what is being executed."""
        timing = self.world.rules.timing
        while True:
            yield timing.renew
            try:
                yield from self._renew(list(self.held))
            except LostError:
                continue

    def _renew(self, held: list[tuple[str, int]]) -> Process:
        asked = self.world.kernel.now
        answers = yield from self.call("renew", self.name, held)
        for pair, answer in zip(held, answers, strict=True):
            attempt = self.held.get(pair)
            if attempt is not None:
                if answer != "lost":
                    attempt.until = asked + self.world.rules.timing.lease
                if answer != "ok":
                    attempt.told = answer

    def sweep(self) -> Process:
        """Take up what was left undone, if no other worker does."""
        kernel = self.world.kernel
        yield self.world.rng.random()
        while True:
            yield 1.0
            holder, until = self.world.sweeping
            if not self.world.active or (holder != self.name and until > kernel.now):
                continue
            self.world.sweeping = (self.name, kernel.now + _SWEEP_LOCK)
            try:
                yield from self.call("sweep", self.world.backlogged())
                yield from self._abandon_machines()
            except LostError:
                continue

    def _abandon_machines(self) -> Process:
        world = self.world
        live = {worker.machine for worker in world.workers if worker.alive}
        good_until = world.kernel.now + _JUDGED
        for machine in live:
            world.seen_machines[machine] = world.kernel.now
        bound = {value for name, value in world.model.meta.items() if name.startswith("bind.")}
        for machine in bound - live:
            if world.kernel.now - world.seen_machines[machine] > _GONE_AFTER:
                for guid, resource in world.scenario.resources.items():
                    if resource.spec.local:
                        error = {"message": f"worker machine {machine} is gone"}
                        yield from self.call("abandon", guid, error, "", good_until)

    # -- the exit watcher -------------------------------------------------------------------------

    def watch_exits(self) -> Process:
        """Follow the journals of nodes whose lease can be had."""
        world = self.world
        watched: dict[int, Future] = {}
        while True:
            yield 1.0 + world.rng.random() * 0.5
            if not world.active:
                continue
            for node in [int(guid) for guid in world.model.zset_at("watch")]:
                follows = node in watched and not watched[node].done
                if not follows and self._reaches(node):
                    watched[node] = world.kernel.spawn(self, self._follow(node))

    def _reaches(self, node: int) -> bool:
        bound = self.world.model.meta.get("bind.default")
        return not self.world.scenario.resources[node].spec.local or bound == self.machine

    def _follow(self, node: int) -> Process:
        """Commit what a journal says, for as long as the lease can be renewed."""
        host = self.world.machine(node, self.machine)
        audited = 0.0
        while True:
            watch: WatchGrant = yield from self.call("watch", node, self.name)
            if watch.status != "OK":
                return
            yield self.world.kernel.soon()
            if host.node.ended:
                yield from self.release_again(node)
                return
            yield from self._read_journal(host, node, watch.offset)
            if self.world.rules.audit and self.world.kernel.now - audited > _AUDIT:
                audited = self.world.kernel.now
                for guid, occ in host.lost():
                    yield from self._exited(node, guid, occ, "FAILED", 0.0)
            yield self.world.kernel.timeout(host.news, self.world.rules.timing.renew)

    def _read_journal(self, host: Machine, node: int, offset: int) -> Process:
        while offset < len(host.node.journal):
            line = host.node.journal[offset]
            age = self.world.kernel.now - line.time
            yield self.world.kernel.soon()
            yield from self._exited(node, line.guid, line.occ, line.outcome, age)
            told = yield from self.call("watched", node, self.name, "journal", offset + 1, offset)
            if told != "OK":
                return  # Redis came back younger: read again from where it is.
            offset += 1

    def _exited(self, node: int, guid: int, occ: int, outcome: str, age: float) -> Process:
        info = {"message": "exit"} if outcome == "FAILED" else {"exitCode": 0}
        yield from self.call("exited", guid, occ, outcome, age, info, {}, {}, (node, self.name))

    def release_again(self, node: int) -> Process:
        """A host says that it was released, but the records do not: they are younger than that."""
        releasing = self.world.model.step(f"{node}.release")
        if not releasing and self.world.model.rm(str(node)).get("state") != "RELEASED":
            yield from self.call("release", f"ended {node}", [node])

    # -- tasks ------------------------------------------------------------------------------------

    def take(self, steps: list[str]) -> Process:
        """A message arrived: claim its steps, carry out what was granted, commit."""
        world = self.world
        yield world.kernel.soon(0.001)
        nonce = str(next(world.nonces))
        asked = world.kernel.now
        answers = yield from self._claim(steps, nonce)
        attempts = []
        for answer in answers:
            if isinstance(answer, NotDue):
                world.kernel.at(answer.seconds, partial(self._resume, [answer.step]))
            elif answer is not None:
                attempts.append(Attempt(answer, asked + world.rules.timing.lease))
        for attempt in attempts:
            self.held[attempt.claim.step, attempt.claim.token] = attempt
        try:
            yield from self._carry_out(attempts)
        finally:
            for attempt in attempts:
                self.held.pop((attempt.claim.step, attempt.claim.token), None)

    def _resume(self, steps: list[str]) -> None:
        if self.alive:
            self.world.kernel.spawn(self, self.take(steps))

    def _claim(self, steps: list[str], nonce: str) -> Process:
        reply, answers = yield from self.world.redis("claim", steps, nonce, self.name, self.machine)
        self.world.kernel.spawn(self, self.world.settle(reply))
        return answers

    def _carry_out(self, attempts: list[Attempt]) -> Process:
        """Run the hooks one after the other and commit what came of them in one call."""
        outcomes: list[Outcome] = []
        began = self.world.kernel.now
        for position, attempt in enumerate(attempts):
            if self.world.kernel.now - began > _IMPATIENCE:
                yield from self._give_back(attempts[position:])
                break
            outcome = yield from self._attempt(attempt)
            if isinstance(outcome, Outcome):
                outcomes.append(outcome)
        if not outcomes:
            return
        if self.world.trouble("crash", 0.03):
            self.world.kill(self)
            yield 0.0
        yield from self.call("commit", outcomes)

    def _give_back(self, attempts: list[Attempt]) -> Process:
        for attempt in attempts:
            yield from self.call("again", attempt.claim.step, attempt.claim.token, 0.0)

    def _attempt(self, attempt: Attempt) -> Process:
        """Run one hook; its outcome, or None if there is nothing to commit."""
        claim = attempt.claim
        step, token = claim.step, claim.token
        attempt.begun = self.world.kernel.now
        if self.world.kernel.now > attempt.until:
            # The claim's answer took so long that it may have been taken back before we begin.
            yield from self._renew([(step, token)])
        try:
            yield from self.look(attempt)
            self.world.truth.begins(self, attempt)
            outcome = yield from Hook(self, attempt).run()
        except StoppedError:
            if attempt.told == "cancel":
                return Outcome(step, token, "cancelled")
            return None
        except RefusedError:
            info = {"message": "refused"}
            return Outcome(step, token, "failed", 0.0, {}, info)
        except HostLostError:
            outcome = Later(0.5, "retry")
        finally:
            self.world.truth.ends(self, attempt)
        if isinstance(outcome, Later):
            yield from self.call("again", step, token, *outcome)
            return None
        return outcome

    def look(self, attempt: Attempt) -> Process:
        """Go on unless a renewal said otherwise; what happens after the look is up to the fence."""
        if attempt.told:
            raise StoppedError
        if self.world.trouble("zombie", 0.15):
            self.world.pause(self, self.world.rng.uniform(1, 25))
            yield 0.0
