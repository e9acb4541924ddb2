"""The engine's protocol as plain Python: each method of :class:`Model` is one script.

This is ``docs/engine.md`` in executable form, written to be read. It keeps the same records as
the Lua scripts, in the same formats, and offers the same methods as ``RunStore``; tests hold the
two against each other, and the simulator runs whole experiments on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nepiq.controller.engine.store.calls import Reply, WatchGrant
from nepiq.controller.engine.store.forms import loads, seconds
from nepiq.controller.engine.store.records import Snapshot
from nepiq.controller.engine.store.wire import encode_gate
from nepiq.controller.model.spec import Gate, ResourceSpec

from .records import ENDED, Hash, action_of, is_extra, number, text, to_json
from .recovery import Recovery

#: Those that leave an event.
_MOST_RESTARTS = 100


def _place(rm: Hash, spec: ResourceSpec) -> None:
    """Write where a resource acts into its record."""
    if spec.idle and not spec.batch:
        rm["idle"] = " ".join(spec.idle)
    if spec.joint:
        rm["joint"] = " ".join(spec.joint)
    if spec.covered or spec.left_to_host:
        rm["covered"] = "1" if spec.covered else "2"
    if spec.host is not None:
        rm["host"] = str(spec.host)
    if spec.inside is not None:
        rm["inside"] = str(spec.inside)
    if spec.peers:
        rm["peers"] = to_json({name: list(peers) for name, peers in spec.peers.items()})
    if spec.is_host:
        rm.update(is_host="1", local=str(int(spec.local)), site=spec.site)
        if spec.limit is not None:
            rm["limit"] = str(spec.limit)
        if spec.affinity:
            rm["home"] = spec.affinity


@dataclass
class Model(Recovery):
    """A run without Redis."""

    # -- the client's side -------------------------------------------------------------------------

    def create(
        self, nonce: str, exp_id: str, release_after: float | None = None
    ) -> tuple[str, float]:
        """Make the run; the same nonce again gives the same answer."""
        if self.meta:
            same = self.meta["nonce"] == nonce
            return "OK" if same else "CLASH", number(self.meta["created"]) if same else 0.0
        self._tick()
        now = text(self.now)
        self.meta.update(phase="RUNNING", exp_id=exp_id, nonce=nonce, created=now, seen=now)
        self.meta.update(next_guid="1", groups="0", live="0", requests="0", server=self.server)
        if release_after is not None:
            self.meta["release_after"] = seconds(release_after)
        self.event("0", "RUNNING")
        return "OK", self.now

    def reserve(self, count: int, nonce: str, at: int = 0) -> tuple[str, int]:
        """Reserve a block of guids that begins at ``at`` or later."""
        if not self._begin():
            return "GONE", 0
        if self.meta["phase"] not in ("RUNNING", "FAILED"):
            return f"CLOSED:{self.meta['phase']}", 0
        last, _, block = self.meta.get("reserved", "").partition("|")
        if last != nonce:
            block = str(max(int(self.meta["next_guid"]), at))
            self.meta.update(reserved=f"{nonce}|{block}", next_guid=str(int(block) + count))
        return "OK", int(block)

    def upload(self, nonce: str, specs: Sequence[ResourceSpec]) -> str:
        """Write resource managers; all of them or none."""
        if not self._begin():
            return "GONE"
        if self.meta["phase"] not in ("RUNNING", "FAILED"):
            return f"CLOSED:{self.meta['phase']}"
        for spec in specs:
            if self.rm(str(spec.guid)).get("by", nonce) != nonce:
                return f"CLASH:{spec.guid}"
        for spec in specs:
            if not self.rm(str(spec.guid)):
                self._write(nonce, spec)
        return "OK"

    def _write(self, nonce: str, spec: ResourceSpec) -> None:
        guid = str(spec.guid)
        self.list_at("rms").append(guid)
        rm = self.rm(guid)
        rm.update(rtype=spec.rtype, label=spec.label, state="NEW", occ="1", by=nonce)
        rm.update(
            queue=spec.queue,
            critical=str(int(spec.critical)),
            batch=str(int(spec.batch)),
        )
        _place(rm, spec)
        for name, value in spec.attributes.items():
            self.hash_at(f"attr:{guid}")[name] = to_json(value)
        for condition in spec.gates:
            self.set_at(f"cond:{guid}").add(encode_gate(condition))
        for other in spec.after:
            self.set_at(f"users:{other}").add(guid)
        self.meta["live"] = str(int(self.meta["live"]) + 1)
        self.meta["next_guid"] = str(max(int(self.meta["next_guid"]), spec.guid + 1))

    def deploy(self, order: str, group: int | str | None, guids: Iterable[int]) -> Reply:
        """Write down that resource managers are to be deployed; arming them is work for anyone."""
        if not self._begin():
            return Reply("GONE")
        record = self.hash_at(f"order:{order}")
        if record:
            return self._reply("OK", record["group"])
        if self.meta["phase"] != "RUNNING":
            return self._reply("CLOSED", self.meta["phase"])
        chosen = "" if group is None else str(group)
        if chosen == "new":
            chosen = str(int(self.meta["groups"]) + 1)
        listed = self.list_at(f"list:{order}")
        listed.extend(str(guid) for guid in guids)
        record.update(kind="deployment", group=chosen, at="0", n=str(len(listed)))
        if chosen:
            self.meta["groups"] = str(max(int(self.meta["groups"]), int(chosen)))
            barrier = self.hash_at(f"group:{chosen}")
            barrier["left"] = str(int(barrier.get("left", 0)) + 1)
        self.todo.append(f"d|{order}")
        return self._reply("OK", chosen)

    def condition(self, guid: int, condition: Gate) -> Reply:
        """Let a step wait for one thing more, unless it has begun."""
        if not self._begin():
            return Reply("GONE")
        for known in (guid, condition.target):
            if not self.rm(str(known)):
                return self._reply("UNKNOWN", str(known))
        if self.meta["phase"] not in ("RUNNING", "FAILED"):
            return self._reply("CLOSED", self.meta["phase"])
        name, entry = str(guid), encode_gate(condition)
        step = f"{guid}.{condition.action}"
        record = self.step(step)
        if entry in self.set_at(f"cond:{name}"):
            return self._reply()
        if record and record["status"] != "void" and int(record.get("tries", 0)):
            return self._reply("TOOLATE", record["status"])
        self.set_at(f"cond:{name}").add(entry)
        deployed, ended = bool(self.step(f"{guid}.deploy")), self.rm(name)["state"] in ENDED
        if record and record["status"] in ("waiting", "due"):
            self._gate_late(step, condition)
        elif not record and condition.action == "stop" and deployed and not ended:
            self.arm_step(name, "stop")
        self.pass_on_failure(str(condition.target))
        return self._reply()

    def _gate_late(self, step: str, condition: Gate) -> None:
        record = self.step(step)
        before = record["due"]
        self.gate(step, str(condition.target), condition.milestone, seconds(condition.offset))
        if record["status"] != "due":
            return
        if record["left"] != "0":
            self.give_up_offer(step)
            record["status"] = "waiting"
            record.pop("sent", None)
            record.pop("lined", None)
            del self.alarm[step]
        elif record["due"] != before:
            self.make_due(step)

    def request(self, order: str, guid: int, action: str, args: Sequence[Any] = ()) -> Reply:
        """Make a numbered step that is due now: a start, a stop or a set that somebody wants."""
        if not self._begin():
            return Reply("GONE")
        name = str(guid)
        rm = self.rm(name)
        made, request = self.hash_at("request"), f"{guid}|{order}"
        if not rm:
            return self._reply("UNKNOWN", name)
        if request in made:
            return self._reply("OK", made[request])
        if self.forbidden(action):
            return self._reply("CLOSED", self.meta["phase"])
        if not self.allowed(action, rm["state"], requested=True):
            return self._reply("ILLEGAL", rm["state"])
        step = self._under_way(name, action) if action != "set" else ""
        if not step:
            if action == "start" and rm["state"] in ("STOPPED", "FINISHED"):
                self._begin_occasion(name)
            step = self.numbered_step(name, action)
            if args:
                self.step(step)["args"] = to_json(list(args))
            self.make_due(step)
            if action == "set" and rm.get("covered") == "2":
                del rm["covered"]
        made[request] = step
        return self._reply("OK", step)

    def _under_way(self, guid: str, action: str) -> str:
        """Make way for a requested start or stop; the id of one that is on its way, if one is."""
        steps = [step for step in self.steps_of(guid) if action_of(step) == action]
        for step in steps:
            status = self.step(step).get("status")
            if status == "claimed" or (status == "due" and is_extra(step)):
                return step
        for step in steps:
            self.void(step)
        return ""

    def _begin_occasion(self, guid: str) -> None:
        rm = self.rm(guid)
        for milestone in ("STARTED", "STOPPED", "FINISHED"):
            waiters = self.list_at(f"wait:{guid}:{milestone}")
            while waiters:
                self.open(waiters.pop(0), guid, milestone, number(rm[milestone]))
        for milestone in ("STARTED", "STOPPED", "FINISHED"):
            del rm[milestone]
            if f"m|{guid}|{milestone}" in self.todo:
                self.todo.remove(f"m|{guid}|{milestone}")
        rm.pop("exit", None)
        rm.pop("restarts", None)
        rm["occ"] = str(int(rm["occ"]) + 1)
        rm["state"] = "READY"
        self.event(guid, "READY")

    def release(self, order: str, guids: Iterable[int] | None = None) -> Reply:
        """Write down that some or all resource managers are to be released."""
        if not self._begin():
            return Reply("GONE")
        if not self.hash_at(f"order:{order}"):
            self.order_release(order, guids)
        return self._reply()

    def snapshot(self, guids: Iterable[int] | None = None) -> Snapshot:
        """States, and the point of the history from which they go on."""
        if not self._exists():
            return Snapshot("0", "GONE", None, {})
        asked = self.list_at("rms") if guids is None else [str(guid) for guid in guids]
        states = {int(guid): self.rm(guid)["state"] for guid in asked if self.rm(guid)}
        cause = loads(self.meta.get("cause"))
        return Snapshot(str(len(self.events)), self.meta["phase"], cause, states)

    def touch(self, release_after: float | None = None) -> tuple[str, str]:
        """Note that a client is there; with a time, how long the run goes on without one."""
        if not self._begin():
            return "GONE", ""
        self.meta["seen"] = text(self.now)
        if release_after == math.inf:
            self.meta.pop("release_after", None)
        elif release_after is not None:
            self.meta["release_after"] = seconds(release_after)
        return "OK", self.meta["phase"]

    def wake(self, step: str) -> Reply:
        """What a step that was put back waits for has happened: it is due now."""
        if not self._begin():
            return Reply("GONE")
        record = self.step(step)
        if record.get("status") == "claimed":
            record["woken"] = "1"
        elif record.get("status") == "due" and number(record["due"]) > self.now:
            record["due"] = text(self.now)
            self.make_due(step)
        return self._reply()

    # -- the exit watcher's side -------------------------------------------------------------------

    def exited(
        self,
        guid: int,
        occ: int,
        outcome: str,
        age: float = 0.0,
        info: Mapping[str, Any] | None = None,
        attrs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        watch: tuple[int, str] | None = None,
    ) -> Reply:
        """The process of a resource manager has ended; its host says so, in its journal."""
        if not self._begin():
            return Reply("GONE")
        name = str(guid)
        rm = self.rm(name)
        detail = to_json(dict(info)) if info else ""
        time = self.now - max(0.0, age)
        if watch is not None:
            if self.hash_at(f"journal:{watch[0]}").get("worker") != watch[1]:
                return self._reply("TAKEN")
            if rm.get("host") != str(watch[0]):
                return self._reply("FOREIGN")
        if not rm or int(rm["occ"]) != occ:
            return self._reply()
        if outcome == "RESTARTED":
            self._restarted(name, int((info or {})["restarts"]), time, detail, attrs or {})
            return self._reply()
        self.keep(name, attrs or {}, outputs or {}, only_missing=rm["state"] in ENDED)
        if rm["state"] == "STARTED":
            self.end_process(name, outcome, time, detail)
        elif rm["state"] not in ENDED and "exit" not in rm:
            rm["exit"] = f"{outcome}|{text(time)}|{detail}"
        return self._reply()

    def _restarted(
        self, guid: str, restarts: int, time: float, info: str, attrs: Mapping[str, Any]
    ) -> None:
        """Note a restart once, however often it is told."""
        rm = self.rm(guid)
        if restarts > int(rm.get("restarts", 0)):
            rm["restarts"] = str(restarts)
            self.keep(guid, attrs, {})
            if restarts <= _MOST_RESTARTS:
                self.event(guid, "restart", None, info, time)

    def abandon(
        self, node: int, error: Mapping[str, Any], holder: str = "", until: float | None = None
    ) -> Reply:
        """The machine of a host is gone for good, and what lived on it with it."""
        if not self._begin():
            return Reply("GONE")
        rm = self.rm(str(node))
        if not rm:
            return self._reply("UNKNOWN", str(node))
        if "gone" in rm:
            return self._reply()
        leased = self.zset_at("watch").get(str(node), 0.0) > self.now
        held = leased and self.hash_at(f"journal:{node}").get("worker") == holder
        if holder and not held:
            return self._reply("TAKEN")
        if until is not None and self.now > until:
            return self._reply("LATE")
        rm["gone"] = to_json(dict(error))
        self.list_at(f"list:gone.{node}").extend(self.living_on([str(node)]))
        self.todo.append(f"x|{node}")
        return self._reply()

    def watch(self, node: int, holder: str) -> WatchGrant:
        """Take or renew the lease to follow a node's journal."""
        if not self._begin():
            return WatchGrant("GONE")
        leases, journal = self.zset_at("watch"), self.hash_at(f"journal:{node}")
        if str(node) not in leases:
            return WatchGrant("NONE")
        if leases[str(node)] > self.now and journal.get("worker") != holder:
            return WatchGrant("TAKEN")
        leases[str(node)] = self.now + self.timing.lease
        journal["worker"] = holder
        return WatchGrant("OK", journal.get("id", ""), int(journal.get("offset", 0)))

    def unwatch(self, node: int, holder: str) -> str:
        """Give the lease of a node's journal up."""
        if not self._begin():
            return "GONE"
        leases = self.zset_at("watch")
        if str(node) not in leases:
            return "NONE"
        if self.hash_at(f"journal:{node}").get("worker") != holder:
            return "TAKEN"
        leases[str(node)] = 0.0
        return "OK"

    def watched(self, node: int, holder: str, journal: str, offset: int, since: int = 0) -> str:
        """Keep how far a node's journal has been followed; it never goes back.

        Args:
            node: the node.
            holder: who follows it; another one is refused.
            journal: which journal.
            offset: how far it is known now.
            since: how far it was known before. A Redis that came back younger may not know; what
                was read up to there must then be read again.
        """
        if not self._begin():
            return "GONE"
        if str(node) not in self.zset_at("watch"):
            return "NONE"
        record = self.hash_at(f"journal:{node}")
        if record.get("worker") != holder:
            return "TAKEN"
        known = int(record["offset"]) if record.get("id") == journal else 0
        if known < since:
            return "BEHIND"
        record.update(id=journal, offset=str(max(known, offset)))
        return "OK"

    # -- the sweeper's side ------------------------------------------------------------------------

    def go_on(self) -> Reply:
        """Do the next part of what is left to do."""
        return self._reply() if self._begin() else Reply("GONE")

    def expire(self) -> tuple[str, bool]:
        """Delete the next part of a released run."""
        if not self.meta:
            return "GONE", False
        if self.meta["phase"] not in ("RELEASED", "EXPIRED"):
            return "CLOSED", True
        self.meta["phase"] = "EXPIRED"
        guids = self.list_at("rms")
        for guid in guids[: self.timing.limit]:
            self._forget(guid)
        del guids[: self.timing.limit]
        if not guids:
            for kind in (self.hashes, self.lists, self.sets, self.zsets, self.outputs):
                kind.clear()
            self.events.clear()
        return "OK", bool(guids)

    def _forget(self, guid: str) -> None:
        owned = ("attr", "cond", "users", "out", "busy", "line", "wait")
        for kind in (self.hashes, self.lists, self.sets, self.outputs):
            for key in list(kind):
                noun, _, rest = key.partition(":")
                if noun in owned and rest.partition(":")[0] == guid:
                    del kind[key]
