"""Plays client and workers against the scripts, step by step."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis import Redis
from tests.integration.store.dump import KINDS, dump, without_times

from nepiq.controller.engine.store import (
    Claim,
    DueStep,
    ExitReport,
    NotDue,
    Outcome,
    Reply,
    RunStore,
    Timing,
)
from nepiq.controller.engine.store.scripts import Argument
from nepiq.controller.model.spec import Gate, ResourceSpec

TIME = re.compile(r"\d{10}\.\d{6}")


class TwiceStore(RunStore):
    """Executes every script twice, as a client does whose reply was lost, and compares.

    Of the answer only the due steps are those of both; the sweeper would find the first ones.
    """

    def _ask(self, name: str, *args: Argument) -> list[Any]:
        first = super()._ask(name, *args)
        if name == "expire":  # Twice is two parts.
            return first
        once = without_times(dump(self.redis, self.keys.prefix))
        second = super()._ask(name, *args)
        if len(first) < 4 or not isinstance(first[3], list):
            self._compare(name, once)
            return first
        # Work that was left over is gone on with by the second execution.
        if first[1] == 0 and first[0] != f"OK:{self.timing.limit}":
            self._compare(name, once)
        return [first[0], *second[1:3], [*first[3], *second[3]], *first[4:]]

    def _ask_each(self, name: str, calls: Sequence[Sequence[Argument]]) -> list[list[Any]]:
        if len(calls) > 1:  # a single one is executed by _ask
            super()._ask_each(name, calls)
        return super()._ask_each(name, calls)

    def _compare(self, name: str, once: Any) -> None:
        twice = without_times(dump(self.redis, self.keys.prefix))
        assert twice == once, f"{name} executed twice differs from once"


class Driver:
    """One client and one worker of a run.

    Attributes:
        store: the run.
        due: what has been handed out and not claimed.
    """

    def __init__(self, redis: Redis, *, twice: bool, **timing: Any) -> None:
        kind = TwiceStore if twice else RunStore
        self.store = kind(
            redis, "20251122101112131415", Timing(**{"limit": 3, "horizon": 30.0, **timing})
        )
        self.due: dict[str, DueStep] = {}
        self._ids = itertools.count(1)
        assert self.store.create("creator", "exp")[0] == "OK"

    def new_id(self) -> str:
        """An id that has not been used."""
        return f"id{next(self._ids)}"

    def settle(self, reply: Reply) -> Reply:
        """Take what became due, and go on with what is left."""
        first = reply
        while True:
            self.due.update({item.step: item for item in reply.due})
            if not reply.more:
                return first
            reply = self.store.go_on()

    # -- the client ------------------------------------------------------------------------

    def upload(self, *specs: ResourceSpec) -> None:
        assert self.store.upload("uploader", specs) == "OK"

    def bare(self, count: int, **fields: Any) -> None:
        """Upload that many resource managers, guids from 1."""
        self.upload(*(spec(guid, **fields) for guid in range(1, count + 1)))

    def deploy(self, guids: Iterable[int], group: int | str | None = "new") -> str:
        reply = self.settle(self.store.deploy(self.new_id(), group, guids))
        assert reply.ok, reply
        return reply.detail

    def condition(
        self, guid: int, action: str, target: int, milestone: str, offset: float = 0.0
    ) -> Reply:
        wanted = Gate(action, target, milestone, offset)
        return self.settle(self.store.condition(guid, wanted))

    def request(self, guid: int, action: str, *args: Any) -> Reply:
        return self.settle(self.store.request(self.new_id(), guid, action, args))

    def release(self, guids: Iterable[int] | None = None) -> None:
        assert self.settle(self.store.release(self.new_id(), guids)).ok

    # -- the worker ------------------------------------------------------------------------

    def answers(
        self, *steps: str, worker: str = "w", machine: str = "m"
    ) -> list[Claim | NotDue | None]:
        """What claiming the steps answers."""
        for step in steps:
            self.due.pop(step, None)
        reply, answers = self.store.claim(steps, self.new_id(), worker, machine)
        self.settle(reply)
        return answers

    def claim(self, step: str, worker: str = "w", machine: str = "m") -> Claim:
        """Claim a step that must be granted."""
        (answer,) = self.answers(step, worker=worker, machine=machine)
        assert isinstance(answer, Claim), (step, answer, self.store.step(step))
        return answer

    def commit(self, claim: Claim, kind: str = "ok", **detail: Any) -> str:
        """End an attempt; the status."""
        reply, (status,) = self.store.commit([Outcome(claim.step, claim.token, kind, **detail)])
        self.settle(reply)
        return status

    def do(self, step: str, kind: str = "ok", **detail: Any) -> Claim:
        """Claim a step and end it."""
        claim = self.claim(step)
        assert self.commit(claim, kind, **detail) == "OK"
        return claim

    def run(self) -> list[str]:
        """Do all that is due, and what becomes due by that; the steps in their order."""
        done: list[str] = []
        while steps := list(self.due):
            for step, answer in zip(steps, self.answers(*steps), strict=True):
                if isinstance(answer, Claim):
                    assert self.commit(answer) == "OK"
                    done.append(step)
        return done

    def exited(self, guid: int, outcome: str, occ: int = 1, **detail: Any) -> None:
        watch = detail.pop("watch", None)
        (reply,) = self.store.exited([ExitReport(guid, occ, outcome, **detail)], watch)
        assert self.settle(reply).ok

    # -- time ------------------------------------------------------------------------------

    def later(self, seconds: float) -> None:
        """Let time pass while nobody does anything: all times of the run move into the past."""
        of = self.store.keys.of
        timed = ("alarm", "watch")
        with self.store.redis.pipeline() as calls:
            for kind in KINDS:
                calls.hgetall(of(kind))
            for name in timed:
                calls.zrange(of(name), 0, -1, withscores=True)
            *found, meta = calls.get(of("meta")).execute()
            for kind, records in zip(KINDS, found, strict=False):
                if records:
                    moved = {member: _moved(text, seconds) for member, text in records.items()}
                    calls.hset(of(kind), mapping=moved)
            for name, members in zip(timed, found[len(KINDS) :], strict=True):
                if members:
                    calls.zadd(of(name), {m: max(0.0, at - seconds) for m, at in members})
            calls.set(of("meta"), _moved(meta, seconds)).execute()

    def sweep_for(self, seconds: float) -> None:
        """Let time pass with sweeps all the while, so that none of them comes after a pause."""
        pause = self.store.timing.lease / 4
        while seconds > 0:
            self.later(pause)
            self.settle(self.store.sweep())
            seconds -= pause

    # -- looking ---------------------------------------------------------------------------

    def state(self, guid: int) -> str:
        return self.store.snapshot([guid]).states[guid]

    def states(self) -> dict[int, str]:
        return self.store.snapshot().states

    def status(self, step: str) -> str:
        found = self.store.step(step)
        return found.status if found else ""

    def phase(self) -> str:
        return self.store.snapshot([]).phase

    def events(self, *whats: str) -> list[tuple[int, str]]:
        """Guid and event, in order; only those named if any are."""
        entries = dump(self.store.redis, self.store.keys.prefix)["ev"]
        found = [(int(entry["g"]), entry["e"]) for entry in entries]
        return [item for item in found if not whats or item[1] in whats]

    def live_steps(self) -> dict[str, str]:
        """Status by id of the steps that are neither done nor void."""
        records = dump(self.store.redis, self.store.keys.prefix)
        steps = {key[5:]: item for key, item in records.items() if key.startswith("step:")}
        return {
            step: item["status"]
            for step, item in steps.items()
            if item["status"] not in ("done", "void")
        }


def _moved(text: bytes, seconds: float) -> str:
    fields = json.loads(text)
    for name, value in fields.items():
        if isinstance(value, str) and TIME.fullmatch(value):
            fields[name] = f"{float(value) - seconds:.6f}"
    # As compact as Lua writes it: scripts look into the text itself.
    return json.dumps(fields, separators=(",", ":"))


def spec(guid: int, *gates: Gate, **fields: Any) -> ResourceSpec:
    """A resource manager without I/O, unless said otherwise."""
    given: Mapping[str, Any] = {"rtype": "nepiq::Null", "label": f"r-{guid}", "batch": True}
    return ResourceSpec(guid, gates=gates, **{**given, **fields})


def node(guid: int, **fields: Any) -> ResourceSpec:
    """A host."""
    given = {"batch": False, "host": guid, "is_host": True, "site": "default"}
    return spec(guid, **{**given, "queue": "nepiq.default", **fields})


def app(guid: int, host: int, *gates: Gate, **fields: Any) -> ResourceSpec:
    """What does I/O on a host, needs it READY and lives on it."""
    need = Gate("deploy", host, "READY", need=True)
    given = {"batch": False, "host": host, "after": (host,), "queue": "nepiq.default"}
    return spec(guid, need, *gates, **{**given, **fields})
