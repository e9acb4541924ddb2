"""A client: describes, deploys, does things on the way, waits, and releases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nepiq.controller.engine.store.calls import Reply
from nepiq.controller.engine.store.records import Snapshot

from .kernel import LostError, Owner, Process
from .records import ENDED
from .scenario import Move

if TYPE_CHECKING:
    from .world import World

_UPLOAD = 3


@dataclass(eq=False)
class Client(Owner):
    """A program that describes an experiment and waits for it.

    Attributes:
        calls: what this process has asked for, to be repeated if Redis forgets it.
        known: how many of Redis' returns to the past it has noticed.
    """

    world: World = field(kw_only=True)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    known: int = 0
    group: int | None = None
    moving: int = 0

    # -- calls ----------------------------------------------------------------------------------

    def do(self, name: str, *args: Any) -> Process:
        """Call a script until it answers, and settle its reply."""
        self.calls.append((name, *args))
        yield from self.repeat()
        return (yield from self._call(name, *args))

    def repeat(self) -> Process:
        """If Redis came back younger, repeat everything: calls are idempotent."""
        if self.known == self.world.rollbacks:
            return
        self.known = self.world.rollbacks
        for call in list(self.calls):
            yield from self._call(*call)

    def _call(self, name: str, *args: Any) -> Process:
        while True:
            try:
                answer = yield from self.world.redis(name, *args)
            except LostError:
                yield 0.05
                continue
            break
        if isinstance(answer, Reply):
            try:
                yield from self.world.settle(answer)
            except LostError:
                yield 0.0
        return answer

    def touch(self) -> Process:
        """Say that somebody is there."""
        while self.world.truth.done is None:
            yield 10.0
            try:
                yield from self.world.redis("touch")
            except LostError:
                continue

    # -- waiting --------------------------------------------------------------------------------

    def wait(self, over: Callable[[dict[int, str], str], bool]) -> Process:
        """A snapshot, then the history from that point; a new snapshot when Redis came back."""
        model = self.world.model
        states: dict[int, str] = {}
        phase, position, known = "", 0, -1
        while True:
            if known != self.world.rollbacks:
                yield from self.repeat()
                known = self.world.rollbacks
                snapshot: Snapshot = yield from self._call("snapshot")
                if snapshot.phase == "GONE":
                    return snapshot.phase
                states, phase = dict(snapshot.states), snapshot.phase
                position = int(snapshot.last_id.partition("-")[0])
            for event in model.events[position:]:
                if event["g"] == "0":
                    phase = event["e"]
                elif event["e"] not in ("claim", "again", "lost", "void", "set", "done"):
                    states[int(event["g"])] = event["e"]
            position = len(model.events)
            if over(states, phase):
                return phase
            yield 0.05

    # -- programs -------------------------------------------------------------------------------

    def experiment(self) -> Process:
        """A whole experiment."""
        scenario, world = self.world.scenario, self.world
        patience = world.rng.choice([None, 150.0]) if "client" in world.faults else None
        yield from self.do("create", "creator", "experiment", patience)
        specs = [resource.spec for resource in scenario.resources.values()]
        for at in range(0, len(specs), _UPLOAD):
            yield from self.do("upload", "creator", specs[at : at + _UPLOAD])
        world.kernel.spawn(self, self.touch())
        group = "new" if scenario.barrier else None
        reply = yield from self.do("deploy", "first", group, scenario.first)
        self.group = int(reply.detail) if reply.detail.isdigit() else None
        self.moving = len(scenario.moves)
        for move in scenario.moves:
            world.kernel.spawn(self, self.move(move))
        if "abort" in world.faults:
            yield world.rng.uniform(0.3, 12)
        else:
            deployed = [guid for guid in scenario.apps() if guid in scenario.first]
            yield from self.wait(
                lambda states, phase: (
                    phase != "RUNNING"
                    or (
                        self.moving == 0
                        and all(
                            states.get(guid) in ENDED
                            for guid in (scenario.apps() if self.joined else deployed)
                        )
                    )
                )
            )
        yield from self.release()

    @property
    def joined(self) -> bool:
        """Whether the late joiners were deployed."""
        return any(call[:2] == ("deploy", "late") for call in self.calls)

    def release(self) -> Process:
        """Release everything and wait until it is."""
        yield from self.do("release", f"all by {self.name}")
        yield from self.wait(lambda states, phase: phase in ("RELEASED", "GONE"))
        self.world.truth.done = self.world.kernel.now

    def attach(self) -> Process:
        """Take over the run of a client that died."""
        if self.world.model.meta:
            self._look_for_stuck()
        else:
            self.world.truth.done = self.world.kernel.now
            return
        yield from self.release()

    def _look_for_stuck(self) -> None:
        """What was deployed goes on without its client, if it waits for nothing more from it."""
        world, model = self.world, self.world.model
        wanted = {"condition", "join"} & {move.kind for move in world.scenario.moves}
        if world.rollbacks or wanted or model.meta["phase"] != "RUNNING":
            return
        for guid in model.list_at("list:first"):
            node = world.scenario.resources[int(guid)].kind == "node"
            if not node and model.rm(guid)["state"] not in ENDED:
                world.truth.wrong("stuck without its client", guid)

    # -- what a client does on the way ------------------------------------------------------------

    def move(self, move: Move) -> Process:
        """Do one thing while the experiment runs."""
        yield move.at
        name = f"{move.kind} {move.guids} {move.value}"
        guid = move.guids[0]
        if move.kind == "join":
            group = self.group if self.world.scenario.barrier else None
            yield from self.do("deploy", "late", group, move.guids)
        elif move.kind == "release":
            yield from self.do("release", name, move.guids)
        elif move.kind == "set":
            yield from self.do("request", name, guid, "set", ["value", move.value])
        elif move.kind == "stop":
            yield from self.do("request", name, guid, "stop")
        elif move.kind == "condition":
            reply = yield from self.do("condition", guid, move.condition)
            if reply.status == "OK" and move.condition and not self.world.rollbacks:
                self.world.truth.late.append((guid, move.condition))
        elif move.kind == "restart":
            yield from self.wait(
                lambda states, phase: phase != "RUNNING" or states.get(guid) in ENDED
            )
            yield from self.do("request", name, guid, "start")
        self.moving -= 1
