"""asynciojobs, the scheduler of nepi-ng: one process, one event loop, nothing durable.

It limits how many starts sleep at once by nothing, where a worker has its threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from asynciojobs import Job, Scheduler

from . import work as bodies
from .measure import Samples


class _Starts:
    """Jobs that stamp when they are entered and left."""

    def __init__(self, work: str) -> None:
        self.stamps: dict[int, tuple[float, float]] = {}
        self.work = work

    async def _start(self, item: int) -> None:
        entered = time.time()
        if self.work == bodies.SLEEP:
            await asyncio.sleep(bodies.SLEEP_SECONDS)
        self.stamps[item] = (entered, time.time())

    def job(self, item: int, required: Sequence[Job] = ()) -> Job:
        return Job(self._start(item), required=required)


def _run(jobs: Sequence[Job]) -> float:
    scheduler = Scheduler(*jobs)
    began = time.perf_counter()
    if not scheduler.run():
        raise RuntimeError("asynciojobs failed")
    return time.perf_counter() - began


def fan_out(count: int, work: str = bodies.NOTHING) -> Samples:
    """From the call of run() to its return."""
    starts = _Starts(work)
    return [_run([starts.job(item) for item in range(count)])]


def chain(length: int, work: str = bodies.NOTHING) -> Samples:
    """The hops of a chain of jobs."""
    starts = _Starts(work)
    jobs: list[Job] = []
    for item in range(length):
        jobs.append(starts.job(item, jobs[-1:]))
    _run(jobs)
    return bodies.hops(starts.stamps)


def fan_in(count: int) -> Samples:
    """From the end of the last of many to the job that requires all of them."""
    starts = _Starts(bodies.NOTHING)
    jobs = [starts.job(item) for item in range(count)]
    _run([*jobs, starts.job(count, jobs)])
    return [bodies.joined(starts.stamps)]
