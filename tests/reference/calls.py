"""Random sequences of calls that make sense at the moment: what tests feed to model and Lua.

A call is a method's name and its arguments; they are the same for the model and ``RunStore``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from nepiq.controller.engine.store.calls import Outcome
from nepiq.controller.model.spec import Gate, ResourceSpec

from .model import Model
from .records import MILESTONES, action_of


class Call(NamedTuple):
    """A method and what it is called with."""

    name: str
    args: tuple[Any, ...]


@dataclass
class Calls:
    """Draws calls by looking at the model.

    Args:
        rng: the source of chance.
        model: the run; what is drawn fits its state more often than not.
        unit: seconds that offsets and delays are multiples of.
    """

    rng: random.Random
    model: Model
    unit: float = 0.002
    serial: int = 0

    def __post_init__(self) -> None:
        # Some runs go well for long; in some the sweeper comes often enough to take claims back.
        self.calm = self.rng.random() < 0.6
        self.sweeps = self.rng.choice([1, 15])

    @property
    def guids(self) -> list[int]:
        """What has been uploaded."""
        return [int(guid) for guid in self.model.list_at("rms")]

    def next(self) -> Call:
        """Draw a call."""
        self.serial += 1
        if not self.model.meta:
            return Call("create", ("n1", "exp", self.rng.choice([None, None, 400 * self.unit])))
        kinds: list[tuple[int, Callable[[], Call]]] = [
            (4 if len(self.guids) < 12 else 0, self._upload),
            (3, self._deploy),
            (2, self._condition),
            (3, self._request),
            (12, self._claim),
            (12, self._commit),
            (3, self._again),
            (2, self._wake),
            (3, self._progress),
            (2, self._exited),
            (0 if self.calm and self.rng.random() < 0.8 else 1, self._release),
            (4, lambda: Call("go_on", ())),
            (self.sweeps, self._sweep),
            (1, self._renew),
            (1, self._watch),
            (1, self._rare),
        ]
        weights = [weight for weight, _ in kinds]
        return self.rng.choices([draw for _, draw in kinds], weights)[0]()

    # -- choices --------------------------------------------------------------------------------

    def _guid(self) -> int:
        return self.rng.choice([*self.guids, *self.guids, 99]) if self.guids else 99

    def _steps(self, *statuses: str) -> list[str]:
        found = [
            key.partition(":")[2]
            for key, record in self.model.hashes.items()
            if key.startswith("step:") and record and (record["status"] in statuses)
        ]
        return sorted(found)

    def _held(self) -> tuple[str, int]:
        """A claimed step and its token; now and then one that is not, or another token."""
        steps = self._steps("claimed")
        if not steps or self.rng.random() < 0.1:
            steps = self._steps("waiting", "due", "claimed", "done", "void") or ["99.deploy"]
        step = self.rng.choice(steps)
        token = int(self.model.step(step).get("token", 7))
        return step, token if self.rng.random() < 0.95 else token + 1

    def _duration(self) -> float:
        return self.rng.choice([0, 0, 0, 0, 1, 3, 10, 200 * (self.rng.random() < 0.1)]) * self.unit

    def _attributes(self) -> dict[str, Any]:
        if self.rng.random() < 0.7:
            return {}
        return {self.rng.choice(["a", "b"]): self.rng.choice([1, "x y", None, [], {"k": 0.5}])}

    def _error(self) -> dict[str, Any]:
        return {"message": f"error {self.serial}", "where": "ü"}

    # -- calls ----------------------------------------------------------------------------------

    def _upload(self) -> Call:
        rng, first = self.rng, len(self.guids) + 1
        specs = [self._spec(guid) for guid in range(first, first + rng.randint(1, 3))]
        nonce = "n1" if rng.random() < 0.95 else "n2"
        if rng.random() < 0.1 and len(self.guids) > 3:
            specs.append(self._spec(1))
        return Call("upload", (nonce, specs))

    def _spec(self, guid: int) -> ResourceSpec:
        rng = self.rng
        label = f"r-{guid}"
        hosts = [host for host in (1, 2) if host < guid]
        if guid <= 2:
            return ResourceSpec(
                guid,
                "linux::Node",
                label,
                queue="nepiq.default",
                host=guid,
                is_host=True,
                local=guid == 2,
                site="default",
                limit=rng.choice([None, 1, 2]),
                affinity=rng.choice(["", "alice@host:22"]),
            )
        host = rng.choice([None, *hosts])
        earlier = rng.sample(range(1, guid), min(guid - 1, 2))
        conditions = [
            Gate(
                rng.choice(["deploy", "start", "start", "stop"]),
                rng.choice([*earlier, guid]),
                rng.choice(MILESTONES[3:]),
                self._duration(),
                rng.random() < 0.3,
            )
            for _ in range(rng.choice([0, 0, 1, 2]))
        ]
        # A step waits at most once for a milestone: the order in a set of Redis is not ours.
        unique = {item[:3]: item for item in conditions}
        needs = [Gate("deploy", host, "READY", 0.0, need=True)] if host else []
        unique.update({item[:3]: item for item in needs})
        return ResourceSpec(
            guid,
            "nepiq::Test",
            label,
            queue="nepiq.default" if host else "nepiq",
            critical=rng.random() < 0.5,
            batch=rng.random() < 0.4,
            idle=rng.choice([(), ("deploy",), ("stop", "release")]),
            host=host,
            inside=rng.choice([None, *earlier]) if host else None,
            joint=rng.choice([(), ("deploy", "start"), ("release",)]),
            covered=rng.random() < 0.2,
            left_to_host=rng.random() < 0.5,
            peers={"peer": earlier} if rng.random() < 0.2 else {},
            attributes=self._attributes(),
            gates=list(unique.values()),
            after=[*([host] if host else []), *(earlier[:1] if rng.random() < 0.3 else [])],
        )

    def _deploy(self) -> Call:
        rng = self.rng
        guids = rng.sample(self.guids, rng.randint(0, len(self.guids)))
        group = rng.choice(["new", "new", None, 1, 3])
        return Call("deploy", (f"d{rng.randint(1, 6)}", group, sorted(guids)))

    def _condition(self) -> Call:
        rng = self.rng
        guid = self._guid()
        action, target = rng.choice(["deploy", "start", "start", "stop"]), self._guid()
        milestone = rng.choice(MILESTONES[3:])
        known = self.model.set_at(f"cond:{guid}")
        same = [entry for entry in known if entry.startswith(f"{action}|{target}|{milestone}|")]
        offset = float(same[0].split("|")[3]) if same else self._duration()
        return Call("condition", (guid, Gate(action, target, milestone, offset)))

    def _request(self) -> Call:
        action = self.rng.choice(["start", "stop", "set", "set", "discover", "provision"])
        args = [self.rng.choice(["a", "b"]), self.serial] if action == "set" else []
        order, guid = f"q{self.rng.choice([self.serial, self.serial, 1])}", self._guid()
        ended = [key[3:] for key, rm in self.model.hashes.items() if rm.get("FINISHED")]
        if action == "start" and ended:
            guid = int(self.rng.choice(sorted(ended)))
        return Call("request", (order, guid, action, args))

    def _claim(self) -> Call:
        rng = self.rng
        ready = self._steps("due")
        if not ready or rng.random() < 0.1:
            ready = self._steps("waiting", "due", "claimed", "done", "void") or ["99.deploy"]
        steps = rng.sample(ready, min(len(ready), rng.choice([1, 1, 2, 4])))
        nonce = f"c{self.serial}"
        claimed = self._steps("claimed")
        if claimed and rng.random() < 0.1:
            nonce = self.model.step(claimed[0])["nonce"]
            steps = [claimed[0]]
        machine = rng.choice(["m1", "m1", "m2"])
        return Call("claim", (steps, nonce, f"w{rng.randint(1, 3)}", machine))

    def _commit(self) -> Call:
        outcomes = [self._outcome(*self._held()) for _ in range(self.rng.choice([1, 1, 1, 3]))]
        return Call("commit", (outcomes,))

    def _outcome(self, step: str, token: int) -> Outcome:
        rng = self.rng
        action = action_of(step)
        kinds = ["ok"] * 6
        if action == "start":
            kinds += ["FINISHED", "STOPPED", "lasts"]
        if not self.calm or rng.random() < 0.1:
            kinds += ["failed", "cancelled", *(["FAILED"] if action == "start" else [])]
        kind = rng.choice(kinds)
        info = self._error() if kind in ("failed", "FAILED") else rng.choice([None, {"code": 0}])
        attrs = self._attributes()
        if action == "set" and kind == "ok":
            attrs = {rng.choice(["a", "b"]): self.serial}
        outputs = {"stdout": b"\x00\xff" * 3} if rng.random() < 0.1 else {}
        age, end_age = self._duration(), self._duration()
        return Outcome(step, token, kind, age, attrs, info, outputs, end_age)

    def _again(self) -> Call:
        step, token = self._held()
        kind = self.rng.choice(["later", "retry", "silent"])
        return Call("again", (step, token, self._duration(), kind, "", self._attributes()))

    def _wake(self) -> Call:
        steps = self._steps("claimed", "due", "done") or ["99.deploy"]
        return Call("wake", (self.rng.choice(steps),))

    def _progress(self) -> Call:
        step, token = self._held()
        deploys = [held for held in self._steps("claimed") if action_of(held) == "deploy"]
        if deploys:
            step = self.rng.choice(deploys)
            token = int(self.model.step(step)["token"])
        state = self.rng.choice(MILESTONES[:3])
        return Call("progress", (step, token, state, self._duration(), self._attributes()))

    def _exited(self) -> Call:
        rng = self.rng
        guid = self._guid()
        occ = int(self.model.rm(str(guid)).get("occ", 1)) + rng.choice([0, 0, 0, 1])
        guids = [key[3:] for key, rm in self.model.hashes.items() if rm.get("state") == "STARTED"]
        if guids and rng.random() < 0.7:
            guid = int(rng.choice(sorted(guids)))
        outcome = rng.choice(["FINISHED", "STOPPED", *([] if self.calm else ["FAILED"])])
        info = self._error() if outcome == "FAILED" else None
        if rng.random() < 0.15:
            outcome, info = "RESTARTED", {"code": 1, "restarts": rng.choice([1, 2, 3, 101])}
        outputs = {"stdout": b"bytes \xfe"} if rng.random() < 0.3 else {}
        age = self._duration()
        return Call(
            "exited", (guid, occ, outcome, age, info, self._attributes(), outputs, self._holder())
        )

    def _holder(self) -> tuple[int, str] | None:
        """A node and who may be following its journal; now and then nobody."""
        if self.rng.random() < 0.3:
            return None
        node = self.rng.choice([1, 2])
        holder = self.model.hash_at(f"journal:{node}").get("worker", "w1")
        return node, holder if self.rng.random() < 0.9 else "w2"

    def _release(self) -> Call:
        chance = self.rng.random()
        if chance < 0.15:
            return Call("release", (f"r{self.serial}", None))
        if chance < 0.25:
            node, holder = self._holder() or (self.rng.choice([1, 2]), "")
            return Call("abandon", (node, self._error(), holder, self.rng.choice([None, 0.0, 9e9])))
        return Call("release", (f"r{self.rng.randint(1, 3)}", [self._guid()]))

    def _sweep(self) -> Call:
        queues = ["nepiq", "nepiq.default", "nepiq.m.m1"]
        return Call("sweep", (self.rng.sample(queues, self.rng.choice([0, 0, 1, 2])),))

    def _renew(self) -> Call:
        held = [self._held() for _ in range(self.rng.randint(0, 3))]
        return Call("renew", ("w1", held))

    def _watch(self) -> Call:
        node, worker = self.rng.choice([1, 2, 3]), f"w{self.rng.randint(1, 2)}"
        kind = self.rng.choice(["watch", "watch", "watched", "unwatch"])
        if kind == "watched":
            journal, offset = self.rng.choice(["j1", "j2"]), self.rng.randint(0, 90)
            since = self.rng.choice([0, offset // 2])
            return Call("watched", (node, worker, journal, offset, since))
        return Call(kind, (node, worker))

    def _rare(self) -> Call:
        rng = self.rng
        rare = [
            Call("touch", (rng.choice([None, None, math.inf, 400 * self.unit]),)),
            Call("snapshot", (self.guids or None,)),
            Call("reserve", (rng.randint(1, 4), f"v{rng.randint(1, 3)}", rng.choice([0, 20]))),
            Call("create", (rng.choice(["n1", "n2"]), "exp", None)),
            Call("expire", ()),
        ]
        return rng.choice(rare)
