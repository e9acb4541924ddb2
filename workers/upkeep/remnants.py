"""Cleanup of hosts after Redis has lost the data of runs, by the workers that served them.

A worker records the hosts on which it acts, for each active run. If Redis holds another data set
than before and does not contain a run for longer than :data:`GRACE`, the worker ends and removes
what the run left on those hosts, as ``nepiq clean`` does. If all workers that served the run have
gone, too, ``nepiq doctor`` lists the hosts, from files on the worker machine.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ...controller.engine import redis_loss, redis_memory
from ...controller.engine.store import keys
from ...controller.errors import HostError
from ...controller.model.durations import Backoff
from ...controller.model.login import Login
from ...controller.model.resource import Placement
from ...controller.model.values import SecretReference
from . import host_cleanup
from .ledger import Ledger

if TYPE_CHECKING:
    from ..runtime.context import Runtime

log = logging.getLogger("nepiq.remnants")

GRACE = 10.0
"""Seconds for which Redis must lack a run before the run counts as lost: an operator may restore
Redis' file meanwhile."""
PREFERENCE = 5.0
"""Seconds for which only the preferred worker of a host tries to clean it."""
RETRIES = Backoff(1.0, 60.0)
"""Seconds until a host that could not be cleaned is retried."""
_LOCK_SECONDS = 300
_OVER = {"RELEASED", "EXPIRED"}


@dataclass(frozen=True)
class RecordedHost:
    """A host as recorded by a worker, without Redis; for :class:`~.hosts.SessionPool`.

    Attributes:
        name: the host in the form of ``nepiq clean``.
        at: where it is reached from.
        to: how to log in to it; None for the worker machine itself.
        home: the directory that contains ``.nepiq``; empty for the login home.
        route: ``queue@host`` of the steps on it, see :class:`Affinity`.
        sudo_password: reference to the password for sudo there.
    """

    name: str
    at: Placement
    to: Login | None
    home: str
    route: str
    sudo_password: SecretReference | None = None

    @classmethod
    def of(cls, node: Any, route: str) -> RecordedHost:
        """Return the host that a resource provides."""
        at = node.placement()
        to = None if at.local else node.login()
        home = str(getattr(node, "home", "") or "")
        secret = getattr(node, "sudoPassword", None)
        return cls("localhost" if to is None else str(to), at, to, home, route, secret)

    def placement(self) -> Placement:
        """Return where the host is reached from."""
        return self.at

    def login(self) -> Login:
        """Return how to log in to the host."""
        return self.to or Login("localhost")


@dataclass
class RecordedRun:
    """A run on whose hosts this worker has acted.

    Attributes:
        dataset: the data set that Redis held then.
        nodes: its hosts by guid.
        missing_since: monotonic time since which Redis lacks the run; None while it has it.
    """

    dataset: str
    nodes: dict[int, RecordedHost] = field(default_factory=dict)
    missing_since: float | None = None


class Remnants:
    """The recorded hosts of a worker's runs, and their cleanup after Redis has lost the runs.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._dataset = ""
        settings = runtime.settings
        self._ledger = Ledger(settings.state_home, settings.state_url)
        self._runs: dict[str, RecordedRun] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def begin(self) -> None:
        """Read which data set Redis holds, before any host is recorded."""
        self._dataset = redis_loss.dataset(self._runtime.redis)
        entries = list(self._ledger.runs())
        for (dataset, run_id, hosts), phase in zip(
            entries, self._phases(run for _, run, _ in entries), strict=True
        ):
            if not phase and dataset != self._dataset:
                for host in hosts:
                    why = "all workers that served it have gone"
                    redis_loss.add(
                        self._runtime.redis,
                        redis_loss.HostRemains(run_id, host, self._runtime.machine, why),
                    )
            if not phase or phase in _OVER:
                self._ledger.drop(dataset, run_id)

    def note(self, run_id: str, guid: int, node: Any, route: str) -> None:
        """Record that this worker acts on a host of a run.

        Args:
            run_id: the run.
            guid: the host's.
            node: the resource that provides it.
            route: ``queue@host`` of the steps on it.
        """
        with self._lock:
            record = self._runs.setdefault(run_id, RecordedRun(self._dataset))
            if guid in record.nodes:
                return
            host = record.nodes[guid] = RecordedHost.of(node, route)
        self._ledger.add(record.dataset, run_id, host.name)

    def look(self) -> None:
        """Check whether Redis still holds the recorded runs; called once a second.

        Raises:
            RedisError: Redis does not answer; the grace period begins anew.
        """
        try:
            self._dataset = redis_loss.dataset(self._runtime.redis)
            gone = self._gone()
        except (RedisError, OSError):
            for record in list(self._runs.values()):
                record.missing_since = None
            raise
        if gone:
            log.error(
                "Redis has lost the data of %d runs; cleaning their hosts: %s",
                len(gone),
                " ".join(sorted(gone)),
                extra={"action": "runs_lost"},
            )
            self._clean(gone)

    def end(self) -> None:
        """Stop retrying."""
        self._over.set()

    def _gone(self) -> dict[str, RecordedRun]:
        """Return the lost runs; remove them and the ended runs from the records."""
        with self._lock:
            runs = dict(self._runs)
        if not runs:
            return {}
        gone, ended = {}, []
        now = time.monotonic()
        for (run_id, record), phase in zip(runs.items(), self._phases(runs), strict=True):
            if phase:
                record.missing_since = None
                if phase in _OVER:
                    ended.append(run_id)
            elif record.dataset == self._dataset:
                ended.append(run_id)  # its records were deleted
            else:
                if record.missing_since is None:
                    record.missing_since = now
                if now - record.missing_since >= GRACE:
                    gone[run_id] = record
        with self._lock:
            for run_id in (*ended, *gone):
                self._ledger.drop(self._runs.pop(run_id).dataset, run_id)
        return gone

    def _phases(self, runs: Iterable[str]) -> list[str]:
        """Return the phase of each run; empty for a run that Redis does not hold."""
        pipe = self._runtime.redis.pipeline(transaction=False)
        for run_id in runs:
            pipe.get(keys.RunKeys(run_id).of("meta"))
        return [str(json.loads(text)["phase"]) if text else "" for text in pipe.execute()]

    def _clean(self, gone: Mapping[str, RecordedRun]) -> None:
        """Clean the hosts in parallel, since some may be unreachable."""
        hosts: dict[RecordedHost, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for run_id, record in gone.items():
            for guid, host in record.nodes.items():
                hosts[host][run_id].append(guid)
        for host, runs in hosts.items():
            threading.Thread(
                target=self._clean_host,
                args=(host, runs),
                name=f"nepiq-remnants-{host.name}",
                daemon=True,
            ).start()

    def _clean_host(self, host: RecordedHost, runs: Mapping[str, list[int]]) -> None:
        preferred = self._runtime.backend.affinity.worker(host.route)
        if preferred not in ("", self._runtime.name):
            self._over.wait(PREFERENCE)
        failures = 0
        while not self._over.is_set():
            try:
                if self._try(host, runs):
                    return
            except (RedisError, OSError, HostError) as error:
                log.warning("cannot clean %s: %s", host.name, error)
                self._report(host, runs, str(error))
            except Exception:
                log.exception("unexpected error in cleaning %s", host.name)
                return
            failures += 1
            self._over.wait(RETRIES.pause(failures))

    def _try(self, host: RecordedHost, runs: Mapping[str, list[int]]) -> bool:
        """Clean a host unless another worker does; return True if nothing remains."""
        runtime = self._runtime
        lock = f"{keys.LOST}:{host.at.affinity or runtime.machine}:{host.home}"
        redis: Any = runtime.redis
        lock_command = ("SET", lock, runtime.name, "NX", "EX", _LOCK_SECONDS)
        if not redis_memory.execute(redis, [lock_command])[0]:
            return False
        try:
            session = runtime.sessions.session(host)
            by_run = {remains.run_id: remains for remains in host_cleanup.look(session, runs)}
            for run_id, nodes in runs.items():
                remains = by_run.get(run_id) or host_cleanup.Remains(run_id)
                host_cleanup.remove(session, remains, nodes, host.sudo_password)
                log.info("cleaned run %s from %s", run_id, host.name)
                redis_loss.remove(redis, run_id, host.name)
        finally:
            redis.delete(lock)
        return True

    def _report(self, host: RecordedHost, runs: Mapping[str, list[int]], why: str) -> None:
        try:
            for run_id in runs:
                item = redis_loss.HostRemains(run_id, host.name, self._runtime.machine, why)
                redis_loss.add(self._runtime.redis, item)
        except (RedisError, OSError) as error:
            log.warning("cannot report what remains on %s: %s", host.name, error)
