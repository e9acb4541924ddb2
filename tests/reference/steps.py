"""Steps: their gates, becoming due, being submitted, ending; places on hosts."""

from __future__ import annotations

from nepiq.controller.engine.store.calls import DueStep

from .records import Hash, Records, action_of, guid_of, is_extra, number, text

LIVE = ("waiting", "due", "claimed")
_VOLATILE = ("left", "due", "nonce", "worker", "began", "sent", "lined", "cancel", "woken")
_LONGEST_GRACE = 60.0
_LINE_ALARM = 60.0
_JOINT_A_PLACE = 64


class Steps(Records):
    """Records, and how steps change."""

    def fail_for_need(self, step: str, target: str, milestone: str) -> None:
        """What the RM of a step needs has ended; see :class:`Transitions`."""
        raise NotImplementedError

    # -- gates ---------------------------------------------------------------------------------

    def new_step(self, step: str) -> Hash:
        """A step without gates that nobody has made due yet."""
        record = self.step(step)
        record.update(status="waiting", left="0", due=text(self.now))
        return record

    def numbered_step(self, guid: str, action: str) -> str:
        """The same for one that is not part of the deployment; its id."""
        rm = self.rm(guid)
        self.meta["requests"] = str(int(self.meta["requests"]) + 1)
        step = f"{guid}.{action}.{self.meta['requests']}"
        rm["extra"] = " ".join([*rm.get("extra", "").split(), step])
        self.new_step(step)
        return step

    def make_due(self, step: str) -> None:
        """The last gate of a step is open: submit it, or let the sweeper do so nearer the time."""
        record = self.step(step)
        record["status"] = "due"
        record.pop("sent", None)
        due = number(record["due"])
        if due > self.now + self.timing.horizon:
            self.alarm[step] = due - self.timing.horizon / 2
        else:
            self.hand_out(step)

    def hand_out(self, step: str) -> None:
        """Submit a due step."""
        self.look_again(step)
        self.submit(step)

    def look_again(self, step: str) -> None:
        """If nothing comes of a due step, somebody looks again, ever more patiently."""
        record = self.step(step)
        sent = int(record.get("sent", 0))
        patience = min(self.timing.grace * 2**sent, _LONGEST_GRACE)
        self.alarm[step] = max(number(record["due"]), self.now) + patience
        record["sent"] = str(sent + 1)

    def submit(self, step: str) -> None:
        """Put a due step on the reply."""
        rm = self.rm(guid_of(step))
        delay = max(0.0, number(self.step(step)["due"]) - self.now)
        attempt = int(self.step(step).get("tries", 0)) + 1
        batch = not self.does_io(step)
        joint = not batch and action_of(step) in rm.get("joint", "").split()
        way = self.way(step, rm)
        self.due.append(DueStep(step, delay, way, batch, rm["label"], attempt, joint))

    def way(self, step: str, rm: Hash) -> str:
        """Where the message of a step goes: to the worker that is the home of its host."""
        host = self.rm(rm["host"]) if rm.get("host") and self.does_io(step) else {}
        queue = self.queue_of(rm)
        return f"{queue}@{host['home']}" if "home" in host else queue

    def queue_of(self, rm: Hash) -> str:
        """Where an RM's steps go: to one machine, if they act on what is local to it."""
        host = self.rm(rm["host"]) if rm.get("host") else {}
        machine = self.meta.get(f"bind.{host.get('site')}")
        return f"nepiq.m.{machine}" if host.get("local") == "1" and machine else rm["queue"]

    def gate(self, step: str, target: str, milestone: str, offset: str, kind: str = "c") -> None:
        """Let a step wait for a milestone, or count it in if it has been reached."""
        other = self.rm(target)
        if kind == "n" and other.get("state") in ("FAILED", "RELEASED"):
            self.fail_for_need(step, target, milestone)
        elif milestone in other:
            self.not_before(step, number(other[milestone]) + float(offset))
        else:
            record = self.step(step)
            record["left"] = str(int(record["left"]) + 1)
            self.list_at(f"wait:{target}:{milestone}").append(f"{step}|{offset}|{kind}")
            if other:
                other["waited"] = "1"

    def not_before(self, step: str, time: float) -> None:
        """A step is due at the latest of the times that its gates give."""
        record = self.step(step)
        record["due"] = text(max(number(record["due"]), time))

    def open(self, entry: str, target: str, milestone: str, time: float) -> None:
        """What a waiting step waited for has happened."""
        step, offset, kind = entry.split("|")
        record = self.step(step)
        if record.get("status") != "waiting":
            return
        if kind == "n" and self.rm(target)["state"] in ("FAILED", "RELEASED"):
            self.fail_for_need(step, target, milestone)
            return
        record["left"] = str(int(record["left"]) - 1)
        self.not_before(step, time + float(offset))
        if record["left"] == "0":
            self.make_due(step)

    def end_step(self, step: str, status: str, **fields: str) -> None:
        """A step becomes done or void; only what is worth knowing later stays."""
        record = self.step(step)
        if record.get("status") == "claimed":
            self.end_claim(step)
        self.give_up_offer(step)
        for name in _VOLATILE:
            record.pop(name, None)
        record.update(status=status, **fields)
        self.alarm.pop(step, None)
        if is_extra(step):
            self._forget_extra(step)

    def void(self, step: str, why: str = "") -> None:
        """A step will not run (any more)."""
        if self.step(step).get("status") in LIVE:
            self.event(guid_of(step), "void", self.cause(step))
            self.end_step(step, "void", **({"why": why} if why else {}))

    def _forget_extra(self, step: str) -> None:
        rm = self.rm(guid_of(step))
        left = [extra for extra in rm.get("extra", "").split() if extra != step]
        rm["extra"] = " ".join(left)
        if not left:
            del rm["extra"]

    def end_claim(self, step: str, *, waits_for_host: bool = False) -> None:
        """Nobody executes a step any more: its RM is free, and its place on the host.

        One that waits for its host keeps its place.
        """
        rm = self.rm(guid_of(step))
        rm.pop("running", None)
        parked = rm.pop("parked", "").split()
        for other in parked:
            if self.step(other).get("status") == "due":
                self.hand_out(other)
        host = self.busy_host(step)
        if waits_for_host:
            self.step(step)["lined"] = "2"
        elif host:
            self.set_at(f"busy:{host}").discard(step)
            self.offer_places(host)

    def busy_host(self, step: str) -> str:
        """The host on which a step does I/O; empty if it does none."""
        return self.rm(guid_of(step)).get("host", "") if self.does_io(step) else ""

    def does_io(self, step: str) -> bool:
        """Whether a step touches a machine: its class does, and has something to do in it."""
        rm, action = self.rm(guid_of(step)), action_of(step)
        busy = action != "finish" and action not in rm.get("idle", "").split()
        busy = busy and "covered" not in self.step(step)
        return rm.get("batch") != "1" and busy

    def has_place(self, step: str, host: str) -> bool:
        """Whether one more step may do I/O on a host; those that go together have more places."""
        limit = int(self.rm(host).get("limit") or 0)
        joint = action_of(step) in self.rm(guid_of(step)).get("joint", "").split()
        if joint or action_of(step) in {"stop", "release"}:
            limit *= _JOINT_A_PLACE
        return not limit or len(self.set_at(f"busy:{host}")) < limit

    def line_up(self, step: str, host: str) -> None:
        """Let a step wait for a place on its host."""
        record = self.step(step)
        if "lined" not in record:
            record["lined"] = "1"
            self.list_at(f"line:{host}").append(step)
        self.alarm[step] = self.now + _LINE_ALARM

    def park(self, step: str, rm: Hash) -> None:
        """Let a step wait until its RM has done another."""
        parked = rm.get("parked", "").split()
        rm["parked"] = " ".join(parked if step in parked else [*parked, step])

    def offer_places(self, host: str) -> None:
        """Keep free places on a host for the first in line that can use one, and submit these."""
        line = self.list_at(f"line:{host}")
        while line:
            record = self.step(line[0])
            lined = record.get("lined") == "1" and record["status"] == "due"
            if lined and not self.has_place(line[0], host):
                return
            step = line.pop(0)
            if not lined:
                continue
            if self.rm(guid_of(step)).get("running"):
                del record["lined"]
                self.park(step, self.rm(guid_of(step)))
            else:
                record["lined"] = "2"
                self.set_at(f"busy:{host}").add(step)
                self.hand_out(step)

    def give_up_offer(self, step: str) -> None:
        """A step that was offered a place cannot use it now."""
        record, host = self.step(step), self.busy_host(step)
        if record.get("lined") == "2":
            del record["lined"]
            self.set_at(f"busy:{host}").discard(step)
            self.offer_places(host)

    def steps_of(self, guid: str, *more: str) -> list[str]:
        """The steps of an RM that may be live; its release only on request."""
        named = [f"{guid}.{action}" for action in ("deploy", "start", "stop")]
        extra = self.rm(guid).get("extra", "").split()
        return named + extra + [f"{guid}.{action}" for action in more]
