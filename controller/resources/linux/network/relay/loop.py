"""The loop that reads what has arrived at the ends and lets pass what is due."""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .end import End
from .netlink import libc

EARLY = 50_000  # ns that a packet may pass early, so that fewer wake-ups serve more packets


class Loop:
    """The loop, and the ends that it serves."""

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self._by_file: dict[int, End] = {}
        self._agenda: list[tuple[int, str]] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._ending = False
        self._armed = 0
        self._timer = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK)
        self._called, self._caller = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.epoll()
        for file in (self._timer, self._called):
            self._poll.register(file, select.EPOLLIN)

    def end(self, *_: object) -> None:
        """Have the loop end."""
        self._ending = True
        os.write(self._caller, b"x")

    def run(self) -> None:
        """Serve the ends until the end is requested."""
        while not self._ending:
            for file, _ in self._poll.poll():
                end = self._by_file.get(file)
                if end is not None:
                    end.receive()
                    self._note(end)
                elif file == self._timer:
                    self._armed = 0
                    with contextlib.suppress(BlockingIOError):
                        os.read(file, 8)
                elif file == self._called:
                    os.read(file, 4096)
                    while self._calls:
                        self._calls.popleft()()
            self._release()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in the thread of the loop, and return or raise its result."""
        done, results, errors = threading.Event(), [], []

        def wrapped() -> None:
            try:
                results.append(function())
            except Exception as error:  # noqa: BLE001 - it is raised in the thread that called
                errors.append(error)
            done.set()

        self._calls.append(wrapped)
        os.write(self._caller, b"x")
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def admit(self, end: End) -> None:
        """Serve an end from now on."""
        self.ends[end.name] = end
        self._by_file[end.link.fileno()] = end
        self._poll.register(end.link, select.EPOLLIN)

    def dismiss(self, end: End) -> dict[str, Any]:
        """Serve an end no more, and return its last figures; what it holds passes at once."""
        del self.ends[end.name], self._by_file[end.link.fileno()]
        self._poll.unregister(end.link)
        figures = end.figures()
        end.close()
        return figures

    def _note(self, end: End) -> None:
        due = end.due()
        if due and (not end.next_due or due < end.next_due):
            end.next_due = due
            heapq.heappush(self._agenda, (due, end.name))

    def _release(self) -> None:
        until = time.monotonic_ns() + EARLY
        agenda = self._agenda
        while agenda and agenda[0][0] <= until:
            due, name = heapq.heappop(agenda)
            end = self.ends.get(name)
            if end is not None and due == end.next_due:
                end.release(until)
                end.next_due = 0
                self._note(end)
        if agenda and agenda[0][0] != self._armed:
            self._armed = agenda[0][0]
            at = (ctypes.c_long * 4)(0, 0, *divmod(self._armed, 1_000_000_000))
            libc.timerfd_settime(self._timer, 1, at, None)  # TFD_TIMER_ABSTIME
