"""The worker's end of transfers: from a host to a client, from a client to hosts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from ...controller import errors
from ...controller.engine.run import Run
from ...controller.engine.transfer.flow_control import (
    BLOCK,
    CLOSE,
    DATA,
    END,
    FAILURE,
    INFO,
    Heartbeat,
    Receiver,
    Sender,
    TransferKeys,
)
from ..execution.own_hosts import host_of
from ..hosts import Incoming
from ..runtime.context import Runtime

log = logging.getLogger("nepiq.files")

STALL = 60.0
"""Seconds in which a host has to take a block."""

_AGAIN = 3


def fetch(
    runtime: Runtime,
    run_id: str,
    guid: int,
    path: str,
    name: str,
    offset: int,
    length: int | None,
    since: int,
) -> None:
    """Send bytes of a file of a resource's host to the client that asked.

    Args:
        runtime: this worker's.
        run_id: the run.
        guid: whose file.
        path: relative to the resource's run directory, or absolute.
        name: names the attempt of the transfer.
        offset: first byte.
        length: how many bytes; those that are there now if None.
        since: where the checksum begins.
    """

    def send(sender: Sender, heartbeat: Heartbeat) -> None:
        host = host_of(runtime, runtime.run(run_id), guid, heartbeat.lost)
        with host.files.send(path, offset=offset, length=length, since=since) as stream:
            sender.send_json(INFO, asdict(stream.facts))
            for parts in messages(stream):
                sender.send(DATA, *parts)
            sender.send_json(END, {"sha256": stream.sha256})

    send_to_client(runtime, "fetch", run_id, name, send)


def gather(
    runtime: Runtime, run_id: str, guid: int, path: str, name: str, offset: int, listing: bool
) -> None:
    """Send a directory of a resource's host, as an archive or a list, to the client that asked.

    Args:
        runtime: this worker's.
        run_id: the run.
        guid: whose.
        path: relative to the resource's run directory; a directory or a pattern.
        name: names the attempt of the transfer.
        offset: how many bytes of the archive are known.
        listing: a list of what it holds instead.
    """

    def send(sender: Sender, heartbeat: Heartbeat) -> None:
        digest = hashlib.sha256()
        host = host_of(runtime, runtime.run(run_id), guid, heartbeat.lost)
        with host.files.gather(path, offset=offset, listing=listing) as stream:
            sender.send_json(INFO, {"facts": asdict(stream.facts), "before": stream.before})
            for parts in messages(stream):
                for part in parts:
                    digest.update(part)
                sender.send(DATA, *parts)
            sender.send_json(END, {"sha256": digest.hexdigest()})

    send_to_client(runtime, "gather", run_id, name, send)


def place(
    runtime: Runtime,
    run_id: str,
    guids: Sequence[int],
    path: str,
    mode: int | None,
    length: int,
    transfer: str,
    name: str,
) -> None:
    """Take a file from a client, and give it to the hosts of resources, to all at once.

    Args:
        runtime: this worker's.
        run_id: the run.
        guids: the resources.
        path: where to, relative to each one's run directory, or absolute.
        mode: its permissions; None for an archive, which hosts unpack.
        length: how many bytes it has.
        transfer: names the transfer; a host goes on with what it has of it.
        name: names the attempt.
    """
    keys, run = TransferKeys(run_id, name), runtime.run(run_id)
    with runtime.metrics.transfer("place"), _heartbeat(runtime, keys) as heartbeat:
        if not heartbeat.present():
            return
        goals = []
        for guid in guids:
            part = f"{transfer}-{guid}"
            opened = _opener(runtime, run, guid, heartbeat.lost, path, mode, length, part)
            goals.append(Goal(guid, opened))
        try:
            _distribute(Receiver(runtime.redis, keys, heartbeat), goals)
        except errors.TransferSilent as error:
            log.warning("file for %s: %s", path, error, extra={"action": "transfer_lost"})
        finally:
            for goal in goals:
                goal.close()


def follow(
    runtime: Runtime, run_id: str, node: int, files: Sequence[tuple[str, int]], name: str
) -> None:
    """Send a client what files of a node get, until it goes; in a thread of its own.

    Args:
        runtime: this worker's.
        run_id: the run.
        node: the node.
        files: as for :meth:`ShellHost.follow`.
        name: names the attempt.
    """

    def send(sender: Sender, heartbeat: Heartbeat) -> None:
        channel = host_of(runtime, runtime.run(run_id), node, None).files.follow(files)
        heartbeat.on_lost(channel.close)
        try:
            while block := channel.read():
                sender.send(DATA, block)
        finally:
            channel.close()
        heartbeat.check()
        sender.fail(errors.HostError("the host ended the channel"))

    threading.Thread(
        target=send_to_client,
        args=(runtime, "follow", run_id, name, send),
        name=f"nepiq-logs-{node}",
        daemon=True,
    ).start()


def send_to_client(
    runtime: Runtime,
    task: str,
    owner: str,
    name: str,
    send: Callable[[Sender, Heartbeat], None],
) -> None:
    """Send to a client that is still there, and report to it what goes wrong.

    Args:
        runtime: this worker's.
        task: name of the task, for metrics.
        owner: as of :class:`.TransferKeys`.
        name: names the attempt of the transfer.
        send: sends.
    """
    keys = TransferKeys(owner, name)
    with runtime.metrics.transfer(task), _heartbeat(runtime, keys) as heartbeat:
        if not heartbeat.present():
            return
        sender = Sender(runtime.redis, keys, heartbeat)
        try:
            send(sender, heartbeat)
        except errors.NepiqError as error:
            _report(sender, heartbeat, error)


def _opener(
    runtime: Runtime,
    run: Run,
    guid: int,
    lost: threading.Event,
    path: str,
    mode: int | None,
    length: int,
    transfer: str,
) -> Callable[[], Incoming]:
    def opened() -> Incoming:
        for again in reversed(range(_AGAIN)):
            host = host_of(runtime, run, guid, lost)
            try:
                return host.files.receive(path, mode=mode, length=length, transfer=transfer)
            except errors.FencedError:
                # A step may have begun since its record was read.
                if not again or run.record(guid).token == host.attempt.token:
                    raise
        raise AssertionError

    return opened


def _distribute(receiver: Receiver, goals: Sequence[Goal]) -> None:
    """Give the messages to the hosts that can take them, and answer which ones failed."""
    at = min(goal.offset() for goal in goals)
    if all(goal.error for goal in goals):
        _answer(receiver, goals)
    else:
        receiver.answer(at=at)
    for kind, payload in receiver.messages():
        if kind == DATA:
            for goal in goals:
                goal.give(at, payload)
            at += len(payload)
            if all(goal.error for goal in goals):
                _answer(receiver, goals)
        elif kind == END:
            _finish(goals, json.loads(payload)["sha256"])
            _answer(receiver, goals)
        elif kind == FAILURE:
            _finish(goals, "")
            _answer(receiver, goals)
        elif kind == CLOSE:
            return


def _finish(goals: Sequence[Goal], sha256: str) -> None:
    for goal in goals:
        goal.finish(sha256)
    for goal in goals:
        goal.join()


def _answer(receiver: Receiver, goals: Iterable[Goal]) -> None:
    failed = {str(goal.guid): errors.details(goal.error) for goal in goals if goal.error}
    receiver.answer(at=0, done=failed)


def _heartbeat(runtime: Runtime, keys: TransferKeys) -> Heartbeat:
    return Heartbeat(runtime.redis, keys.worker, keys.client, name="the client")


def _report(sender: Sender, heartbeat: Heartbeat, error: errors.NepiqError) -> None:
    """Send an error to the client, unless it is the client that has gone."""
    try:
        heartbeat.check()
        sender.fail(error)
    except errors.TransferSilent as silent:
        log.warning("transfer ended: %s", silent, extra={"action": "transfer_lost"})


def messages(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the same blocks in lists, each for one message."""
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size >= BLOCK:
            yield parts
            parts, size = [], 0
    if parts:
        yield parts


class Goal:
    """One of several hosts that a file goes to, with a thread that gives it.

    Args:
        guid: the resource.
        opened: opens the stream to its host.

    Attributes:
        guid: the resource.
        error: why it cannot have the file.
    """

    def __init__(self, guid: int, opened: Callable[[], Incoming]) -> None:
        self.guid = guid
        self.error: errors.NepiqError | None = None
        self._opened = opened
        self._stream: Incoming | None = None
        self._offset = sys.maxsize
        self._ready = threading.Event()
        # Small, so that the slowest host holds back the sender and does not fill our memory.
        self._items: queue.Queue[tuple[int, bytes] | str | None] = queue.Queue(2)
        self._thread = threading.Thread(target=self._work, name="nepiq-goal", daemon=True)
        self._thread.start()

    def offset(self) -> int:
        """How much of the file is there already; waits until that is known."""
        self._ready.wait()
        return self._offset

    def give(self, at: int, block: bytes) -> None:
        """Have it take a block whose first byte has the place ``at``."""
        self._put((at, block))

    def finish(self, sha256: str) -> None:
        """Have it check the file and give it its name; an empty checksum has it forgotten."""
        self._put(sha256)

    def join(self) -> None:
        """Wait until it has."""
        self._thread.join()

    def close(self) -> None:
        """Break off, if it goes on."""
        self._fail(errors.Cancelled())
        with contextlib.suppress(queue.Full):
            self._items.put_nowait(None)

    def _put(self, item: tuple[int, bytes] | str) -> None:
        if self.error is None:
            try:
                self._items.put(item, timeout=STALL)
            except queue.Full:
                self._fail(errors.HostError(f"the host took no bytes for {STALL:g} s"))

    def _fail(self, error: errors.NepiqError) -> None:
        self.error = self.error or error
        if self._stream is not None:
            self._stream.close()

    def _work(self) -> None:
        try:
            with self._opened() as self._stream:
                self._offset = self._stream.offset
                self._ready.set()
                while self._step(self._stream, self._items.get()):
                    pass
        except errors.NepiqError as error:
            self._fail(error)
        except Exception as error:
            log.exception("unexpected error in a transfer", extra={"action": "transfer_failed"})
            self._fail(errors.HostError(repr(error)))
        finally:
            self._ready.set()
            # Whoever waits for room must not wait for us.
            with contextlib.suppress(queue.Empty):
                while True:
                    self._items.get_nowait()

    def _step(self, stream: Incoming, item: tuple[int, bytes] | str | None) -> bool:
        if item == "":
            stream.give_up()
        elif isinstance(item, str):
            stream.finish(item)
        if not isinstance(item, tuple):
            return False
        at, block = item
        known = stream.offset - at  # another try brought these
        if known < len(block):
            stream.write(memoryview(block)[known:])
        return True
