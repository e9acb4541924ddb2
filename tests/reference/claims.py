"""What workers do with steps: claim, renew, make progress, commit, give back; and lose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nepiq.controller.engine.store.calls import Claim, NotDue, Outcome, Reply
from nepiq.controller.engine.store.forms import loads

from .records import Cause, Hash, action_of, guid_of, number, text, to_json
from .steps import LIVE
from .todo import Todo

_CLAIM_TOLERANCE = 0.002
#: What is done of a deployment when it is asked for by itself, and what it reaches.
PARTIAL = {"discover": "DISCOVERED", "provision": "PROVISIONED"}
_BEFORE_READY = ("NEW", "DISCOVERED", "RESERVED", "PROVISIONED")


@dataclass
class Claims(Todo):
    """The scripts of workers."""

    # -- every script ------------------------------------------------------------------------------

    def _exists(self) -> bool:
        return bool(self.meta) and self.meta["phase"] != "EXPIRED"

    def _tick(self) -> None:
        self.now = max(round(self.clock(), 6), number(self.meta.get("last")))
        self.meta["last"] = text(self.now)

    def _begin(self) -> bool:
        """Start a script; False if there is no such run."""
        if not self._exists():
            return False
        self._tick()
        self.budget = self.timing.limit
        self.due = []
        return True

    def _reply(self, status: str = "OK", detail: str = "") -> Reply:
        """End a script: go on with what is left to do, and say what became due."""
        self.drain()
        return self._answer(status, detail, bool(self.todo))

    def _answer(self, status: str = "OK", detail: str = "", more: bool = False) -> Reply:
        ended = self.meta["phase"] == "RELEASED" and not self.todo
        return Reply(status, detail, more, ended, self.due)

    # -- what phase and state allow ----------------------------------------------------------------

    def forbidden(self, action: str) -> bool:
        """Whether the run's phase forbids to begin an action."""
        phase = self.meta["phase"]
        if action in ("stop", "finish"):
            return phase in ("RELEASING", "RELEASED")
        return action != "release" and phase != "RUNNING"

    def allowed(self, action: str, state: str, requested: bool = False) -> bool:
        """Whether an RM in a state may begin an action."""
        if action in ("deploy", *PARTIAL):
            return state in _BEFORE_READY
        if action == "start":
            return state == "READY" or (requested and state in ("STOPPED", "FINISHED"))
        if action == "stop" or (action == "finish" and not requested):
            return state == "STARTED"
        if action == "finish":
            return False
        return state != "RELEASED"

    # -- claim -------------------------------------------------------------------------------------

    def claim(
        self, steps: Sequence[str], nonce: str, worker: str, machine: str
    ) -> tuple[Reply, list[Claim | NotDue | None]]:
        """Take steps to run them; per step a claim, how early it is, or None."""
        if not self._begin():
            return Reply("GONE"), [None] * len(steps)
        # Who gives up an offer does so before those whom it may help.
        answers: dict[int, Claim | NotDue | None] = {}
        for offered in (True, False):
            for at, step in enumerate(steps):
                if at not in answers and (not offered or self.step(step).get("lined") == "2"):
                    answers[at] = self._claim(step, nonce, worker, machine)
        return self._answer(), [answers[at] for at in range(len(steps))]

    def _claim(self, step: str, nonce: str, worker: str, machine: str) -> Claim | NotDue | None:
        record = self.step(step)
        if record.get("status") == "claimed" and record["nonce"] == nonce:
            return self._grant(step)
        refusal = self._refuse(step, machine)
        if refusal:
            if refusal != "elsewhere":
                self.give_up_offer(step)
            return refusal if isinstance(refusal, NotDue) else None
        self._take(step, nonce, worker)
        return self._grant(step)

    def _refuse(self, step: str, machine: str) -> NotDue | str:
        """Why a step cannot be taken; empty if it can."""
        record = self.step(step)
        if record.get("status") != "due":
            return "not due"
        rm = self.rm(guid_of(step))
        if self.forbidden(action_of(step)) or not self.allowed(action_of(step), rm["state"]):
            self.void(step)
            return "void"
        if self._superseded(step):
            self.void(step, "superseded")
            return "void"
        if number(record["due"]) > self.now + _CLAIM_TOLERANCE:
            return NotDue(step, number(record["due"]) - self.now)
        return self._wait_for_place(step, rm, machine)

    def _superseded(self, step: str) -> bool:
        """Whether a set was asked for before the one that gave its attribute its value.

        One that lost its worker must not undo on the host what was asked for later.
        """
        if action_of(step) != "set":
            return False
        guid, _, n = step.split(".")
        name, _ = loads(self.step(step)["args"])
        return int(self.hash_at(f"attr:{guid}").get(f"={name}", 0)) > int(n)

    def _wait_for_place(self, step: str, rm: Hash, machine: str) -> str:
        """Let a due step wait for its RM, its machine or a place on its host, if it must."""
        if rm.get("running"):
            if self.step(step).get("lined") != "1":
                self.park(step, rm)
            return "parked"
        if not self._bind(rm, machine):
            self.submit(step)
            return "elsewhere"
        host = self.busy_host(step)
        if host and self.step(step).get("lined") != "2" and not self.has_place(step, host):
            self.line_up(step, host)
            return "full"
        return ""

    def _bind(self, rm: Hash, machine: str) -> bool:
        """Local hosts of a site are on one machine: that of the first who claims a step there."""
        host = self.rm(rm["host"]) if rm.get("host") else {}
        if host.get("local") != "1":
            return True
        return self.meta.setdefault(f"bind.{host['site']}", machine) == machine

    def _take(self, step: str, nonce: str, worker: str) -> None:
        record, rm = self.step(step), self.rm(guid_of(step))
        token = max(int(rm.get("token", 0)) + 1, round(self.now * 1e6))
        rm.update(running=step, token=f"{token:.0f}")
        record.update(status="claimed", nonce=nonce, worker=worker, token=f"{token:.0f}")
        record["tries"] = str(int(record.get("tries", 0)) + 1)
        record.setdefault("began", self._begin_of(step))
        record.pop("lined", None)
        self.alarm[step] = self.now + self.timing.lease
        host = self.busy_host(step)
        if host:
            self.set_at(f"busy:{host}").add(step)
        if self.does_io(step):
            self.event(guid_of(step), "claim", self.cause(step))

    def _begin_of(self, step: str) -> str:
        silent = self.rm(self.busy_host(step)).get("silent") if self.busy_host(step) else None
        return text(max(number(silent), number(self.step(step)["due"])) if silent else self.now)

    def _grant(self, step: str) -> Claim:
        record, rm = self.step(step), self.rm(guid_of(step))
        attributes = self.hash_at(f"attr:{guid_of(step)}")
        return Claim(
            step,
            int(record["token"]),
            int(record["tries"]),
            int(record.get("retried", 0)),
            number(record["began"]),
            number(record["due"]),
            rm["rtype"],
            rm["label"],
            int(rm["occ"]),
            rm["state"],
            int(rm["host"]) if rm.get("host") else None,
            int(rm["inside"]) if rm.get("inside") else None,
            record.get("covered") == "1",
            loads(record.get("args")) or [],
            loads(rm.get("peers")) or {},
            {name: loads(value) for name, value in attributes.items() if name[0] != "="},
        )

    def renew(self, worker: str, held: Sequence[tuple[str, int]]) -> list[str]:
        """Keep claims for another lease; per claim ``ok``, ``cancel`` or ``lost``."""
        if not self._begin():
            return ["lost"] * len(held)
        return [self._renew(step, token) for step, token in held]

    def _renew(self, step: str, token: int) -> str:
        if not self._holds(step, token):
            return "lost"
        self.alarm[step] = self.now + self.timing.lease
        return "cancel" if self.step(step).get("cancel") else "ok"

    def _holds(self, step: str, token: int) -> bool:
        record = self.step(step)
        return record.get("token") == str(token) and record["status"] == "claimed"

    # -- progress, commit, again -------------------------------------------------------------------

    def progress(
        self,
        step: str,
        token: int,
        state: str,
        age: float = 0.0,
        attrs: Mapping[str, Any] | None = None,
    ) -> Reply:
        """A milestone on the way of a deploy."""
        if not self._begin():
            return Reply("GONE")
        if not self._holds(step, token):
            return self._reply("STALE")
        guid = guid_of(step)
        self.keep(guid, attrs or {}, {})
        if self.rm(guid)["state"] in _BEFORE_READY and state not in self.rm(guid):
            self.reach(guid, state, self._time_of(step, age), self.cause(step))
        return self._reply()

    def commit(self, outcomes: Sequence[Outcome]) -> tuple[Reply, list[str]]:
        """How attempts ended; per outcome ``OK`` or ``STALE``."""
        if not self._begin():
            return Reply("GONE"), ["GONE"] * len(outcomes)
        statuses = [self._commit(outcome) for outcome in outcomes]
        return self._reply(), statuses

    def _commit(self, outcome: Outcome) -> str:
        step = outcome.step
        record = self.step(step)
        if not self._holds(step, outcome.token):
            repeated = record.get("token") == str(outcome.token)
            return "OK" if repeated and record["status"] in ("done", "void") else "STALE"
        guid, action, cause = guid_of(step), action_of(step), self.cause(step)
        time, failed = self._time_of(step, outcome.age), outcome.kind == "failed"
        if action == "set" and not failed:
            self._keep_set(step, outcome.attrs)
        else:
            self.keep(guid, outcome.attrs, outcome.outputs)
        if outcome.kind == "cancelled":
            self.void(step)
            return "OK"
        error = to_json(dict(outcome.info)) if failed and outcome.info else ""
        noted = {"error": error} if error and action in ("set", "release") else {}
        if not failed and self.busy_host(step):
            self.rm(self.busy_host(step)).pop("silent", None)
        self.end_step(step, "done", **noted)
        state = self.rm(guid)["state"]
        if action == "set":
            self.event(guid, "set", cause, error)
        elif action == "release":
            self.released(guid, cause, error)
        elif failed:
            self.fail(guid, error, self.is_critical(guid), cause, time)
        else:
            self._succeed(outcome, cause, time)
        if action != "set" and self.rm(guid)["state"] == state:
            self.event(guid, "done", cause)
        return "OK"

    def _succeed(self, outcome: Outcome, cause: Cause, time: float) -> None:
        guid, action = guid_of(cause.step), action_of(cause.step)
        rm = self.rm(guid)
        if action == "deploy" and rm["state"] in _BEFORE_READY:
            self.reach(guid, "READY", time, cause)
        elif action in PARTIAL and rm["state"] in _BEFORE_READY:
            if PARTIAL[action] not in rm:
                self.reach(guid, PARTIAL[action], time, cause)
        elif action == "stop" and rm["state"] == "STARTED":
            self.reach(guid, "STOPPED", time, cause)
        elif action == "finish" and rm["state"] == "STARTED":
            self.reach(guid, "FINISHED", number(self.step(cause.step)["at"]), cause)
        elif action == "start" and rm["state"] == "READY":
            self.reach(guid, "STARTED", time, cause)
            kept = rm.pop("exit", "")
            if outcome.kind == "lasts":
                self._end_later(guid, outcome.end_age)
            elif outcome.kind != "ok":
                info = to_json(dict(outcome.info)) if outcome.info else ""
                self.end_process(guid, outcome.kind, self.now - max(0.0, outcome.end_age), info)
            elif kept:
                ended_as, at, info = kept.split("|", 2)
                self.end_process(guid, ended_as, number(at), info)

    def _end_later(self, guid: str, lasts: float) -> None:
        """An RM without a process is FINISHED some time after its start."""
        step = self.numbered_step(guid, "finish")
        record = self.step(step)
        record["at"] = record["due"] = text(number(self.rm(guid)["STARTED"]) + lasts)
        self.make_due(step)

    def end_process(self, guid: str, outcome: str, time: float, info: str) -> None:
        """What an RM had started has ended, by itself or not.

        While the RM is being released it is the release that ends it.
        """
        if outcome == "FAILED" and self.step(f"{guid}.release").get("status") in LIVE:
            outcome = "STOPPED"
        if outcome == "FAILED":
            self.fail(guid, info, self.is_critical(guid), time=time)
        else:
            self.reach(guid, outcome, time, info=info)

    def _time_of(self, step: str, age: float) -> float:
        return max(self.now - max(0.0, age), number(self.step(step)["began"]))

    def _keep_set(self, step: str, attrs: Mapping[str, Any]) -> None:
        """Keep what was set, unless somebody has asked later for another value, and got it."""
        guid, _, n = step.split(".")
        attributes = self.hash_at(f"attr:{guid}")
        for name, value in attrs.items():
            if int(n) >= int(attributes.get(f"={name}", 0)):
                attributes.update({name: to_json(value), f"={name}": n})

    def keep(
        self,
        guid: str,
        attrs: Mapping[str, Any],
        outputs: Mapping[str, bytes],
        only_missing: bool = False,
    ) -> None:
        """Keep attributes and small outputs that a hook or an exit brought."""
        attributes = self.hash_at(f"attr:{guid}")
        for name, value in attrs.items():
            if not (only_missing and name in attributes):
                attributes[name] = to_json(value)
        stored = self.outputs.setdefault(f"out:{guid}", {})
        for name, data in outputs.items():
            where = f"{self.rm(guid)['occ']}/{name}"
            if not (only_missing and where in stored):
                stored[where] = data

    def released(self, guid: str, cause: Cause, error: str = "") -> None:
        """An RM is released, whatever went wrong in it."""
        if self.rm(guid)["state"] != "RELEASED":
            self.reach(guid, "RELEASED", self.now, cause, error)

    def again(
        self,
        step: str,
        token: int,
        delay: float,
        kind: str = "later",
        note: str = "",
        attrs: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Give a step back, to be due again: the world is not ready, or it is tried again."""
        if not self._begin():
            return Reply("GONE")
        record = self.step(step)
        if not self._holds(step, token):
            return self._reply("OK" if record.get("token") == str(token) else "STALE")
        self.keep(guid_of(step), attrs or {}, {})
        self.keep(guid_of(step), attrs or {}, {})
        if record.get("cancel"):
            self.void(step)
            return self._reply()
        if kind == "retry":
            record["retried"] = str(int(record.get("retried", 0)) + 1)
        host = self.busy_host(step) if kind == "silent" else ""
        if host:
            self.rm(host).setdefault("silent", text(self.now))
        self.event(guid_of(step), "again", self.cause(step), note)
        wait = 0.0 if "woken" in record else delay
        self.give_back(step, self.now + wait, waits_for_host=bool(host))
        return self._reply()

    def give_back(self, step: str, due: float, *, waits_for_host: bool = False) -> None:
        record = self.step(step)
        self.end_claim(step, waits_for_host=waits_for_host)
        record["due"] = text(due)
        for name in ("nonce", "worker", "woken"):
            record.pop(name, None)
        self.make_due(step)
