"""A duplex line channel over the pipes of a process."""

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
from ...controller.model.timing import Deadline
from .pipes import kill_group
from .session import TICK, give_up

#: What a program gets to end by itself once its input was closed, in seconds.
FAREWELL = 0.2
_BLOCK = 1 << 16
_COMPLAINT = 2000


class PipeChannel:
    """A LineChannel to a child that leads its own process group.

    Lines are read by one thread; ``send`` and ``close`` may come from others. Standard error
    is drained while lines are read; its end is in :attr:`complaint`.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
        on_close: Callable[[PipeChannel], None] = lambda channel: None,
    ) -> None:
        """Take over a process whose three streams are pipes; see :meth:`Session.open`."""
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a channel needs all three streams as pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._deadline, self._cancel, self._silence = deadline, cancel, silence
        self._on_close = on_close
        # Descriptors are closed under these, so that nobody waits on one that means another file.
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._wake, self._waker = os.pipe()
        self._complaint = b""
        self._parts: list[bytes] = []  # of a line whose end has not come
        self._whole: deque[bytes] = deque()
        self._ears = select.poll()
        for stream in (self._stdout.fileno(), self._stderr.fileno(), self._wake):
            self._ears.register(stream, select.POLLIN)
        os.set_blocking(self._stdin.fileno(), False)

    @property
    def complaint(self) -> str:
        """The end of what the program wrote to standard error so far."""
        return self._complaint.decode("utf-8", "replace").strip()

    def send(self, line: bytes) -> None:
        """Write one line; the newline is added.

        Raises:
            HostError: the program has ended or closed its input, or the channel is closed.
        """
        rest = memoryview(line + b"\n")
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
                    mouth.poll(self._patience(math.inf))
                    give_up(self._deadline, self._cancel)
                except BrokenPipeError:
                    raise HostError("the program has ended", hint=self.complaint) from None

    def lines(self) -> Iterator[bytes]:
        """Yield output lines without their newline, until the program ends or is closed.

        Raises:
            HostError: nothing came for the time of ``silence``.
        """
        while True:
            while self._whole:
                yield self._whole.popleft()
            block = self._read()
            if not block:
                break
            first, *others = block.split(b"\n")
            self._parts.append(first)
            for other in others:
                self._whole.append(b"".join(self._parts))
                self._parts = [other]
        last, self._parts = b"".join(self._parts), []
        if last and not self._closed:
            yield last

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

    def _patience(self, silence: float) -> int | None:
        """Milliseconds to wait before looking at the deadline and the event again."""
        wait = silence
        if self._deadline is not None:
            wait = min(wait, self._deadline.remaining)
        if self._cancel is not None:
            wait = min(wait, TICK)
        return None if wait == math.inf else math.ceil(wait * 1000)

    def _read(self) -> bytes:
        """The next block of output; empty at its end."""
        with self._reading:
            quiet = Deadline.after(math.inf if self._silence is None else self._silence)
            while not self._closed:
                ready = {stream for stream, _ in self._ears.poll(self._patience(quiet.remaining))}
                if self._stderr.fileno() in ready:
                    self._listen_to_complaints()
                if self._stdout.fileno() in ready:
                    return os.read(self._stdout.fileno(), _BLOCK)
                give_up(self._deadline, self._cancel)
                if quiet.expired:
                    raise HostError(f"silent for {self._silence:g} s", hint=self.complaint)
            return b""

    def _listen_to_complaints(self) -> None:
        words = os.read(self._stderr.fileno(), _BLOCK)
        if not words:
            self._ears.unregister(self._stderr.fileno())
        self._complaint = (self._complaint + words)[-_COMPLAINT:]
