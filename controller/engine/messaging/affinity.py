"""Affinity of hosts to workers: the preferred worker of a host, so that only one logs in there.

The preferred worker is the one with the highest hash of host and worker ("rendezvous hashing",
Thaler and Ravishankar 1998), the same for all runs and publishers. When a worker joins or leaves,
only the hosts that it gets or had change theirs. Steps that the preferred worker does not complete
are sent to all workers of the site.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

from redis import RedisError

from ..membership import WorkerInfo
from . import queues

#: Number of attempts for the preferred worker. It may not reach the host, so others follow.
PREFERRED_ATTEMPTS = 3
#: Seconds for which the list of workers is cached.
_CACHE_SECONDS = 1.0

_Serving = frozenset[tuple[str, str]]


class Affinity:
    """The preferred workers of hosts, for use by several threads.

    Args:
        workers: returns the registered workers.
    """

    def __init__(self, workers: Callable[[], Sequence[WorkerInfo]]) -> None:
        self._read_workers = workers
        self._reading = threading.Lock()
        self._until = 0.0  # 0 before the first list
        # (queue, worker) pairs, and the preferred workers chosen among them. They are replaced
        # together, so that no thread adds an old choice to a new list.
        self._cache: tuple[_Serving, dict[str, str]] = (frozenset(), {})

    def queue(self, name: str, attempt: int = 1) -> str:
        """Return the queue of a step's message.

        Args:
            name: ``queue@host`` as scripts write it, or ``queue@worker``; a plain queue is
                returned unchanged.
            attempt: number of the step's attempt.
        """
        plain, _, target = name.partition("@")
        if not target or attempt > PREFERRED_ATTEMPTS:
            return plain
        serving, _ = self._serving()
        worker = target if (plain, target) in serving else self.worker(name)
        return queues.of_worker(plain, worker) if worker else plain

    def worker(self, name: str) -> str:
        """Return the preferred worker of a host; empty if fewer than two workers serve it.

        Args:
            name: ``queue@host``; without a host the result is empty.
        """
        serving, chosen = self._serving()
        worker = chosen.get(name)
        if worker is None:
            worker = chosen[name] = _choose(serving, name)
        return worker

    def _serving(self) -> tuple[_Serving, dict[str, str]]:
        """Return the cache, renewed if it has expired; a change of workers empties the choices.

        One thread reads the list. Meanwhile the others use the old one, or wait for the first:
        without a list no host has a preferred worker, and its steps could go to any.
        """
        if self._has_expired() and self._reading.acquire(blocking=not self._until):
            try:
                if self._has_expired():  # no other thread has read it before
                    self._read()
            finally:
                self._reading.release()
        return self._cache

    def _has_expired(self) -> bool:
        return time.monotonic() >= self._until

    def _read(self) -> None:
        until = time.monotonic() + _CACHE_SECONDS
        try:
            workers = self._read_workers()
        except (RedisError, OSError):  # without a list there is no preference
            workers = ()
        serving = frozenset(
            (queue, worker.name)
            for worker in workers
            if worker.serving
            for queue in map(queues.shared, worker.queues)
            if queues.of_worker(queue, worker.name) in worker.queues
        )
        if serving != self._cache[0]:
            self._cache = (serving, {})
        self._until = until


def _choose(serving: _Serving, name: str) -> str:
    plain, _, host = name.partition("@")
    names = [worker for queue, worker in serving if queue == plain]
    if not host or len(names) < 2:
        return ""
    return max(names, key=lambda worker: (_weight(host, worker), worker))


def _weight(host: str, worker: str) -> bytes:
    return blake2b(f"{host} {worker}".encode(), digest_size=8).digest()
