"""Channels to programs: what all have in common, and those over the pipes of a process."""

from __future__ import annotations

import contextlib
import math
import os
import select
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator

from ...controller.errors import HostError
from ...controller.model.durations import Deadline
from . import running_time
from .answers import USER_LINE, too_long
from .session import TICK, give_up
from .subprocesses import exit_code, kill_group

#: What a program gets to end by itself once its input was closed, in seconds.
FAREWELL = 0.2
_BLOCK = 1 << 16
_COMPLAINT = 2000


class Patience:
    """The limits of a wait for a channel: a deadline, a cancellation, a silence.

    Args:
        deadline: when waiting ends with DeadlineError; never if None.
        cancel: what ends it with Cancelled when set.
        silence: seconds without a word, in which this process ran, after which the other side
            counts as dead; never if None.
    """

    def __init__(
        self,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
    ) -> None:
        self.silence = silence
        self.deadline = Deadline.after(math.inf) if deadline is None else deadline
        self.cancel = cancel

    def quiet(self) -> Deadline:
        """Return the end of a silence that begins now."""
        return running_time.after(math.inf if self.silence is None else self.silence)

    def seconds(self, most: float = math.inf) -> float | None:
        """Return the seconds to wait before :meth:`check`; None without limit."""
        most = min(most, self.deadline.remaining)
        if self.cancel is not None:
            most = min(most, TICK)
        return None if most == math.inf else most

    def check(self) -> None:
        """Raise if the deadline is over or the step is cancelled; see :func:`give_up`."""
        give_up(self.deadline, self.cancel)

    def spent(self) -> float | None:
        """Check, and return how long to wait before the next check."""
        self.check()
        return self.seconds()

    def fallen_silent(self, complaint: str) -> HostError:
        """Return the error of a silence that was too long."""
        return HostError(f"silent for {self.silence:g} s", hint=complaint)


class LineReader:
    """Lines out of the blocks of a channel, and into it. A base class.

    Args:
        patience: how long it is waited for.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._whole: deque[bytes] = deque()
        # Of a line whose end has not come: what is kept, how long it is, until when it may come.
        self._begun = bytearray()
        self._length = 0
        self._due = patience.quiet()

    @property
    def closed(self) -> bool:
        """True once the channel was closed on this side."""
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        """True if a line has been read that :meth:`lines` has not given yet."""
        return bool(self._whole)

    def read(self, wanted: int = 1) -> bytes:
        """The next block of output; empty at its end."""
        raise NotImplementedError

    def write(self, data: bytes | memoryview) -> None:
        """Write all of ``data``."""
        raise NotImplementedError

    def send(self, line: bytes) -> None:
        """Write one line; the newline is added.

        Raises:
            HostError: the program has ended or closed its input, or the channel is closed.
        """
        self.write(line + b"\n")

    def lines(self, most: int = USER_LINE, passed_over: int = 0) -> Iterator[bytes]:
        """Yield output lines without their newline, until the program ends or is closed.

        Args:
            most: bytes that a line may have.
            passed_over: how many more it may have and be passed over: an empty one comes instead.

        Raises:
            AnswerError: a line is longer than that.
            HostError: nothing, or no end of a line, came for the time of ``silence``.
        """
        while True:
            while self._whole:
                yield self._whole.popleft()
            if self._length > most + passed_over:
                raise too_long(bytes(self._begun[:100]), most + passed_over, "a line")
            block = self.read()
            if not block:
                break
            first, *others = block.split(b"\n")
            self._add_to_line(first, most)
            for other in others:
                if self._length > most + passed_over:
                    break  # what follows is not read any more
                self._whole.append(self._end_line(most))
                self._add_to_line(other, most)
            if self._length and self._due.expired:
                raise self._patience.fallen_silent("a line was begun and not ended")
        last = self._end_line(most)
        if last and not self.closed:
            yield last

    def _add_to_line(self, part: bytes, most: int) -> None:
        """Take in a part of a line."""
        if part and not self._length:
            self._due = self._patience.quiet()
        self._length += len(part)
        self._begun += part[: max(0, most - len(self._begun))]

    def _end_line(self, most: int) -> bytes:
        """The line that has ended now; empty if it was too long."""
        line = bytes(self._begun) if self._length <= most else b""
        self._begun.clear()
        self._length = 0
        return line


class PipeChannel(LineReader):
    """A channel to a child that leads its own process group.

    It is read by one thread; the other methods may be called from others. Standard error
    is drained while its output is read; the end of it is in :attr:`complaint`.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        patience: Patience,
        on_close: Callable[[PipeChannel], None] = lambda channel: None,
    ) -> None:
        """Take over a process whose three streams are pipes; see :meth:`Session.open`."""
        super().__init__(patience)
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a channel needs all three streams as pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._on_close = on_close
        # Descriptors are closed under these, so that no thread waits on one that is another file.
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._wake, self._waker = os.pipe()
        self._complaint = b""
        self._ears = select.poll()
        for stream in (self._stdout.fileno(), self._stderr.fileno(), self._wake):
            self._ears.register(stream, select.POLLIN)
        os.set_blocking(self._stdin.fileno(), False)

    @property
    def complaint(self) -> str:
        """The end of what the program wrote to standard error so far."""
        return self._complaint.decode("utf-8", "replace").strip()

    @property
    def closed(self) -> bool:
        """True once it was closed on this side."""
        return self._closed

    def read(self, wanted: int = 1) -> bytes:
        """The next block of output; empty at its end; see :meth:`Channel.read`."""
        with self._reading:
            quiet = self._patience.quiet()
            while not self._closed:
                self._patience.check()
                ready = {stream for stream, _ in self._ears.poll(self._wait(quiet.remaining))}
                if self._stderr.fileno() in ready:
                    self._listen_to_complaints()
                if self._stdout.fileno() in ready:
                    return os.read(self._stdout.fileno(), _BLOCK)
                if quiet.expired:
                    raise self._patience.fallen_silent(self.complaint)
            return b""

    def write(self, data: bytes | memoryview) -> None:
        """Write all of ``data``; see :meth:`Channel.write`."""
        rest = memoryview(data)
        with self._writing:
            while rest:
                if self._closed:
                    raise HostError("the channel is closed")
                try:
                    rest = rest[os.write(self._stdin.fileno(), rest) :]
                except BlockingIOError:
                    mouth = select.poll()
                    mouth.register(self._stdin.fileno(), select.POLLOUT)
                    mouth.register(self._wake, select.POLLIN)
                    mouth.poll(self._wait(math.inf))
                    self._patience.check()
                except BrokenPipeError:
                    raise HostError("the program has ended", hint=self.complaint) from None

    def finish(self) -> None:
        """Close the program's input; see :meth:`Channel.finish`."""
        with self._writing, contextlib.suppress(BrokenPipeError):
            if not self._closed:
                self._stdin.close()

    def code(self) -> int:
        """The exit code of a program whose output has ended; see :meth:`Channel.code`."""
        quiet = self._patience.quiet()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return exit_code(self._process.wait(self._patience.seconds(quiet.remaining)))
            self._patience.check()
            if quiet.expired:
                raise self._patience.fallen_silent(self.complaint)

    def close(self) -> None:
        """End the program and free the channel. May be called from another thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            os.write(self._waker, b"!")
            with self._writing, contextlib.suppress(OSError):
                self._stdin.close()
            self._see_off()
            with self._reading:
                for stream in (self._stdout, self._stderr):
                    stream.close()
                os.close(self._wake)
                os.close(self._waker)
        self._on_close(self)

    def _see_off(self) -> None:
        with contextlib.suppress(OSError):  # no pidfd_open(2) before Linux 5.3: no farewell
            handle = os.pidfd_open(self._process.pid)
            try:
                select.select([handle], [], [], FAREWELL)
            finally:
                os.close(handle)
        kill_group(self._process)
        self._process.wait()

    def _wait(self, silence: float) -> int | None:
        """Milliseconds to wait for a stream before looking at anything else."""
        wait = self._patience.seconds(silence)
        return None if wait is None else math.ceil(wait * 1000)

    def _listen_to_complaints(self) -> None:
        words = os.read(self._stderr.fileno(), _BLOCK)
        if not words:
            self._ears.unregister(self._stderr.fileno())
        self._complaint = (self._complaint + words)[-_COMPLAINT:]
