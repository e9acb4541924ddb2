"""Transitions of resource managers, and what their failure does to others."""

from __future__ import annotations

from nepiq.controller.engine.store.forms import loads

from .records import ENDED, IMPLIED, MILESTONES, Cause, Hash, guid_of, number, text, to_json
from .steps import Steps


class Transitions(Steps):
    """Steps, and the states that their RMs go through."""

    def reach(
        self,
        guid: str,
        state: str,
        time: float,
        cause: Cause | None = None,
        info: str = "",
        critical: bool = False,
    ) -> None:
        """An RM enters a state, and thereby the milestones that the state implies.

        Args:
            guid: the RM.
            state: the state.
            time: when it did; never before its previous milestone.
            cause: the step that brought it there.
            info: JSON for the event: an error or an exit code.
            critical: for FAILED: what waits for the other milestones must not go on.
        """
        rm = self.rm(guid)
        rm["state"] = state
        if state == "RELEASED" and info:
            rm.setdefault("error", info)
        time = max([time, *(number(rm[name]) for name in MILESTONES if name in rm)])
        for milestone in ("FAILED",) if critical else IMPLIED[state]:
            if milestone not in rm:
                rm[milestone] = text(time)
                if self.list_at(f"wait:{guid}:{milestone}"):
                    self.todo.append(f"m|{guid}|{milestone}")
        self.event(guid, state, cause, info, time)
        if state == "READY" or state in ENDED:
            self._leave_barrier(rm)
        if state in ENDED:
            self.void_steps(guid, claimed_too=state == "RELEASED")
        if rm.get("is_host") == "1" and state == "READY":
            self.zset_at("watch")[guid] = 0.0
        if state == "RELEASED":
            self.zset_at("watch").pop(guid, None)
            self.meta["live"] = str(int(self.meta["live"]) - 1)
            self.end_run_if_released()

    def void_steps(self, guid: str, claimed_too: bool) -> None:
        """The steps of an RM other than its release will not run; those claimed go on, or not."""
        for step in self.steps_of(guid, *(["release"] if claimed_too else [])):
            status = self.step(step).get("status")
            if status in ("waiting", "due") or (claimed_too and status == "claimed"):
                self.void(step)

    def end_run_if_released(self) -> None:
        """The run ends when it is being released and no RM is left."""
        if self.meta["phase"] == "RELEASING" and self.meta["live"] == "0":
            self.meta["phase"] = "RELEASED"
            self.event("0", "RELEASED")

    def _leave_barrier(self, rm: Hash) -> None:
        group = rm.pop("held", None)
        if group:
            self.leave_group(group)

    def leave_group(self, group: str) -> None:
        """A member or deployment holds a barrier no longer; the last one opens it, once."""
        record = self.hash_at(f"group:{group}")
        record["left"] = str(int(record["left"]) - 1)
        if record["left"] == "0" and "open" not in record:
            record["open"] = text(self.now)
            if self.list_at(f"wait:@{group}"):
                self.todo.append(f"o|{group}")

    # -- failure -----------------------------------------------------------------------------------

    def fail(
        self,
        guid: str,
        error: str,
        critical: bool,
        cause: Cause | None = None,
        time: float | None = None,
    ) -> None:
        """An RM fails, unless it has ended; a critical one takes the run with it."""
        rm = self.rm(guid)
        if rm["state"] in ENDED:
            return
        if error:
            rm["error"] = error
        self.reach(guid, "FAILED", self.now if time is None else time, cause, error, critical)
        if not critical:
            return
        self.pass_on_failure(guid)
        if self.meta["phase"] == "RUNNING":
            self.meta["phase"] = "FAILED"
            why = to_json({"guid": int(guid), "label": rm["label"], "error": loads(error)})
            self.meta["cause"] = why
            self.event("0", "FAILED", info=why)

    def pass_on_failure(self, guid: str) -> None:
        """Tell whoever waits for one that failed critically, and so did not reach FINISHED."""
        rm = self.rm(guid)
        if rm["state"] != "FAILED" or "FINISHED" in rm:
            return
        if any(self.list_at(f"wait:{guid}:{name}") for name in IMPLIED["FINISHED"]):
            self.todo.append(f"f|{guid}")

    def is_critical(self, guid: str) -> bool:
        """Whether an RM's own failure ends the run."""
        return self.rm(guid).get("critical") == "1"

    def fail_for_need(self, step: str, target: str, milestone: str) -> None:
        """What the RM of a step needs has ended, so it cannot be deployed or started.

        What a dispensable RM takes along is dispensable too. A target that failed critically has
        ended the run already; it is told from the other kind by not having reached FINISHED.
        """
        other = self.rm(target)
        critical = other["state"] == "FAILED" and "FINISHED" not in other
        rm = self.rm(guid_of(step))
        if not critical and rm["state"] not in ENDED:
            rm["critical"] = "0"
        self.fail(guid_of(step), self.needs(target, milestone), critical, Cause(step))

    def needs(self, target: str, milestone: str) -> str:
        """The error of an RM that waited for another in vain."""
        other = self.rm(target)
        how = "failed" if other["state"] == "FAILED" else "was released"
        return to_json({"message": f"needs {other['label']} {milestone}, which {how}"})
