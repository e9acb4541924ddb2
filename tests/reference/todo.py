"""The to-do list: what is done in parts, by whoever comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .records import ENDED, IMPLIED, Cause, Hash, action_of, guid_of, number
from .steps import LIVE
from .transitions import Transitions


class Todo(Transitions):
    """Transitions, and the work that follows from them."""

    # -- the to-do list ----------------------------------------------------------------------------

    def drain(self) -> None:
        """Go on with what is left to do, first come first served, while the budget lasts."""
        work: dict[str, Callable[..., bool]] = {
            "m": self._open_milestone,
            "o": self._open_barrier,
            "f": self._pass_failure_on,
            "d": self._arm_deployment,
            "r": self._walk_release,
            "x": self._fail_users,
        }
        while self.todo and self.budget > 0:
            kind, *arguments = self.todo[0].split("|")
            if work[kind](*arguments):
                self.todo.pop(0)

    def _open_milestone(self, guid: str, milestone: str) -> bool:
        waiters = self.list_at(f"wait:{guid}:{milestone}")
        while waiters and self.budget > 0:
            self.budget -= 1
            self.open(waiters.pop(0), guid, milestone, number(self.rm(guid)[milestone]))
        return not waiters

    def _open_barrier(self, group: str) -> bool:
        waiters = self.list_at(f"wait:@{group}")
        while waiters and self.budget > 0:
            self.budget -= 1
            self.open(waiters.pop(0), "", "", number(self.hash_at(f"group:{group}")["open"]))
        return not waiters

    def _pass_failure_on(self, guid: str) -> bool:
        for milestone in IMPLIED["FINISHED"]:
            waiters = self.list_at(f"wait:{guid}:{milestone}")
            while waiters:
                if self.budget <= 0:
                    return False
                self.budget -= 1
                step = waiters.pop(0).split("|")[0]
                if self.step(step).get("status") != "waiting":
                    continue
                if action_of(step) == "stop":
                    self.void(step, self.needs(guid, milestone))
                else:
                    self.fail(guid_of(step), self.needs(guid, milestone), True, Cause(step))
        return True

    def _arm_deployment(self, name: str) -> bool:
        record, guids = self.hash_at(f"order:{name}"), self.list_at(f"list:{name}")
        at, n = int(record["at"]), int(record["n"])
        if self.meta["phase"] != "RUNNING":
            at = n
        while at < n and self.budget > 0:
            self.budget -= 1
            self.arm(guids[at], record["group"])
            at += 1
        record["at"] = str(at)
        if at < n:
            return False
        if record["group"]:
            self.leave_group(record["group"])
        return True

    def _walk_release(self, name: str) -> bool:
        record = self.hash_at(f"order:{name}")
        everything = record.get("all") == "1"
        guids = self.list_at("rms" if everything else f"list:{name}")
        at = int(record["at"])
        while at < len(guids) and self.budget > 0:
            self.budget -= 1
            self.release_rm(guids[at])
            at += 1
        record["at"] = str(at)
        if at < len(guids):
            return False
        self.end_run_if_released()
        return True

    def _fail_users(self, node: str) -> bool:
        """The machine of a host is gone: end what acted on it."""
        error, guids = self.rm(node)["gone"], self.list_at(f"list:gone.{node}")
        while guids and self.budget > 0:
            self.budget -= 1
            guid = guids.pop(0)
            releasing = self.step(f"{guid}.release").get("status") in LIVE
            self.fail(guid, error, self.is_critical(guid))
            if releasing:
                self.step(f"{guid}.release")["error"] = error
                self.reach(guid, "RELEASED", self.now, info=error)
        return not guids

    # -- arming and releasing one RM ---------------------------------------------------------------

    def arm(self, guid: str, group: str) -> None:
        """Make the steps of an RM that is deployed, with their gates."""
        rm = self.rm(guid)
        if not rm or rm["state"] in ENDED or self.step(f"{guid}.deploy"):
            return
        closed = False
        if group:
            rm["group"] = group
            closed = "open" not in self.hash_at(f"group:{group}")
        if closed:
            rm["held"] = group
            record = self.hash_at(f"group:{group}")
            record["left"] = str(int(record["left"]) + 1)
        self.arm_step(guid, "deploy")
        self.arm_step(guid, "start", group if closed else "")
        if any(entry.startswith("stop|") for entry in self.set_at(f"cond:{guid}")):
            self.arm_step(guid, "stop")

    def arm_step(self, guid: str, action: str, barrier: str = "") -> None:
        """Make a step with the gates that its RM's conditions and its action give it."""
        if self.rm(guid)["state"] in ENDED:
            return  # The gates of a step made before have failed the RM.
        step = f"{guid}.{action}"
        self.new_step(step)
        for entry in sorted(self.set_at(f"cond:{guid}")):
            governed, target, milestone, offset, kind = entry.split("|")
            if governed == action and self.step(step)["status"] == "waiting":
                self.gate(step, target, milestone, offset, kind)
        if self.step(step)["status"] != "waiting":
            return
        if barrier:
            self.step(step)["left"] = str(int(self.step(step)["left"]) + 1)
            self.list_at(f"wait:@{barrier}").append(f"{step}|0|c")
        elif action == "start":
            self.gate(step, guid, "READY", "0")
        elif action == "stop":
            self.gate(step, guid, "STARTED", "0")
        if self.step(step)["left"] == "0":
            self.make_due(step)

    def release_rm(self, guid: str) -> None:
        """Begin to release an RM, after those that live on it."""
        rm = self.rm(guid)
        if not rm or rm["state"] == "RELEASED":
            return
        for step in self.steps_of(guid):
            record = self.step(step)
            if record.get("status") == "claimed":
                record["cancel"] = "1"
            else:
                self.void(step)
        host = self.rm(rm["host"]) if rm.get("host") else {}
        never_claimed = rm["state"] == "NEW" and "token" not in rm
        # A Redis that restarted may have forgotten a claim, and so what it left on a host.
        if (never_claimed and not self.meta.get("restarted")) or host.get("gone"):
            self.reach(guid, "RELEASED", self.now)
            return
        step = f"{guid}.release"
        if self.step(step):
            return
        users = sorted(self.set_at(f"users:{guid}"), key=int)
        living = [user for user in users if self.rm(user).get("state", "RELEASED") != "RELEASED"]
        covered = self._is_covered(rm)
        if covered and not living and "running" not in rm:
            self.reach(guid, "RELEASED", self.now)
            return
        self.new_step(step)
        if covered:
            self.step(step)["covered"] = "1"
        for user in living:
            self.gate(step, user, "RELEASED", "0")
        if self.step(step)["left"] == "0":
            self.make_due(step)

    def _is_covered(self, rm: Hash) -> bool:
        """Whether the release of the host does all that the release of an RM would."""
        if self.meta["phase"] != "RELEASING" or not rm.get("host"):
            return False
        ended = rm["state"] in ENDED and "running" not in rm
        return rm.get("covered") == "1" or (rm.get("covered") == "2" and ended)

    def living_on(self, guids: Iterable[str]) -> list[str]:
        """Those RMs and what lives on them, directly or not: breadth first, each once."""
        walk = list(dict.fromkeys(guids))
        seen = set(walk)
        for guid in walk:  # The list grows while it is walked.
            users = sorted(self.set_at(f"users:{guid}") - seen, key=int)
            walk.extend(users)
            seen.update(users)
        return walk
