"""What runs leave on hosts when Redis loses their data: workers that served them end it.

A worker notes the hosts on which it acts, for each run that goes on. When Redis holds another
data set than before and does not know a run any more, and neither does after :data:`GRACE`, what
the run left on those hosts is ended and removed as ``nepiq clean`` does it. What only workers
knew that are gone, too, is told by ``nepiq doctor``: files on the worker machine name the hosts.
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
"""Seconds for which Redis answers without a run before that counts as lost: it may come back with
its data, when somebody restores its file."""
HOME_FIRST = 5.0
"""Seconds that a host is left to the worker that is its home."""
RETRIES = Backoff(1.0, 60.0)
"""Seconds until a host that could not be cleaned is tried again."""
_LOCK_SECONDS = 300
_OVER = {"RELEASED", "EXPIRED"}


@dataclass(frozen=True)
class Known:
    """A host as a worker knows it without Redis; for :class:`~.hosts.SessionPool`.

    Attributes:
        name: the host as ``nepiq clean`` takes it.
        at: where it is reached from.
        to: how it is logged in to, unless it is the worker machine itself.
        home: its directory for ``.nepiq``; empty for the login home.
        way: where the steps on it go, as :class:`Homes` takes it.
        sudo_password: where this machine finds the password for sudo there.
    """

    name: str
    at: Placement
    to: Login | None
    home: str
    way: str
    sudo_password: SecretReference | None = None

    @classmethod
    def of(cls, node: Any, way: str) -> Known:
        """The host that a resource provides."""
        at = node.placement()
        to = None if at.local else node.login()
        home = str(getattr(node, "home", "") or "")
        secret = getattr(node, "sudoPassword", None)
        return cls("localhost" if to is None else str(to), at, to, home, way, secret)

    def placement(self) -> Placement:
        """Where it is reached from."""
        return self.at

    def login(self) -> Login:
        """How it is logged in to."""
        return self.to or Login("localhost")


@dataclass
class Served:
    """A run that this worker has served.

    Attributes:
        dataset: the data set that Redis held then.
        nodes: its hosts by their guid.
        since: since when Redis does not know it; None while it does.
    """

    dataset: str
    nodes: dict[int, Known] = field(default_factory=dict)
    since: float | None = None


class Remnants:
    """The hosts of the runs that a worker serves, and what is done when Redis loses these.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._dataset = ""
        settings = runtime.settings
        self._ledger = Ledger(settings.state_home, settings.state_url)
        self._runs: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def begin(self) -> None:
        """Learn which data set Redis holds, before anything is noted."""
        self._dataset = redis_loss.dataset(self._runtime.redis)
        noted = list(self._ledger.runs())
        for (dataset, run_id, hosts), phase in zip(
            noted, self._phases(run for _, run, _ in noted), strict=True
        ):
            if not phase and dataset != self._dataset:
                for host in hosts:
                    why = "no worker is left that served it"
                    redis_loss.note(
                        self._runtime.redis,
                        redis_loss.Left(run_id, host, self._runtime.machine, why),
                    )
            if not phase or phase in _OVER:
                self._ledger.drop(dataset, run_id)

    def note(self, run_id: str, guid: int, node: Any, way: str) -> None:
        """This worker acts on a host of a run.

        Args:
            run_id: the run.
            guid: the host's.
            node: the resource that provides it.
            way: where the steps on it go.
        """
        with self._lock:
            served = self._runs.setdefault(run_id, Served(self._dataset))
            if guid in served.nodes:
                return
            known = served.nodes[guid] = Known.of(node, way)
        self._ledger.add(served.dataset, run_id, known.name)

    def look(self) -> None:
        """See whether Redis still knows the runs; called once a second.

        Raises:
            RedisError: Redis cannot be asked; the grace begins anew.
        """
        try:
            self._dataset = redis_loss.dataset(self._runtime.redis)
            gone = self._gone()
        except (RedisError, OSError):
            for served in list(self._runs.values()):
                served.since = None
            raise
        if gone:
            log.error(
                "Redis has lost the data of %d runs; what they left on hosts is ended: %s",
                len(gone),
                " ".join(sorted(gone)),
                extra={"action": "runs_lost"},
            )
            self._clean(gone)

    def end(self) -> None:
        """Try no more."""
        self._over.set()

    def _gone(self) -> dict[str, Served]:
        """The runs that are lost, which are noted no longer; nor are those that have ended."""
        with self._lock:
            runs = dict(self._runs)
        if not runs:
            return {}
        gone, ended = {}, []
        now = time.monotonic()
        for (run_id, served), phase in zip(runs.items(), self._phases(runs), strict=True):
            if phase:
                served.since = None
                if phase in _OVER:
                    ended.append(run_id)
            elif served.dataset == self._dataset:
                ended.append(run_id)  # it was forgotten
            else:
                served.since = now if served.since is None else served.since
                if now - served.since >= GRACE:
                    gone[run_id] = served
        with self._lock:
            for run_id in (*ended, *gone):
                self._ledger.drop(self._runs.pop(run_id).dataset, run_id)
        return gone

    def _phases(self, runs: Iterable[str]) -> list[str]:
        """The phase of each run; empty for one that Redis does not know."""
        pipe = self._runtime.redis.pipeline(transaction=False)
        for run_id in runs:
            pipe.get(keys.RunKeys(run_id).of("meta"))
        return [str(json.loads(text)["phase"]) if text else "" for text in pipe.execute()]

    def _clean(self, gone: Mapping[str, Served]) -> None:
        """Clean each host in a thread of its own: one may be out of reach."""
        hosts: dict[Known, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for run_id, served in gone.items():
            for guid, known in served.nodes.items():
                hosts[known][run_id].append(guid)
        for known, runs in hosts.items():
            threading.Thread(
                target=self._clean_host,
                args=(known, runs),
                name=f"nepiq-remnants-{known.name}",
                daemon=True,
            ).start()

    def _clean_host(self, known: Known, runs: Mapping[str, list[int]]) -> None:
        home = self._runtime.stack.homes.worker(known.way)
        if home not in ("", self._runtime.name):
            self._over.wait(HOME_FIRST)
        failures = 0
        while not self._over.is_set():
            try:
                if self._try(known, runs):
                    return
            except (RedisError, OSError, HostError) as error:
                log.warning("cannot clean %s: %s", known.name, error)
                self._tell(known, runs, str(error))
            except Exception:
                log.exception("unexpected error in cleaning %s", known.name)
                return
            failures += 1
            self._over.wait(RETRIES.pause(failures))

    def _try(self, known: Known, runs: Mapping[str, list[int]]) -> bool:
        """Clean a host unless another worker does; True if nothing is left."""
        runtime = self._runtime
        lock = f"{keys.LOST}:{known.at.home or runtime.machine}:{known.home}"
        redis: Any = runtime.redis
        mine = ("SET", lock, runtime.name, "NX", "EX", _LOCK_SECONDS)
        if not redis_memory.execute(redis, [mine])[0]:
            return False
        try:
            session = runtime.sessions.session(known)
            found = {remains.run_id: remains for remains in host_cleanup.look(session)}
            for run_id, nodes in runs.items():
                remains = found.get(run_id) or host_cleanup.Remains(run_id)
                host_cleanup.remove(session, remains, nodes, known.sudo_password)
                log.info("run %s has nothing left on %s", run_id, known.name)
                redis_loss.strike(redis, run_id, known.name)
        finally:
            redis.delete(lock)
        return True

    def _tell(self, known: Known, runs: Mapping[str, list[int]], why: str) -> None:
        try:
            for run_id in runs:
                left = redis_loss.Left(run_id, known.name, self._runtime.machine, why)
                redis_loss.note(self._runtime.redis, left)
        except (RedisError, OSError) as error:
            log.warning("cannot tell what is left on %s: %s", known.name, error)
