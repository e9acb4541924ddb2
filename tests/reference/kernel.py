"""Virtual time: processes that belong to owners, which can die or be paused at any moment."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

#: What a process yields: seconds to sleep, or something to wait for.
Process = Generator["float | Future", Any, Any]


class LostError(Exception):
    """A call whose answer never came; whether it was carried out is unknown."""


class Future:
    """Something that will be known later."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self._waiting: list[Callable[[Any], None]] = []

    def set(self, value: Any = None) -> None:
        """Make it known, once; an exception is raised where it is waited for."""
        if self.done:
            return
        self.done, self.value = True, value
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            resume(value)

    def then(self, resume: Callable[[Any], None]) -> None:
        """Call ``resume`` with the value when it is known."""
        if self.done:
            resume(self.value)
        else:
            self._waiting.append(resume)


@dataclass(eq=False)
class Owner:
    """A program that runs processes.

    Attributes:
        name: what it is called.
        alive: False once it was killed: its processes take no further step.
        paused: until then it takes no step (SIGSTOP, a sleeping laptop, a swapping machine).
    """

    name: str
    alive: bool = True
    paused: float = 0.0


class Kernel:
    """The clock and what is to happen when.

    Args:
        seed: every run with the same seed is the same run.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], object]]] = []

    def at(self, delay: float, action: Callable[[], object]) -> None:
        """Do something in ``delay`` seconds."""
        heapq.heappush(self._events, (self.now + delay, next(self._order), action))

    def soon(self, mean: float = 0.003) -> float:
        """A random short time, as networks and machines take."""
        return self.rng.expovariate(1 / mean)

    def run(self, until: Callable[[], float]) -> None:
        """Let things happen until the time that ``until`` says, asked again and again."""
        while self._events and self._events[0][0] < until():
            self.now, _, action = heapq.heappop(self._events)
            action()

    def spawn(self, owner: Owner, process: Process) -> Future:
        """Start a process; its end, or the error that ended it, sets the future."""
        ended = Future()

        def step(value: Any) -> None:
            if not owner.alive:
                process.close()
                return
            if owner.paused > self.now:
                self.at(owner.paused - self.now + self.rng.random() * 0.01, lambda: step(value))
                return
            go_on = process.throw if isinstance(value, Exception) else process.send
            try:
                wanted = go_on(value)
            except StopIteration as stop:
                ended.set(stop.value)
            except LostError:
                ended.set(None)
            else:
                if isinstance(wanted, Future):
                    wanted.then(lambda result: self.at(0, lambda: step(result)))
                else:
                    self.at(wanted, lambda: step(None))

        self.at(0, lambda: step(None))
        return ended

    def timeout(self, future: Future, seconds: float) -> Future:
        """A future that is set when ``future`` is, or after ``seconds``, whichever is first."""
        first = Future()
        future.then(first.set)
        self.at(seconds, first.set)
        return first
