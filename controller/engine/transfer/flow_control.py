"""A window in Redis: messages from one process to another that do not see each other.

The sender appends to one list, the receiver tells on another what it has taken. No more than
:data:`WINDOW` messages are under way, so memory is flat at both ends and in Redis. Messages are
numbered: redis-py repeats a command whose reply was lost with its connection, so that a message
may come twice, or be taken from the list and never arrive. The receiver passes over the first
and asks for the second again.

Each side gives a sign of life (:class:`Pulse`) as long as it exists, also while it has nothing
to say. Both block on their list; neither polls.
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
from .. import redis_memory
from ..store import keys

if TYPE_CHECKING:
    from redis import Redis

BLOCK = 1 << 20
"""Bytes that travel in a message."""

WINDOW = 8
"""Messages that are under way at most."""

SILENCE = 10.0
"""Seconds without a sign of life after which the other side counts as gone."""

PATIENCE = 30.0
"""Seconds that the other side may take to appear."""

DATA, INFO, END, FAILURE, THANKS = b"D", b"I", b"E", b"X", b"T"
"""Kinds of message: bytes; JSON about what follows, about all that was sent, about an error;
the last answer has been heard."""

_BEAT = 1.0
_EXPIRY = 60
_CLOSED = b"closed"
_HEAD = 9
_ANSWERS = 4 * WINDOW


class Ways:
    """The keys of one try of a transfer.

    Args:
        run_id: the run.
        name: names the transfer and the try.
    """

    def __init__(self, run_id: str, name: str) -> None:
        base = keys.RunKeys(run_id).of("x", name)
        self.blocks, self.answers = base + ":blocks", base + ":answers"
        self.client, self.worker = base + ":client", base + ":worker"


class Pulse:
    """Tells the other side that this one lives, and notices when that one does not.

    Args:
        redis: client of the state.
        own: the key that this side keeps alive.
        other: that of the other side.
        name: what the other side is called in errors.
        hint: what to do if it has gone.
    """

    def __init__(self, redis: Redis, own: str, other: str, *, name: str, hint: str = "") -> None:
        self._redis: Any = redis  # typed loosely: redis-py's own hints mix in its async results
        self._own, self._other = own, other
        self._name, self._hint = name, hint
        self._over = threading.Event()
        self._gone: errors.TransferSilent | None = None
        self._partings: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._watch, name="nepiq-pulse", daemon=True)

    def on_lost(self, parting: Callable[[], None]) -> None:
        """Have something called, from a thread, if the other side goes."""
        self._partings.append(parting)
        if self._gone is not None:
            parting()

    def check(self) -> None:
        """Raise if the other side has gone.

        Raises:
            TransferSilent: it has; the message says which side that is.
        """
        if self._gone is not None:
            raise self._gone

    def present(self) -> bool:
        """True if the other side is there at this moment."""
        return self._redis.get(self._other) not in (None, _CLOSED)

    def __enter__(self) -> Pulse:
        self._redis.set(self._own, b"0", ex=_EXPIRY)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(RedisError, OSError):
            redis_memory.execute(self._redis, [("SET", self._own, _CLOSED, "EX", _EXPIRY)])

    def _watch(self) -> None:
        beats, last, limit = 0, None, PATIENCE
        heard = time.monotonic()
        while not self._over.wait(_BEAT):
            beats += 1
            try:
                beat = ("SET", self._own, str(beats), "EX", _EXPIRY)
                said = redis_memory.execute(self._redis, [beat, ("GET", self._other)])[1]
            except (RedisError, OSError):
                # Nobody could be heard; who waits for a message gets the error itself.
                heard = time.monotonic()
                continue
            if said == _CLOSED:
                self._lose("has broken off")
                return
            if said is not None and said != last:
                last, limit, heard = said, SILENCE, time.monotonic()
            elif time.monotonic() - heard > limit:
                gone = "gave no sign of life" if last is not None else "did not take it up"
                self._lose(f"{gone} for {limit:g} s")
                return

    def _lose(self, what: str) -> None:
        self._gone = errors.TransferSilent(f"{self._name} {what}", hint=self._hint)
        for parting in list(self._partings):
            parting()


class Sender:
    """Sends messages in their order, and hears what the receiver answers.

    Args:
        redis: client of the state.
        ways: the keys.
        pulse: that of this side.
    """

    def __init__(self, redis: Redis, ways: Ways, pulse: Pulse) -> None:
        self._redis: Any = redis
        self._ways = ways
        self._pulse = pulse
        self._next = 0
        self._kept: deque[tuple[int, bytes]] = deque()  # what may have to be sent again
        self._answer: Mapping[str, Any] = {}

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send a message; returns when there is room for another.

        Raises:
            TransferSilent: the receiver has gone.
        """
        message = b"".join((kind, self._next.to_bytes(8, "big"), payload))
        self._kept.append((self._next, message))
        self._next += 1
        self._push([message])
        while len(self._kept) >= WINDOW:
            self._listen()

    def tell(self, kind: bytes, told: Mapping[str, Any]) -> None:
        """Send a message of JSON."""
        self.send(kind, json.dumps(dict(told)).encode())

    def fail(self, error: BaseException) -> None:
        """Tell the receiver of an error, which ends the transfer."""
        self.tell(FAILURE, errors.details(error))

    def answer(self, name: str) -> Any:
        """What the receiver says under a name; waits until it says it.

        Raises:
            TransferSilent: the receiver has gone.
        """
        while name not in self._answer:
            self._listen()
        return self._answer[name]

    def said(self, name: str) -> bool:
        """True if the receiver has been heard to say something under a name."""
        return name in self._answer

    def _push(self, messages: list[bytes]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self._ways.blocks, *messages)
        pipe.expire(self._ways.blocks, _EXPIRY)
        # Also one who seldom has something to send must hear what is asked for again.
        pipe.lpop(self._ways.answers, _ANSWERS)
        self._heed(pipe.execute()[2] or [])

    def _listen(self) -> None:
        reply = self._redis.blpop([self._ways.answers], timeout=_BEAT)
        if reply is None:
            self._pulse.check()
        else:
            self._heed([reply[1]])

    def _heed(self, answers: list[bytes]) -> None:
        again = False
        for told in map(json.loads, answers):
            while self._kept and self._kept[0][0] < told["next"]:
                self._kept.popleft()
            self._answer = {**self._answer, **told["answer"]}
            again = told["again"]
        if again and self._kept:
            self._push([message for _, message in self._kept])


class Receiver:
    """Takes messages in their order, and answers.

    Args:
        redis: client of the state.
        ways: the keys.
        pulse: that of this side.
    """

    def __init__(self, redis: Redis, ways: Ways, pulse: Pulse) -> None:
        self._redis: Any = redis
        self._ways = ways
        self._pulse = pulse
        self._next = self._told = 0
        self._asked = -1
        self._over = False
        self._answer: Mapping[str, Any] = {}

    def wake(self) -> None:
        """Have :meth:`messages` end, in the thread that waits in it."""
        self._over = True
        self._redis.rpush(self._ways.blocks, b"")
        self._redis.expire(self._ways.blocks, _EXPIRY)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield kind and payload of each message; it counts as taken when the next is asked for.

        Raises:
            TransferSilent: the sender has gone.
        """
        while not self._over:
            reply = self._redis.blpop([self._ways.blocks], timeout=_BEAT)
            if reply is None:
                self._pulse.check()
                self._tell(again=True)
                continue
            message = reply[1]
            number = int.from_bytes(message[1:_HEAD], "big")
            if not message:
                continue
            if number == self._next:
                yield message[:1], message[_HEAD:]
                self._next += 1
                if self._next - self._told >= WINDOW // 4:
                    self._tell()
            elif number > self._next != self._asked:
                self._asked = self._next
                self._tell(again=True)

    def answer(self, **told: Any) -> None:
        """Tell the sender something, until it hears it."""
        self._answer = {**self._answer, **told}
        self._tell()

    def _tell(self, *, again: bool = False) -> None:
        self._told = self._next
        told = {"next": self._next, "again": again, "answer": self._answer}
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self._ways.answers, json.dumps(told))
        # All but the last of them say less; a sender that is away must not make them pile up.
        pipe.ltrim(self._ways.answers, -_ANSWERS, -1)
        pipe.expire(self._ways.answers, _EXPIRY)
        pipe.execute()
