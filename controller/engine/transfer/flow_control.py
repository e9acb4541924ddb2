"""Flow control: messages of a transfer between two processes, in two Redis lists.

The sender appends its messages to one list, the receiver its acknowledgements to the other. The
sender has credit for :data:`WINDOW` messages, so memory is flat at both ends and in Redis.

Messages are numbered: redis-py repeats a command whose reply was lost with its connection, so that
a message may come twice, or be taken from the list and never arrive. The receiver ignores the
first and requests the second again.

Each side sends a heartbeat (:class:`Heartbeat`) as long as it exists, also while it sends no
messages. Both block on a list; neither polls.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ... import errors
from .. import redis_memory, threads
from ..store import keys

if TYPE_CHECKING:
    from redis import Redis

BLOCK = 1 << 20
"""Bytes in a message of data."""

WINDOW = 8
"""Messages that may be sent and not acknowledged."""

SILENCE = 10.0
"""Seconds without a heartbeat after which the other side counts as gone."""

PATIENCE = 30.0
"""Seconds that the other side may take until its first heartbeat."""

DATA, INFO, END, FAILURE, CLOSE = b"D", b"I", b"E", b"X", b"T"
"""Kinds of message: bytes; JSON about what follows, about all that was sent, about an error;
the sender has received the last answer."""

_INTERVAL = 1.0  # seconds between heartbeats, and that a read blocks at most
_EXPIRY = 60
_CLOSED = b"closed"
_HEAD = 9  # bytes of kind and number
_ANSWERS = 4 * WINDOW  # acknowledgements that are kept for a sender that does not read them


class TransferKeys:
    """The Redis keys of one attempt of a transfer.

    Args:
        owner: id of the run; of a campaign ``campaign:`` and its name.
        name: names the transfer and the attempt.
    """

    def __init__(self, owner: str, name: str) -> None:
        base = keys.RunKeys(owner).of("x", name)
        self.blocks, self.answers = base + ":blocks", base + ":answers"
        self.client, self.worker = base + ":client", base + ":worker"


class Heartbeat:
    """Heartbeats of this side of a transfer, and a monitor of those of the other side.

    Args:
        redis: client of the state.
        own: the key of this side's heartbeats.
        other: that of the other side.
        name: the name of the other side in errors.
        hint: the hint of the error if the other side has gone.

    Attributes:
        lost: set when the other side has gone.
    """

    def __init__(self, redis: Redis, own: str, other: str, *, name: str, hint: str = "") -> None:
        self._redis: Any = redis  # typed loosely: redis-py's own hints mix in its async results
        self._own, self._other = own, other
        self._name, self._hint = name, hint
        self.lost = threading.Event()
        self._stop = threading.Event()
        self._loss: errors.TransferSilent | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._watch, name="nepiq-heartbeat", daemon=True)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Register a function that a thread calls if the other side goes."""
        self._callbacks.append(callback)
        if self._loss is not None:
            callback()

    def check(self) -> None:
        """Raise if the other side has gone.

        Raises:
            TransferSilent: it has; the message says which side that is.
        """
        if self._loss is not None:
            raise self._loss

    def present(self) -> bool:
        """Return True if the other side is there at this moment."""
        return self._redis.get(self._other) not in (None, _CLOSED)

    def __enter__(self) -> Heartbeat:
        self._redis.set(self._own, b"0", ex=_EXPIRY)
        threads.start(self._thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(RedisError, OSError):
            redis_memory.execute(self._redis, [("SET", self._own, _CLOSED, "EX", _EXPIRY)])

    def _watch(self) -> None:
        count, last, limit = 0, None, PATIENCE
        changed = time.monotonic()
        while not self._stop.wait(_INTERVAL):
            count += 1
            try:
                beat = ("SET", self._own, str(count), "EX", _EXPIRY)
                value = redis_memory.execute(self._redis, [beat, ("GET", self._other)])[1]
            except (RedisError, OSError):
                # No heartbeat can arrive; a sender or receiver gets the error itself.
                changed = time.monotonic()
                continue
            if value == _CLOSED:
                self._lose("has broken off")
                return
            if value is not None and value != last:
                last, limit, changed = value, SILENCE, time.monotonic()
            elif time.monotonic() - changed > limit:
                failure = "did not start the transfer within"
                self._lose(f"{failure if last is None else 'sent no heartbeat for'} {limit:g} s")
                return

    def _lose(self, failure: str) -> None:
        self._loss = errors.TransferSilent(f"{self._name} {failure}", hint=self._hint)
        self.lost.set()
        for callback in list(self._callbacks):
            callback()


class _End:
    """One end of a transfer.

    Args:
        redis: client of the state.
        transfer: the keys.
        heartbeat: that of this side.
    """

    def __init__(self, redis: Redis, transfer: TransferKeys, heartbeat: Heartbeat) -> None:
        self._redis: Any = redis
        self._keys = transfer
        self._heartbeat = heartbeat


class Sender(_End):
    """The end that sends messages in order, and receives the answers."""

    def __init__(self, redis: Redis, transfer: TransferKeys, heartbeat: Heartbeat) -> None:
        super().__init__(redis, transfer, heartbeat)
        self._next = 0
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self._answers: Mapping[str, Any] = {}

    def send(self, kind: bytes, *parts: bytes | memoryview) -> None:
        """Send a message; return when there is credit for another.

        Args:
            kind: its kind.
            parts: its payload, which is joined here, so that it is copied once.

        Raises:
            TransferSilent: the receiver has gone.
        """
        message = b"".join((kind, self._next.to_bytes(8, "big"), *parts))
        self._unacknowledged.append((self._next, message))
        self._next += 1
        self._push([message])
        while len(self._unacknowledged) >= WINDOW:
            self._wait()

    def send_json(self, kind: bytes, content: Mapping[str, Any]) -> None:
        """Send a message of JSON."""
        self.send(kind, json.dumps(content).encode())

    def fail(self, error: BaseException) -> None:
        """Send an error, which ends the transfer."""
        self.send_json(FAILURE, errors.details(error))

    def answer(self, name: str) -> Any:
        """Return the receiver's answer of a name; wait until there is one.

        Raises:
            TransferSilent: the receiver has gone.
        """
        while not self.answered(name):
            self._wait()
        return self._answers[name]

    def answered(self, name: str) -> bool:
        """Return True if an answer of a name has arrived."""
        return name in self._answers

    def _push(self, messages: list[bytes]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self._keys.blocks, *messages)
        pipe.expire(self._keys.blocks, _EXPIRY)
        # Also a sender that never waits for credit must receive requests to send again.
        pipe.lpop(self._keys.answers, _ANSWERS)
        self._read(pipe.execute()[2] or [])

    def _wait(self) -> None:
        reply = self._redis.blpop([self._keys.answers], timeout=_INTERVAL)
        if reply is None:
            self._heartbeat.check()
        else:
            self._read([reply[1]])

    def _read(self, replies: list[bytes]) -> None:
        again = False
        for reply in map(json.loads, replies):
            while self._unacknowledged and self._unacknowledged[0][0] < reply["next"]:
                self._unacknowledged.popleft()
            self._answers = {**self._answers, **reply["answer"]}
            again = reply["again"]
        if again and self._unacknowledged:
            self._push([message for _, message in self._unacknowledged])


class Receiver(_End):
    """The end that receives messages in order, and answers."""

    def __init__(self, redis: Redis, transfer: TransferKeys, heartbeat: Heartbeat) -> None:
        super().__init__(redis, transfer, heartbeat)
        self._next = self._acknowledged = 0
        self._requested = -1
        self._closed = threading.Event()
        self._answers: dict[str, Any] = {}

    def wake(self) -> None:
        """End :meth:`messages` in the thread that waits in it."""
        self._closed.set()
        self._append(self._keys.blocks, b"")

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield kind and payload of each message, which is taken when the next is asked for.

        Raises:
            TransferSilent: the sender has gone.
        """
        while not self._closed.is_set():
            reply = self._redis.blpop([self._keys.blocks], timeout=_INTERVAL)
            if reply is None:
                self._heartbeat.check()
                self._acknowledge(again=True)
                continue
            message = reply[1]
            number = int.from_bytes(message[1:_HEAD], "big")
            if not message:
                continue
            if number == self._next:
                yield message[:1], message[_HEAD:]
                self._next += 1
                if self._next - self._acknowledged >= WINDOW // 4:
                    self._acknowledge()
            elif number > self._next != self._requested:
                self._requested = self._next
                self._acknowledge(again=True)

    def answer(self, **answers: Any) -> None:
        """Send answers by name to the sender."""
        self._answers |= answers
        self._acknowledge()

    def _acknowledge(self, *, again: bool = False) -> None:
        self._acknowledged = self._next
        state = {"next": self._next, "again": again, "answer": self._answers}
        self._append(self._keys.answers, json.dumps(state).encode())

    def _append(self, key: str, entry: bytes) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(key, entry)
        # The last acknowledgement says all; for a sender that is away they must not pile up.
        pipe.ltrim(key, -_ANSWERS, -1)
        pipe.expire(key, _EXPIRY)
        pipe.execute()
