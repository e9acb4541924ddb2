"""The resources of random experiments; workers import this module.

Each call of a hook leaves two lines in a file: a witness that knows nothing of the records.
"""

from __future__ import annotations

import os
import time
from typing import Any

from nepiq.controller import Attribute, Connection, Context, Later, ResourceManager, Retry
from nepiq.controller.model.host import Exit, Launch

#: Every hook may fail so often and still succeed.
RETRIES = 2


def _append(witness: str, told: str) -> None:
    # One write to a file opened for appending stays whole among those of other processes.
    file = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{told} {time.time():.6f}\n".encode())
    finally:
        os.close(file)


def called(witness: str, number: int) -> int:
    """What is scheduled: tells the witness."""
    _append(witness, f"{number} call 1 1 ok")
    return number


class _Player(ResourceManager):
    """Does what the plan says, and tells the witness."""

    retries = {
        name: Retry(RETRIES, "10ms") for name in ("do_deploy", "do_start", "do_stop", "do_release")
    }
    witness = Attribute(str, "", help="The file that its hooks write to.")
    fails = Attribute(str, "", help="How often which hook raises: 'start:1 release:9'.")
    rounds = Attribute(int, 0, help="How often its deployment is not ready yet.")
    work = Attribute(float, 0.0, help="Seconds that each of its hooks takes.")
    ends = Attribute(bool, False, help="It has ended when it has started.")
    level = Attribute(int, 0, help="What is set while it runs.")

    def do_provision(self, context: Context) -> None:
        """Tell the witness; a deployment reaches its milestones one by one."""
        self._tell("provision", context.attempt, "begin")
        self._tell("provision", context.attempt, "ok")

    def do_deploy(self, context: Context) -> Later | None:
        """Come back for each round, then play."""
        if context.attempt <= self.rounds:
            return Later("10ms")
        self._play("deploy", context.attempt - self.rounds)
        return None

    def do_start(self, context: Context) -> Launch | None:
        """Play."""
        self._play("start", context.attempt)
        return Launch(exit=Exit(0, "FINISHED")) if self.ends else None

    def do_stop(self, context: Context) -> None:
        """Play."""
        self._play("stop", context.attempt)

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Accept everything."""

    def do_release(self, context: Context) -> None:
        """Play."""
        self._play("release", context.attempt)

    def _play(self, action: str, attempt: int) -> None:
        self._tell(action, attempt, "begin")
        if self.work:
            time.sleep(self.work)
        wanted = dict(item.split(":") for item in self.fails.split())
        if attempt <= int(wanted.get(action, 0)):
            self._tell(action, attempt, "raise")
            raise RuntimeError(f"planned in {action}")
        self._tell(action, attempt, "ok")

    def _tell(self, action: str, attempt: int, what: str) -> None:
        _append(self.witness, f"{self.guid} {action} {self.occasion} {attempt} {what}")


class Part(_Player, rtype="histories::Part"):
    """One whose steps travel in batches."""

    does_io = False
    base = Connection("histories::Part", many=True, waits=True, help="What it is built on.")


class Work(_Player, rtype="histories::Work"):
    """One whose steps are tasks of their own."""

    base = Connection("histories::Part", many=True, waits=True, help="What it is built on.")
