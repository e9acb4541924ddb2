"""Hosts, as the engine's correctness depends on them: fence, launch guard, journal, markers.

A machine carries out what it is told whether or not the worker that told it lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from .kernel import Future, Kernel

REFUSED = "refused"
RAN_OUT = "ended"


class Line(NamedTuple):
    """A line of a journal: how a supervised process ended."""

    guid: int
    occ: int
    outcome: str
    code: int | None
    time: float


@dataclass
class Launch:
    """The directory of one occasion.

    Attributes:
        began: when the command was executed.
        boot: the boot in which it was.
        exit: how it ended, once that is written down.
        stop: somebody asked it to stop.
    """

    began: float
    boot: int
    exit: Line | None = None
    stop: bool = False


class Started(NamedTuple):
    """The answer to a launch: how long ago, and how and how long ago it ended, if it has."""

    age: float
    exit: Line | None = None
    end_age: float = 0.0


@dataclass
class Node:
    """The directory of one run and node on a machine.

    Attributes:
        prepared: it exists.
        ended: the run has ended here; this outlives the directory.
        fence: highest token seen by guid.
    """

    prepared: bool = False
    ended: bool = False
    boot: int = 1
    fence: dict[int, int] = field(default_factory=dict)
    launches: dict[tuple[int, int], Launch] = field(default_factory=dict)
    journal: list[Line] = field(default_factory=list)
    processes: dict[int, tuple[int, int]] = field(default_factory=dict)
    jobs: dict[int, int] = field(default_factory=dict)
    interfaces: set[int] = field(default_factory=set)
    values: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)


class Machine:
    """A host that belongs to one node of the run.

    Args:
        kernel: time.
        behaviour: of a launched process: seconds it lives, its exit code.
        launched: called when a command is really executed, with guid and occasion.
        ended: called when a process has really ended, with guid.
    """

    def __init__(
        self,
        kernel: Kernel,
        behaviour: Callable[[int, int], tuple[float, int]],
        launched: Callable[[int, int], None],
        ended: Callable[[int], None],
    ) -> None:
        self.kernel = kernel
        self.node = Node()
        self.news = Future()
        self._behaviour = behaviour
        self._launched = launched
        self._ended = ended
        self._ids = 0

    # -- the fence --------------------------------------------------------------------------

    def passes(self, guid: int, token: int) -> bool:
        """Whether a command of that attempt may change something here."""
        node = self.node
        if node.ended or not node.prepared or token < node.fence.get(guid, 0):
            return False
        node.fence[guid] = token
        return True

    # -- what steps do ------------------------------------------------------------------------

    def prepare(self, guid: int, token: int) -> str:
        """Make the run's directory; only the deploy of the node does."""
        if self.node.ended:
            return RAN_OUT
        self.node.prepared = True
        return "ok" if self.passes(guid, token) else REFUSED

    def configure(self, guid: int, token: int, seconds: float) -> str | Future:
        """Make an interface, which takes a while after the fence was passed."""
        if not self.passes(guid, token):
            return RAN_OUT if self.node.ended else REFUSED
        done = Future()
        self._ids += 1
        job = self._ids
        self.node.jobs[job] = guid

        def finish() -> None:
            if self.node.jobs.pop(job, None) is not None:
                self.node.interfaces.add(guid)
                done.set("ok")

        self.kernel.at(seconds, finish)
        return done

    def change(self, guid: int, token: int, name: str, value: tuple[int, int]) -> str:
        """Apply a live change."""
        if not self.passes(guid, token):
            return REFUSED
        self.node.values.setdefault(guid, {})[name] = value
        return "ok"

    def launch(self, guid: int, token: int, occ: int) -> Started | str:
        """Start the command of an occasion, once; a second call adopts the first."""
        if not self.passes(guid, token):
            return REFUSED if not self.node.ended else RAN_OUT
        known = self.node.launches.get(self.guard(guid, occ, token))
        now = self.kernel.now
        if known and known.exit:
            return Started(now - known.began, known.exit, now - known.exit.time)
        if known and self._running(guid, occ):
            return Started(now - known.began)
        if known:
            return "lost"
        self.node.launches[self.guard(guid, occ, token)] = Launch(now, self.node.boot)
        self._execute(guid, occ)
        return Started(0.0)

    def guard(self, guid: int, occ: int, token: int) -> tuple[int, int]:
        """What a launch is guarded by: the occasion, whatever the attempt."""
        return guid, occ

    def stop(self, guid: int, token: int, occ: int) -> str | Future:
        """End the process of an occasion; answers when it is gone."""
        if not self.passes(guid, token):
            return REFUSED
        gone = Future()
        for pid, (whose, when) in list(self.node.processes.items()):
            if (whose, when) == (guid, occ):
                self.mark_stop(guid, occ)
                dying = self.kernel.rng.choice([0.0, 0.02, 0.3, 2.0])
                self.kernel.at(dying, partial(self._exit, pid, 143))
                self.kernel.at(dying, partial(gone.set, "ok"))
                return gone
        return "ok"

    def mark_stop(self, guid: int, occ: int) -> None:
        """Leave the mark that tells a stop from a failure."""
        for (whose, when), launch in self.node.launches.items():
            if (whose, when) == (guid, occ):
                launch.stop = True

    def clear(self, guid: int, token: int) -> str:
        """Raise the fence, then end whatever an RM left here and undo what it configured."""
        self.node.fence[guid] = max(token, self.node.fence.get(guid, 0))
        for pid, (whose, occ) in list(self.node.processes.items()):
            if whose == guid:
                self.mark_stop(guid, occ)
                self._exit(pid, 137)
        self._kill(guid)
        self.node.interfaces.discard(guid)
        return "ok"

    def dismantle(self, left: Collection[int]) -> str:
        """Forbid everything of the run here for ever, end it and remove it.

        Args:
            left: RMs whose release may be left to this one, so that it undoes what they configured.
        """
        self.node.ended = True
        self._kill(None)
        self.node.interfaces.difference_update(left)
        self.node.prepared = False
        self.node.launches.clear()
        self.node.fence.clear()
        return "ok"

    def reboot(self) -> None:
        """Everything that runs is gone, and no exit is written down."""
        self.node.boot += 1
        self._kill(None)
        self.node.interfaces.clear()
        self._tell()

    # -- what the exit watcher sees -----------------------------------------------------------

    def lost(self) -> list[tuple[int, int]]:
        """Occasions that were launched, do not run and have left no exit."""
        return [
            key
            for key, launch in self.node.launches.items()
            if not launch.exit and not self._running(*key)
        ]

    # -- processes ----------------------------------------------------------------------------

    def _running(self, guid: int, occ: int) -> bool:
        return (guid, occ) in self.node.processes.values()

    def _execute(self, guid: int, occ: int) -> None:
        self._launched(guid, occ)
        self._ids += 1
        pid = self._ids
        self.node.processes[pid] = (guid, occ)
        life, code = self._behaviour(guid, occ)
        self.kernel.at(life, lambda: self._exit(pid, code))

    def _exit(self, pid: int, code: int) -> None:
        key = self.node.processes.pop(pid, None)
        if key is None:
            return
        self._ended(key[0])
        launch = self.node.launches.get(key)
        if launch is None or launch.exit:
            return
        outcome = "STOPPED" if launch.stop else "FINISHED" if code == 0 else "FAILED"
        launch.exit = Line(*key, outcome, code, self.kernel.now)
        self.node.journal.append(launch.exit)
        self._tell()

    def _kill(self, guid: int | None) -> None:
        for pid, (whose, _) in list(self.node.processes.items()):
            if guid in (None, whose):
                del self.node.processes[pid]
                self._ended(whose)
        for job, whose in list(self.node.jobs.items()):
            if guid in (None, whose):
                del self.node.jobs[job]

    def _tell(self) -> None:
        news, self.news = self.news, Future()
        news.set()
