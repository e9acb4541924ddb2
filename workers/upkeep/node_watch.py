"""The watch of one node, which records the exits of supervised processes on its host.

It follows the node's exit journal over one channel.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from redis.exceptions import RedisError

from ...controller.engine.run import Run
from ...controller.engine.store.calls import ExitReport, WatchGrant
from ...controller.engine.store.records import ResourceRecord
from ...controller.errors import AnswerError, FencedError, HostError, NepiqError, UnknownRun
from ...controller.model.durations import Backoff, Deadline
from ...controller.model.host import Exit
from ..execution import exits, loading
from ..hosts import (
    Attempt,
    Dismantled,
    Entry,
    Follow,
    HostHeartbeat,
    Journal,
    Lost,
    ProcessExit,
    Restarted,
    ShellHost,
    follow,
)
from ..runtime import fault_injection
from ..runtime.context import Runtime
from ..sessions import running_time
from ..sessions.session import Session
from . import node_files

log = logging.getLogger("nepiq.watcher")

_RETRIES = Backoff(0.2, 5.0)
MAX_PROTOCOL_ERRORS = 4
"""Consecutive attempts with unintelligible replies after which a node counts as lost."""
MOST_EXITS = 64
"""Exits that are recorded in one round trip."""
READING = 20.0
"""Seconds that a host has to return an output for the figures of a resource."""


class NodeWatch(threading.Thread):
    """The thread that follows one node's journal until its release or the loss of the lease.

    Args:
        runtime: of this worker.
        run: the run.
        node: the guid of the node.
        holder: holder of the lease: this worker and a nonce. Redis refuses records of a holder
            that has lost the lease, so a worker that was suspended meanwhile does no harm.
        granted: the lease, with the journal offset to continue from.
    """

    def __init__(
        self, runtime: Runtime, run: Run, node: int, holder: str, granted: WatchGrant
    ) -> None:
        super().__init__(name=f"nepiq-watch-{node}", daemon=True)
        self._runtime = runtime
        self._run = run
        self._node = node
        self._holder = holder
        self._route, self._accepted = "", {"", runtime.name}
        # Journal and offset that Redis has confirmed; written only by the thread that follows.
        self._confirmed = (granted.journal, granted.offset)
        self._behind = threading.Event()
        self._entries: Follow | None = None
        self._node_label = ""
        self._session: Session  # set before any entry is read from it
        self._last_entry = running_time.now()
        self._protocol_errors = 0
        self._over = threading.Event()
        self._records: dict[int, ResourceRecord] = {}

    def hold_while(self, route: str, preferred: str) -> None:
        """Hold the lease until the host gets another preferred worker than now.

        The present one had its chance to take the lease, so it would not take it later either.

        Args:
            route: ``queue@host`` of the steps on the host, see :class:`Affinity`.
            preferred: the present preferred worker of the host.
        """
        self._route = route
        self._accepted.add(preferred)

    def end(self) -> None:
        """Stop and release the lease."""
        self._over.set()

    def run(self) -> None:
        """Follow the journal; reconnect when the channel is lost."""
        fault_injection.point("watching")
        renewal = threading.Thread(target=self._renew, name=self.name + "-lease", daemon=True)
        renewal.start()
        failures = 0
        try:
            while not self._over.is_set():
                began, dismantled = running_time.now(), False
                try:
                    if self._behind.is_set():
                        self._rewind()
                    dismantled = self._follow()
                    failures = failures if dismantled else 0
                except (HostError, OSError) as error:
                    if self._is_released:
                        return
                    log.warning("watch of node %s: %s", self._node, error)
                    if self._host_is_lost(began, error):
                        return
                except RedisError as error:
                    log.warning("watch of node %s: %s", self._node, error)
                failures += 1
                self._over.wait(_RETRIES.pause(failures))
                # The worker that has dismantled it commits the release meanwhile.
                if dismantled and self._is_released:
                    return
        except UnknownRun as error:
            # Its records were deleted, as those of a campaign's run when it has its row.
            log.info("watch of node %s ends: %s", self._node, error)
        except Exception:
            log.exception("watch of node %s failed", self._node)
        finally:
            self._over.set()
            renewal.join()

    @property
    def _is_released(self) -> bool:
        return self._run.record(self._node).state == "RELEASED"

    def _host_is_lost(self, began: float, error: Exception) -> bool:
        """Return whether to stop after a failed attempt to follow; record a lost host."""
        seconds = self._runtime.settings.host_lost
        if isinstance(error, AnswerError):
            self._protocol_errors += 1
            if self._protocol_errors == MAX_PROTOCOL_ERRORS:
                self._abandon_host("the host cannot be followed", error)
                return True
        # The host is lost only after an attempt that began after the time limit.
        if began - self._last_entry <= seconds:
            return False
        self._abandon_host(f"no reply from the host for {seconds:g} s", error)
        return True

    def _renew(self) -> None:
        """Renew the lease, and close the channel when it ends."""
        timing = self._runtime.backend.timing
        while not self._over.wait(timing.renew):
            journal, offset = self._confirmed
            try:
                granted = self._run.store.watch(self._node, self._holder)
            except (RedisError, OSError):
                continue
            preferred = self._runtime.backend.affinity.worker(self._route)
            if granted.status != "OK" or preferred not in self._accepted:
                self._over.set()
            elif journal and (granted.journal != journal or granted.offset < offset):
                self._behind.set()
                self._close_channel()
        self._close_channel()
        try:
            self._run.store.unwatch(self._node, self._holder)
        except (RedisError, OSError) as error:
            log.warning("cannot release the watch of node %s: %s", self._node, error)

    def _rewind(self) -> None:
        """Continue from the offset in Redis, which was restored without the latest exits."""
        granted = self._run.store.watch(self._node, self._holder)
        if granted.status == "OK":
            self._confirmed = (granted.journal, granted.offset)
            self._behind.clear()
        else:
            self._over.set()

    def _follow(self) -> bool:
        """Follow the journal; return True if it has ended with the run on the host."""
        record = self._run.record(self._node)
        self._node_label = record.label
        node = loading.resource(self._run, record)
        if self._runtime.remnants is not None:
            self._runtime.remnants.note(self._run.run_id, self._node, node, self._route)
        session = self._session = self._runtime.sessions.session(node)
        self._entries = follow(
            session,
            self._run.run_id,
            self._node,
            *self._confirmed,
        )
        try:
            return self._read_all(self._entries)
        except FencedError:
            if self._is_released:
                raise
            log.warning("%s: files of the run are missing, and are restored", self._node_label)
            node_files.restore(self._run, node, session)
            return False

    def _read_all(self, entries: Follow) -> bool:
        heartbeats = 0
        exits_read: list[ProcessExit] = []
        with contextlib.closing(entries):
            read: tuple[str, int] | None = None
            for entry in entries:
                self._last_entry = running_time.now()
                if isinstance(entry, ProcessExit | Restarted) and entry.journal_id:
                    read = (entry.journal_id, entry.offset)
                if isinstance(entry, ProcessExit):
                    # What has arrived together is recorded together; nothing waits for more. What
                    # is not in the journal cannot be read again, so it does not wait either.
                    exits_read.append(entry)
                    if entry.journal_id and entries.pending and len(exits_read) < MOST_EXITS:
                        continue
                self._exited(exits_read)
                exits_read.clear()
                self._handle(entry)
                heartbeats += isinstance(entry, HostHeartbeat)
                if isinstance(entry, Journal) or heartbeats == node_files.BEATS:
                    heartbeats = 0
                    entries.question(node_files.launched(self._run, self._node))
                if read is not None and not entries.pending:
                    self._confirm(*read)
                    read = None
                if self._over.is_set() or self._behind.is_set():
                    return False
                if isinstance(entry, Dismantled):
                    return True
        return False

    def _close_channel(self) -> None:
        if self._entries is not None:
            self._entries.close()

    def _handle(self, entry: Entry) -> None:
        if isinstance(entry, ProcessExit | Restarted | HostHeartbeat | Dismantled):
            self._protocol_errors = 0
        if isinstance(entry, Lost):
            lost = Exit(code=None, outcome="FAILED", reason=entry.reason)
            self._exited([ProcessExit(entry.guid, entry.occasion, lost, "", 0)])
        elif isinstance(entry, Restarted):
            self._restarted(entry)

    def _confirm(self, journal: str, offset: int) -> None:
        previous, since = self._confirmed
        since = since if previous == journal else 0
        status = self._run.store.watched(self._node, self._holder, journal, offset, since)
        if status == "BEHIND":
            self._behind.set()
        elif status == "TAKEN":
            self._over.set()
        else:
            self._confirmed = (journal, offset)

    def _exited(self, entries: Sequence[ProcessExit]) -> None:
        records = self._read_records([entry.guid for entry in entries])
        reports: list[ExitReport] = []
        try:
            for entry in entries:
                if entry.guid in records:
                    reports.append(self._report(records[entry.guid], entry))
        finally:  # figures of a later one may be out of reach
            self._record(reports)

    def _report(self, record: ResourceRecord, entry: ProcessExit) -> ExitReport:
        process_exit = entry.exit
        attributes = exits.attributes(record.rtype, process_exit)
        if record.host == self._node:
            read = partial(self._read, record.guid, entry.occasion)
            attributes |= exits.measure(self._run, record, process_exit, read)
        return ExitReport(
            record.guid,
            entry.occasion,
            process_exit.outcome,
            process_exit.age,
            exits.info(process_exit, f"{record.label} on {self._node_label}"),
            attributes,
            process_exit.outputs,
        )

    def _restarted(self, entry: Restarted) -> None:
        for record in self._read_records([entry.guid]).values():
            attributes = exits.declared(record.rtype, {"restarts": entry.number})
            info = {"code": entry.code, "restarts": entry.number}
            report = ExitReport(
                record.guid, entry.occasion, "RESTARTED", entry.age, info, attributes
            )
            self._record([report])

    def _read_records(self, guids: Iterable[int]) -> Mapping[int, ResourceRecord]:
        """Return the records of resources that exist, by guid; each is read once."""
        wanted = dict.fromkeys(guids)
        missing = [guid for guid in wanted if guid not in self._records]
        if missing:
            self._records.update(
                {record.guid: record for record in self._run.store.records(missing)}
            )
        return {guid: self._records[guid] for guid in wanted if guid in self._records}

    def _record(self, reports: Sequence[ExitReport]) -> None:
        statuses = self._run.exited((self._node, self._holder), reports) if reports else []
        for report, status in zip(reports, statuses, strict=True):
            if status == "TAKEN":
                self._over.set()
            elif status == "FOREIGN":
                log.warning(
                    "%s reported an exit of %s, which is not on it",
                    self._node_label,
                    self._records[report.guid].label,
                )

    def _read(self, guid: int, occasion: int, path: str, last: int) -> bytes:
        """Return the last bytes of a file in the run directory of a start."""
        attempt = Attempt(
            self._session,
            run_id=self._run.run_id,
            exp_id=self._run.exp_id,
            node=self._node,
            guid=guid,
            occasion=occasion,
            token=0,
            deadline=Deadline.after(READING),
            where=f"{self._records[guid].label} on {self._node_label}",
        )
        return ShellHost(attempt).read(path, offset=-last)

    def _abandon_host(self, problem: str, error: Exception) -> None:
        reason = error.message if isinstance(error, NepiqError) else str(error)
        error_info = {
            "type": "HostUnreachable",
            "message": f"{problem}: {reason}",
            "where": self._run.record(self._node).label,
            "hint": "check that it is up and reachable from this worker machine; processes there "
            "may still run; a later run of the experiment ends them with cleanProcesses",
        }
        self._run.abandon(self._node, error_info, holder=self._holder)
