"""Hooks: what a worker does once it holds a claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nepiq.controller.engine.store.calls import Claim, Outcome

from .kernel import Future, Process
from .machines import RAN_OUT, REFUSED, Machine, Started

if TYPE_CHECKING:
    from .workers import Worker

_DEADLINE = 20.0


class StoppedError(Exception):
    """A hook must not go on: its claim was lost, or it was asked to stop."""


class RefusedError(Exception):
    """The host's fence refused a command."""


class HostLostError(Exception):
    """The connection to a host broke; whether the command was carried out is unknown."""


class Later(NamedTuple):
    """What a hook returns that is to run again."""

    delay: float
    kind: str = "later"


@dataclass(eq=False)
class Attempt:
    """A claim that a worker carries out.

    Attributes:
        claim: what the claim gave.
        until: end of the lease by the worker's own clock.
        begun: its hook runs; in a batch those behind it have not begun.
        told: ``lost`` or ``cancel``, once a renewal said so.
    """

    claim: Claim
    until: float
    begun: float | None = None
    told: str = ""


class Hook:
    """One action of one resource manager, as its class would carry it out."""

    def __init__(self, worker: Worker, attempt: Attempt) -> None:
        self.worker = worker
        self.world = worker.world
        self.attempt = attempt
        self.claim = attempt.claim
        self.resource = self.world.scenario.resources[self.claim.guid]

    def run(self) -> Process:
        """Carry it out; an outcome, or that it is to run again."""
        if self.resource.poison == self.claim.action:
            self.world.kill(self.worker)
            yield 0.0
        if self.resource.work:
            yield self.resource.work
        method: Callable[[], Process] = getattr(self, self.claim.action)
        outcome: Outcome | Later = yield from method()
        return outcome

    def outcome(
        self,
        kind: str = "ok",
        age: float = 0.0,
        end_age: float = 0.0,
        attrs: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """What is committed."""
        info = {"message": kind} if kind in ("failed", "FAILED") else None
        return Outcome(self.claim.step, self.claim.token, kind, age, attrs or {}, info, {}, end_age)

    def act(self, command: Callable[[Machine], Any]) -> Process:
        """Send a command to the host and wait for what it answers."""
        yield from self.worker.look(self.attempt)
        kernel, answer = self.world.kernel, Future()
        if self.world.trouble("cut", 0.05):
            raise HostLostError
        host = self.world.machine(self.claim.host or 0, self.worker.machine)

        def arrive() -> None:
            result = command(host)
            if isinstance(result, Future):
                result.then(lambda value: kernel.at(kernel.soon(), lambda: answer.set(value)))
            else:
                kernel.at(kernel.soon(), lambda: answer.set(result))

        # The command travels whether or not the worker lives on.
        kernel.at(kernel.soon(0.01), arrive)
        cut = self.world.trouble("cut", 0.05)
        yield kernel.timeout(answer, _DEADLINE)
        if cut or not answer.done:
            raise HostLostError
        result = answer.value
        if result == RAN_OUT:
            yield from self.worker.release_again(self.claim.host or 0)
        if result in (RAN_OUT, REFUSED):
            raise RefusedError
        return result

    # -- actions ----------------------------------------------------------------------------------

    def deploy(self) -> Process:
        """Prepare or configure, by milestones; the world may not be ready yet."""
        self.world.truth.acts(self.claim)
        guid, token, kind = self.claim.guid, self.claim.token, self.resource.kind
        if self.claim.state == "NEW" and kind != "null":
            yield from self.worker.call("progress", self.claim.step, token, "DISCOVERED")
        if kind == "node":
            yield from self.act(lambda host: host.prepare(guid, token))
        if kind == "app":
            seconds = self.world.rng.choice([0.0, 0.01, 0.5])
            yield from self.act(lambda host: host.configure(guid, token, seconds))
        if self.claim.tries <= self.resource.rounds:
            return Later(0.3)
        if self.resource.deploy_fails:
            return self.outcome("failed")
        self.world.truth.ready(guid)
        return self.outcome()

    def start(self) -> Process:
        """Launch, or adopt what an earlier attempt launched."""
        guid, token, occ = self.claim.guid, self.claim.token, self.claim.occ
        if self.resource.kind != "app":
            self.world.truth.acts(self.claim)
            self.world.truth.started(guid)
            yield 0.0
            if self.resource.lasts:
                return self.outcome("lasts", end_age=self.resource.lasts)
            return self.outcome()
        started = yield from self.act(lambda host: self._launch(host, guid, token, occ))
        if started == "lost":
            return self.outcome("failed")
        assert isinstance(started, Started)
        if started.exit:
            return self.outcome(started.exit.outcome, started.age, started.end_age)
        return self.outcome(age=started.age)

    def _launch(self, host: Machine, guid: int, token: int, occ: int) -> Started | str:
        self.world.truth.launching = self.claim
        return host.launch(guid, token, occ)

    def finish(self) -> Process:
        """Nothing is left to do for what ends by itself after a time."""
        self.world.truth.finishes(self.claim)
        yield 0.0
        return self.outcome()

    def stop(self) -> Process:
        """End the process and return when it is gone."""
        self.world.truth.acts(self.claim)
        guid, token, occ = self.claim.guid, self.claim.token, self.claim.occ
        if self.resource.kind == "app":
            yield from self.act(lambda host: self._stop(host, guid, token, occ))
        else:
            self.world.truth.ended(guid)
            yield 0.0
        return self.outcome()

    def _stop(self, host: Machine, guid: int, token: int, occ: int) -> Any:
        answer = host.stop(guid, token, occ)
        if isinstance(answer, Future):
            self.world.truth.stopped.add((guid, occ))
        return answer if self.world.rules.stop_waits else "ok"

    def set(self) -> Process:
        """Apply a live change."""
        guid, token = self.claim.guid, self.claim.token
        name, value = self.claim.args
        n = int(self.claim.step.split(".")[2])
        yield from self.act(lambda host: host.change(guid, token, name, (n, value)))
        return self.outcome(attrs={name: value})

    def release(self) -> Process:
        """End what runs, undo what was configured; a node forbids everything for ever."""
        guid, token = self.claim.guid, self.claim.token
        if self.resource.kind == "app":
            yield from self.act(lambda host: host.clear(guid, token))
        elif self.resource.kind == "node":
            resources = self.world.scenario.resources.items()
            left = {guid for guid, resource in resources if resource.spec.left_to_host}
            yield from self.act(lambda host: host.dismantle(left))
        else:
            yield 0.0
        return self.outcome()
