"""The protocol with one rule taken away, to show that the simulator would notice.

Each ablation replaces a part of the world and names the trouble in which the rule matters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from nepiq.controller.engine.store.calls import Reply
from nepiq.controller.engine.store.timing import Timing
from nepiq.controller.model.spec import Gate

from .machines import REFUSED, Launch, Machine
from .model import Model
from .records import Hash
from .world import Rules

#: A caller that does not come back within so many seconds has died.
_ALIVE = 0.02


@dataclass(frozen=True)
class Ablation:
    """A rule that is missing.

    Attributes:
        rules: the world without it.
        faults: what has to go wrong for it to matter.
        shows: the violations that tell.
    """

    rules: Rules
    faults: tuple[str, ...]
    shows: tuple[str, ...]


# -- rules of the records ------------------------------------------------------------------------


class NoKeptExit(Model):
    """An exit that comes before its start was committed is dropped."""

    def exited(self, guid: int, occ: int, *args: Any, **named: Any) -> Reply:
        if self._exists() and self.rm(str(guid)).get("state") == "READY":
            return Reply("OK")
        return super().exited(guid, occ, *args, **named)


class EndsAtOnce(Model):
    """What lasts for a time ends when it has started."""

    def _end_later(self, guid: str, lasts: float) -> None:
        super()._end_later(guid, 0.0)


class NoHold(Model):
    """A barrier does not wait for the part of its deployment that is not armed yet."""

    def _arm_deployment(self, name: str) -> bool:
        group = self.hash_at(f"order:{name}")["group"]
        barrier = self.hash_at(f"group:{group}")
        if group and self.hash_at(f"order:{name}")["at"] == "0":
            barrier["left"] = str(int(barrier["left"]) - 1)
        finished = super()._arm_deployment(name)
        if group and finished:
            barrier["left"] = str(int(barrier["left"]) + 1)
        return finished


class NoDurableRest(Model):
    """What a script leaves over is known to its caller alone."""

    def _reply(self, status: str = "OK", detail: str = "") -> Reply:
        reply = super()._reply(status, detail)
        self.list_at("callers").extend(f"{self.now}|{entry}" for entry in self.todo)
        self.todo.clear()
        return reply

    def go_on(self) -> Reply:
        for entry in self.list_at("callers"):
            at, _, rest = entry.partition("|")
            if self.clock() - float(at) < _ALIVE:
                self.todo.append(rest)
        self.list_at("callers").clear()
        return super().go_on()


class NoLateStop(Model):
    """A late stop condition makes no stop step."""

    def arm_step(self, guid: str, action: str, barrier: str = "") -> None:
        if action == "stop" and self.step(f"{guid}.deploy").get("status") in ("done", "claimed"):
            return
        super().arm_step(guid, action, barrier)


class NoWaitingAgain(Model):
    """A condition does not touch a step that is due."""

    def _gate_late(self, step: str, condition: Gate) -> None:
        if self.step(step)["status"] == "waiting":
            super()._gate_late(step, condition)


class NoTurns(Model):
    """An RM may run several steps at once."""

    def _wait_for_place(self, step: str, rm: Hash, machine: str) -> str:
        running = rm.pop("running", None)
        refusal = super()._wait_for_place(step, rm, machine)
        if running:
            rm["running"] = running
        return refusal


class NoGrace(Model):
    """After a pause of Redis claims are taken back at once."""

    def look_after(self, step: str, backlogged: Collection[str] = ()) -> None:
        self.meta["reclaim"] = "0"
        super().look_after(step, backlogged)


class AlwaysUntouched(Model):
    """What Redis does not know to be claimed is never released on its host."""

    def release_rm(self, guid: str) -> None:
        self.meta.pop("restarted", None)
        super().release_rm(guid)


class ReleaseFails(Model):
    """An exit that a release brought about counts as a failure."""

    def end_process(self, guid: str, outcome: str, time: float, info: str) -> None:
        if outcome == "FAILED":
            self.fail(guid, info, self.is_critical(guid), time=time)
        else:
            self.reach(guid, outcome, time, info=info)


class NoSuperseding(Model):
    """A set that lost its worker runs again, whatever was set since."""

    def _superseded(self, step: str) -> bool:
        return False


# -- rules of hosts --------------------------------------------------------------------------------


class NoFence(Machine):
    """A host obeys every attempt."""

    def passes(self, guid: int, token: int) -> bool:
        return self.node.prepared and not self.node.ended


class NoEndMarker(Machine):
    """A host forgets that the run has ended."""

    def dismantle(self, left: Collection[int]) -> str:
        super().dismantle(left)
        self.node.ended = False
        self.node.prepared = True
        return "ok"


class GuardPerAttempt(Machine):
    """A launch is guarded by its attempt, not by its occasion."""

    def launch(self, guid: int, token: int, occ: int) -> Any:
        if not self.passes(guid, token):
            return REFUSED
        known = self.node.launches.get((guid, occ))
        if known and self.node.fence.get(-guid) != token:
            del self.node.launches[guid, occ]
        self.node.fence[-guid] = token
        return super().launch(guid, token, occ)


class NoStopMarker(Machine):
    """A stop leaves no mark, so its kill looks like a failure."""

    def mark_stop(self, guid: int, occ: int) -> None:
        pass


class UnmarkedRelease(Machine):
    """A release leaves no mark, so its kill looks like a failure."""

    def clear(self, guid: int, token: int) -> str:
        for pid, (whose, _) in list(self.node.processes.items()):
            if whose == guid:
                self._exit(pid, 137)
        return super().clear(guid, token)


class MarkerOnly(Machine):
    """A launch is marked before it is executed, and a cut connection leaves only the mark."""

    def launch(self, guid: int, token: int, occ: int) -> Any:
        first = (guid, occ) not in self.node.launches
        if first and self.passes(guid, token) and self.kernel.rng.random() < 0.3:
            self.node.launches[guid, occ] = Launch(self.kernel.now, self.node.boot)
            self.node.processes[-guid] = (guid, occ)
        return super().launch(guid, token, occ)


_FOREVER = ("never ends", "stuck without its client")

ABLATIONS: dict[str, Ablation] = {
    "exits are kept": Ablation(Rules(model=NoKeptExit), ("pause", "crash"), _FOREVER),
    "what lasts ends then": Ablation(Rules(model=EndsAtOnce), (), ("ended too early",)),
    "deployments hold barriers": Ablation(Rules(model=NoHold), ("slow",), ("barrier broken",)),
    "the rest is durable": Ablation(
        Rules(model=NoDurableRest), ("crash", "client", "reply"), _FOREVER
    ),
    "late stops make steps": Ablation(Rules(model=NoLateStop), (), _FOREVER),
    "due steps wait again": Ablation(Rules(model=NoWaitingAgain), (), ("ran before its gate",)),
    "an RM takes turns": Ablation(Rules(model=NoTurns), (), ("two hooks at once",)),
    "leases survive an outage": Ablation(
        Rules(model=NoGrace), ("outage",), ("lost without a loss",)
    ),
    "a restarted Redis knows less": Ablation(
        Rules(model=AlwaysUntouched), ("rollback", "abort"), ("interface left behind",)
    ),
    "a release does not fail": Ablation(
        Rules(model=ReleaseFails, machine=UnmarkedRelease), ("abort",), ("wrongly FAILED",)
    ),
    "older sets give way": Ablation(
        Rules(model=NoSuperseding), ("crash", "pause"), ("older set on the host",)
    ),
    "poison is given up": Ablation(Rules(timing=Timing(max_lost=10**6)), ("poison",), _FOREVER),
    "hosts fence": Ablation(
        Rules(machine=NoFence),
        ("crash", "pause", "zombie"),
        ("interface left behind", "effect twice", "older set on the host"),
    ),
    "hosts remember the end": Ablation(
        Rules(machine=NoEndMarker),
        ("pause", "zombie", "abort"),
        ("interface left behind", "launched after release", "process left behind"),
    ),
    "launches are guarded by occasion": Ablation(
        Rules(machine=GuardPerAttempt), ("crash", "zombie"), ("effect twice",)
    ),
    "stops leave a mark": Ablation(Rules(machine=NoStopMarker), (), ("stopped but FAILED",)),
    "marks are made of what runs": Ablation(Rules(machine=MarkerOnly), (), _FOREVER),
    "stops wait": Ablation(Rules(stop_waits=False), (), ("ran before its gate",)),
    "hosts are audited": Ablation(Rules(audit=False), ("reboot",), _FOREVER),
}
