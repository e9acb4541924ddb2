"""Homes: which worker of a site a host's steps go to first, so that one of them logs in there.

The worker is the same for all runs and publishers, and as long as it serves: that of the highest
hash of host and worker ("rendezvous hashing", Thaler and Ravishankar 1998). When a worker joins
or leaves, only the hosts move that it gets or had. A home is a preference: what does not get
done there is sent to all workers of the site.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

from redis import RedisError

from ..membership import WorkerInfo
from . import queues

#: Attempts after which any worker may try: that one may not reach the host.
AT_HOME = 3
#: Seconds for which what is known of the workers is believed.
_KEPT = 1.0

_Serving = frozenset[tuple[str, str]]


class Homes:
    """Knows the workers that serve. Safe to use from several threads.

    Args:
        workers: asks for them.
    """

    def __init__(self, workers: Callable[[], Sequence[WorkerInfo]]) -> None:
        self._ask = workers
        self._until = 0.0
        # Who serves which queue, and the homes found among them. They are replaced together, so
        # that what one thread finds does not come among what another has just learned.
        self._known: tuple[_Serving, dict[str, str]] = (frozenset(), {})

    def queue(self, name: str, attempt: int = 1) -> str:
        """Where the message of a step goes.

        Args:
            name: the queue as a script names it, ``queue@host``, or that of a worker; others are
                left as they are.
            attempt: which attempt at the step that is.
        """
        plain, _, whose = name.partition("@")
        if not whose or attempt > AT_HOME:
            return plain
        serving, _ = self._look()
        worker = whose if (plain, whose) in serving else self.worker(name)
        return queues.of_worker(plain, worker) if worker else plain

    def worker(self, name: str) -> str:
        """The worker that is the home of a host; empty if there are not several to choose from.

        Args:
            name: ``queue@host``; without a host it has no home.
        """
        serving, found = self._look()
        worker = found.get(name)
        if worker is None:
            worker = found[name] = _choose(serving, name)
        return worker

    def _look(self) -> tuple[_Serving, dict[str, str]]:
        """Ask for the workers now and then; what was found is forgotten when others serve."""
        now = time.monotonic()
        if now >= self._until:
            self._until = now + _KEPT
            try:
                workers = self._ask()
            except (RedisError, OSError):  # it is no more than a preference
                workers = ()
            serving = frozenset(
                (queue, worker.name)
                for worker in workers
                if worker.serving
                for queue in map(queues.shared, worker.queues)
                if queues.of_worker(queue, worker.name) in worker.queues
            )
            if serving != self._known[0]:
                self._known = (serving, {})
        return self._known


def _choose(serving: _Serving, name: str) -> str:
    plain, _, host = name.partition("@")
    names = [worker for queue, worker in serving if queue == plain]
    if not host or len(names) < 2:
        return ""
    return max(names, key=lambda worker: (_weight(host, worker), worker))


def _weight(host: str, worker: str) -> bytes:
    return blake2b(f"{host} {worker}".encode(), digest_size=8).digest()
