"""The exit watcher: sees processes on hosts end, and commits it.

Each node of a run is watched by one worker that reaches it, chosen by lease. It follows the
node's journal over one channel; another worker takes over from the last offset.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time

from redis.exceptions import RedisError

from ...controller.engine.messaging import queues
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ...controller.engine.store.calls import WatchGrant
from ...controller.engine.store.records import ResourceRecord
from ...controller.errors import AnswerError, FencedError, HostError, NepiqError
from ...controller.model.durations import Backoff
from ...controller.model.host import Exit
from ..execution import exits, loading
from ..hosts import Beat, Ended, Entry, Follow, Journal, Lost, follow
from ..runtime import fault_injection
from ..runtime.context import Runtime
from ..sessions import running_time
from . import node_files

log = logging.getLogger("nepiq.watcher")

PERIOD = 1.0
_RETRIES = Backoff(0.2, 5.0)
MISUNDERSTOOD = 4
"""How often in a row a node may tell what is not understood."""
HOME_FIRST = 4.0
"""Seconds that a node is left to the worker that is its host's home."""


class Watcher(threading.Thread):
    """Finds nodes that nobody watches, and watches them.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="nepiq-watcher", daemon=True)
        self._runtime = runtime
        self._poked = threading.Event()
        self._ended = False
        self._watches: dict[tuple[str, int], NodeWatch] = {}
        self._left: dict[tuple[str, int], float] = {}  # to others, since when

    @property
    def followed(self) -> int:
        """How many nodes are watched."""
        return sum(watch.is_alive() for watch in list(self._watches.values()))

    def poke(self) -> None:
        """Look at once: a node has just become READY."""
        self._poked.set()

    def run(self) -> None:
        """Look for nodes once a second, and whenever poked, until :meth:`end`."""
        while not self._ended:
            try:
                self._look()
                self._runtime.sessions.rest(self._runtime.settings.session_idle)
            except (RedisError, OSError) as error:
                log.warning("cannot look for nodes: %s", error, extra={"action": "watch_failed"})
            except Exception:
                log.exception("unexpected error in the watcher", extra={"action": "watch_error"})
            self._poked.wait(PERIOD)
            self._poked.clear()
        watches = list(self._watches.values())
        for watch in watches:  # one may have begun meanwhile
            watch.end()
        for watch in watches:
            watch.join(timeout=2.0)

    def end(self) -> None:
        """Stop watching; the leases are given up, so that others take over at once."""
        self._ended = True
        self._poked.set()
        for watch in list(self._watches.values()):
            watch.end()

    def _look(self) -> None:
        runtime = self._runtime
        self._watches = {key: w for key, w in self._watches.items() if w.is_alive()}
        left, self._left = self._left, {}
        active = keys.active(runtime.settings.broker_name)
        for raw in runtime.members(active):
            run = runtime.run(raw.decode())
            for node in _unwatched(run):
                key = (run.run_id, node)
                way = "" if key in self._watches else _way(run, node)
                if queues.shared(way) not in runtime.queues:
                    continue
                since = left.get(key, time.monotonic())
                home = runtime.stack.homes.worker(way)
                if home not in ("", runtime.name) and time.monotonic() - since < HOME_FIRST:
                    self._left[key] = since
                    continue
                fault_injection.point("looking")
                holder = f"{runtime.name} {secrets.token_hex(4)}"
                granted = run.store.watch(node, holder)
                if granted.status == "OK":
                    watch = NodeWatch(runtime, run, node, holder, granted)
                    watch.stays_while(way, home)
                    self._watches[key] = watch
                    watch.start()


def _way(run: Run, node: int) -> str:
    """Where the steps on a host go; empty if there is no such host."""
    record = run.store.record(node)
    if record is None:
        return ""
    if record.local:
        meta = run.store.meta()
        return queues.of_machine(meta.bindings.get(record.site, "") if meta else "")
    return f"{record.queue}@{record.home}" if record.home else record.queue


def _unwatched(run: Run) -> list[int]:
    """Nodes of a run whose exit watcher's lease has run out."""
    watches = run.store.watches()
    if not watches:
        return []
    now = run.store.now()
    return [node for node, until in watches.items() if until <= now]


class NodeWatch(threading.Thread):
    """Follows the journal of one node until it is released or the lease is lost.

    Args:
        runtime: this worker's.
        run: the run.
        node: the node.
        holder: of the lease: this worker and a nonce. What is recorded in its name is refused once
            another has the lease, so a worker that stood still meanwhile does no harm.
        granted: where to go on.
    """

    def __init__(
        self, runtime: Runtime, run: Run, node: int, holder: str, granted: WatchGrant
    ) -> None:
        super().__init__(name=f"nepiq-watch-{node}", daemon=True)
        self._runtime = runtime
        self._run = run
        self._node = node
        self._holder = holder
        self._way, self._homes = "", {"", runtime.name}
        # How far Redis is known to know the journal; only the thread that follows it writes this.
        self._known = (granted.journal, granted.offset)
        self._behind = threading.Event()
        self._entries: Follow | None = None
        self._place = ""
        self._heard = running_time.now()
        self._misunderstood = 0
        self._over = threading.Event()
        self._labels: dict[int, ResourceRecord] = {}

    def stays_while(self, way: str, home: str) -> None:
        """Say for whom it gives up the lease: for a home of the host that is another than now.

        A home that has let this worker have the journal would do so again.

        Args:
            way: where the steps on the host go, as :class:`Homes` takes it.
            home: the present home of the host.
        """
        self._way = way
        self._homes.add(home)

    def end(self) -> None:
        """Stop, and give up the lease."""
        self._over.set()

    def run(self) -> None:
        """Follow, reconnecting when the channel is lost."""
        fault_injection.point("watching")
        heartbeat = threading.Thread(target=self._hold, name=self.name + "-lease", daemon=True)
        heartbeat.start()
        failures = 0
        try:
            while not self._over.is_set():
                began = running_time.now()
                try:
                    if self._behind.is_set():
                        self._begin_anew()
                    self._follow()
                    failures = 0
                except (HostError, OSError) as error:
                    if self._run.record(self._node).state == "RELEASED":
                        return
                    log.warning("watch of node %s: %s", self._node, error)
                    if self._given_up(began, error):
                        return
                except RedisError as error:
                    log.warning("watch of node %s: %s", self._node, error)
                failures += 1
                self._over.wait(_RETRIES.pause(failures))
        except Exception:
            log.exception("watch of node %s failed", self._node)
        finally:
            self._over.set()
            heartbeat.join()

    def _given_up(self, began: float, error: Exception) -> bool:
        """Whether the node counts as lost now that an attempt to follow it has failed."""
        seconds = self._runtime.settings.host_lost
        if isinstance(error, AnswerError):
            self._misunderstood += 1
            if self._misunderstood == MISUNDERSTOOD:
                self._host_lost("the host cannot be followed", error)
                return True
        # It is owed an attempt that began after its time was over.
        if began - self._heard <= seconds:
            return False
        self._host_lost(f"no word from the host for {seconds:g} s", error)
        return True

    def _hold(self) -> None:
        """Renew the lease; the channel ends with it."""
        timing = self._runtime.stack.timing
        while not self._over.wait(timing.renew):
            journal, offset = self._known
            try:
                granted = self._run.store.watch(self._node, self._holder)
            except (RedisError, OSError):
                continue
            home = self._runtime.stack.homes.worker(self._way)
            if granted.status != "OK" or home not in self._homes:
                self._over.set()
            elif journal and (granted.journal != journal or granted.offset < offset):
                self._behind.set()
                self._close_channel()
        self._close_channel()
        try:
            self._run.store.unwatch(self._node, self._holder)
        except (RedisError, OSError) as error:
            log.warning("cannot give up the watch of node %s: %s", self._node, error)

    def _begin_anew(self) -> None:
        """Redis came back with older records: exits that were read may be unknown again."""
        granted = self._run.store.watch(self._node, self._holder)
        if granted.status == "OK":
            self._known = (granted.journal, granted.offset)
            self._behind.clear()
        else:
            self._over.set()

    def _follow(self) -> None:
        record = self._run.record(self._node)
        self._place = record.label
        node = loading.resource(self._run, record)
        if self._runtime.remnants is not None:
            self._runtime.remnants.note(self._run.run_id, self._node, node, self._way)
        session = self._runtime.sessions.session(node)
        self._entries = follow(
            session,
            self._run.run_id,
            self._node,
            *self._known,
        )
        try:
            self._take_all(self._entries)
        except FencedError:
            if self._run.record(self._node).state == "RELEASED":
                raise
            node_files.restore(self._run, node, session)

    def _take_all(self, entries: Follow) -> None:
        beats = 0
        with contextlib.closing(entries):
            read: tuple[str, int] | None = None
            for entry in entries:
                self._heard = running_time.now()
                self._take(entry)
                beats += isinstance(entry, Beat)
                if isinstance(entry, Journal) or beats == node_files.BEATS:
                    beats = 0
                    entries.question(node_files.launched(self._run, self._node))
                if isinstance(entry, Ended) and entry.journal_id:
                    read = (entry.journal_id, entry.offset)
                if read is not None and not entries.pending:
                    self._watched(*read)
                    read = None
                if self._over.is_set() or self._behind.is_set():
                    return

    def _close_channel(self) -> None:
        if self._entries is not None:
            self._entries.close()

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, Ended | Beat):
            self._misunderstood = 0
        if isinstance(entry, Ended):
            self._exited(entry.guid, entry.occasion, entry.exit)
        elif isinstance(entry, Lost):
            ended = Exit(code=None, outcome="FAILED", reason=entry.reason)
            self._exited(entry.guid, entry.occasion, ended)

    def _watched(self, journal: str, offset: int) -> None:
        known, since = self._known
        since = since if known == journal else 0
        told = self._run.store.watched(self._node, self._holder, journal, offset, since)
        if told == "BEHIND":
            self._behind.set()
        elif told == "TAKEN":
            self._over.set()
        else:
            self._known = (journal, offset)

    def _exited(self, guid: int, occasion: int, ended: Exit) -> None:
        record = self._labels.get(guid) or self._run.store.record(guid)
        if record is None:
            return
        self._labels[guid] = record
        told = self._run.exited(
            (self._node, self._holder),
            guid,
            occasion,
            ended.outcome,
            ended.age,
            exits.info(ended, f"{record.label} on {self._place}"),
            exits.attributes(record.rtype, ended),
            ended.outputs,
        )
        if told == "TAKEN":
            self._over.set()
        elif told == "FOREIGN":
            log.warning("%s told an end of %s, which is not on it", self._place, record.label)

    def _host_lost(self, what: str, error: Exception) -> None:
        reason = error.message if isinstance(error, NepiqError) else str(error)
        told = {
            "type": "HostError",
            "message": f"{what}: {reason}",
            "where": self._run.record(self._node).label,
            "hint": "is it up and reachable from this worker machine? what ran there may "
            "still run; a later run of the experiment ends it with cleanProcesses",
        }
        self._run.abandon(self._node, told, holder=self._holder)
