"""Files of a campaign's runs that worker machines keep: where they are, and how they get here."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..engine.messaging import queues
from ..engine.transfer.attempts import Attempts, Route, remote_error
from ..engine.transfer.flow_control import DATA, END, FAILURE, INFO, Receiver
from ..errors import CampaignError
from ..reports.words import plural
from .file_store import FileStore, StoredFile

if TYPE_CHECKING:
    from ..engine.backend import Backend
    from .row import Row

MOST_RUNS = 500
"""Runs that a message is about."""

MOST_CONTENTS = 1000
"""Contents that one transfer has."""

Files = dict[str, list[StoredFile]]


class KeptFiles:
    """The files of the runs of one campaign, on worker machines.

    Args:
        backend: of this process.
        campaign: name of the campaign.
    """

    def __init__(self, backend: Backend, campaign: str) -> None:
        self._backend = backend
        self._campaign = campaign
        self._received = 0

    def of(self, rows: Iterable[Row]) -> Iterator[tuple[Row, list[StoredFile]]]:
        """Yield the rows of runs that have files, with these.

        Raises:
            CampaignError: the worker machine that has files has no worker.
        """
        for machine, part in _batches(rows):
            found = self._manifests(machine, part)
            for row in part:
                yield row, found.get(row.run_id, [])

    def bring(self, rows: Iterable[Row], store: FileStore) -> int:
        """Bring files of runs into a store here, each content once; return the number of runs.

        Runs that the store has already are left out.

        Raises:
            CampaignError: the worker machine that has files has no worker, or has them no more.
            FileMissing: the store cannot be written.
        """
        known, count, gone = set(store.runs()), 0, []
        for machine, part in _batches(row for row in rows if row.run_id not in known):
            found = self._manifests(machine, part)
            gone += [row for row in part if row.run_id not in found]
            self._contents(machine, found, store)
            count += len(found)
        if gone:
            raise CampaignError(
                f"the files of {plural(len(gone), 'run')}, such as {gone[0].run_id}, are no more "
                f"on worker machine {gone[0].files_on}",
                where=self._campaign,
                hint="those of other runs are here; has its NEPIQ_RESULTS been changed?",
            )
        return count

    def discard(self, rows: Iterable[Row]) -> None:
        """Delete the files of runs where they are kept.

        Raises:
            CampaignError: the worker machine that has files has no worker.
        """
        for machine, part in _batches(rows):
            run_ids = [row.run_id for row in part]
            attempts = self._attempts(machine, run_ids)
            self._messages(attempts, "discard", run_ids, lambda receiver: list(_drained(receiver)))

    # -- inside -------------------------------------------------------------------------------

    def _manifests(self, machine: str, rows: Sequence[Row]) -> Files:
        """Return the files of runs by run, as a worker machine has them."""

        def read(receiver: Receiver) -> bytes:
            return b"".join(_drained(receiver))

        run_ids = [row.run_id for row in rows]
        text = self._messages(self._attempts(machine, run_ids), "manifests", run_ids, read)
        return {
            entry["run"]: [StoredFile.from_data(item) for item in entry["files"]]
            for entry in map(json.loads, text.splitlines())
        }

    def _contents(self, machine: str, runs: Files, store: FileStore) -> None:
        if not runs:
            return
        attempts = self._attempts(machine, list(runs))
        while lacking := store.lacking(runs):
            part = dict(islice(lacking.items(), MOST_CONTENTS))
            self._messages(
                attempts,
                "contents",
                list(part),
                lambda receiver: store.take(self._counted(_Contents(receiver))),
            )
        store.enter(runs)

    def _counted(self, contents: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[Any]:
        for content in contents:
            yield content
            self._received += 1

    def _messages(
        self, attempts: Attempts, task: str, items: list[str], read: Callable[[Receiver], Any]
    ) -> Any:
        """Have a worker send something about runs or contents; return what ``read`` made of it."""
        while True:
            with attempts.next() as (name, _, receiver):
                attempts.request(
                    task, [self._campaign, name, items], f"{len(items)} of {self._campaign}"
                )
                return read(receiver)

    def _attempts(self, machine: str, run_ids: Sequence[str]) -> Attempts:
        queue = queues.of_machine(machine)
        if not any(item.alive and queue in item.queues for item in self._backend.workers()):
            raise CampaignError(
                f"the files of {plural(len(run_ids), 'run')}, such as {run_ids[0]}, are on worker "
                f"machine {machine}, which has no worker now",
                where=self._campaign,
                hint="start a worker there; they are in the directory NEPIQ_RESULTS",
            )
        owner, redis = f"campaign:{self._campaign}", self._backend.redis

        def call(task: str, queue: str, args: Sequence[Any], shown: str) -> None:
            self._backend.publisher.call(task, queue, list(args), shown=shown)

        return Attempts(Route(owner, queue, redis, call), lambda: self._received)


def _batches(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield worker machines with rows of runs whose files are there."""
    waiting: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.files_on:
            part = waiting[row.files_on]
            part.append(row)
            if len(part) >= MOST_RUNS:
                yield row.files_on, waiting.pop(row.files_on)
    yield from waiting.items()


def _drained(receiver: Receiver) -> Iterator[bytes]:
    """Yield the blocks of a transfer."""
    for kind, payload in receiver.messages():
        if kind == FAILURE:
            raise remote_error(json.loads(payload))
        if kind == END:
            return
        if kind == DATA:
            yield payload


class _Contents:
    """The contents of a transfer: groups of checksums and sizes, each before the bytes of all."""

    def __init__(self, receiver: Receiver) -> None:
        self._messages = receiver.messages()
        self._rest = memoryview(b"")

    def __iter__(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield checksum and blocks of each content, which must be read whole.

        Raises:
            NepiqError: the worker cannot read one.
        """
        while (message := self._next())[0] == INFO:
            for sha256, count in json.loads(message[1]):
                yield sha256, self._bytes(count)

    def _bytes(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._rest:
                self._rest = memoryview(self._next()[1])
            block, self._rest = self._rest[:count], self._rest[count:]
            count -= len(block)
            yield bytes(block)

    def _next(self) -> tuple[bytes, bytes]:
        kind, payload = next(self._messages)
        if kind == FAILURE:
            raise remote_error(json.loads(payload))
        return kind, payload
