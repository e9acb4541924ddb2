"""Requests to the relay: ends are added, changed, removed and asked for their figures.

A request is a line of JSON, a list of commands that are carried out in order:

* ``{"add": NAME, "netns": PATH, "interface": NAME, "via": NAME, "delay": S, ...}``, with the
  parameters of ``Model``. Without ``netns`` the interface is in the namespace in which the relay
  was started. ``via`` names the interface that the relay adds there, which leads packets to it
* ``{"change": NAME, "delay": S, ...}``
* ``{"remove": NAME}``: packets that are held pass at once. The same is done for an end whose
  ``via`` or ``netns`` is removed
* ``{"stats": NAME}``; of all ends if the name is empty

The answer is a line with a list of as many objects: figures, or ``{"error": TEXT, "errno": N}``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .detour import Detour, Queues
from .end import End
from .loop import Loop
from .model import Model
from .netlink import Refused, changes_of_links, libc

ON_THE_WAY = 0.1  # seconds that the kernel has for packets between two interfaces


class Requests:
    """The requests to a loop. They are carried out in a thread of their own.

    Args:
        loop: what serves the ends.
        home: an open file that stands for the network namespace of the host.
        while_used: have the loop end once the last end has been removed.
    """

    def __init__(self, loop: Loop, home: int, *, while_used: bool) -> None:
        self._loop, self._home, self._while_used = loop, home, while_used
        self._used = False
        self._queues = Queues()
        self._lock = threading.Lock()
        self._links = changes_of_links()
        self._spaces = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._keys = itertools.count(1)
        self._token = os.urandom(3).hex()

    def serve(self, listener: socket.socket) -> None:
        """Serve one connection after the other."""
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError), connection.makefile("rw") as stream:
                for line in stream:
                    stream.write(json.dumps(self.answers(line)) + "\n")
                    stream.flush()
            self._end_if_unused()

    def watch(self) -> None:
        """Remove ends whose interface or network namespace is removed."""
        poll = select.poll()
        poll.register(self._links, select.POLLIN)
        poll.register(self._spaces, select.POLLIN)
        while True:
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                while os.read(self._spaces, 65536):
                    pass
            with contextlib.suppress(OSError):  # also if some were lost
                while self._links.recv(65536):
                    pass
            with self._lock:
                self._remove([end for end in self._loop.ends.values() if end.detour.has_gone()])
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        with self._lock:
            if self._while_used and self._used and not self._loop.ends:
                self._loop.end()

    def answers(self, line: str) -> list[Any]:
        """Carry out a request, and return the answer."""
        answers: list[Any] = []
        try:
            for command in json.loads(line):
                try:
                    with self._lock:
                        answers.append(self._carry_out(dict(command)))
                except Refused as error:
                    answers.append({"error": str(error), "errno": error.number})
        except (ValueError, TypeError, OSError) as error:
            answers.append({"error": f"{type(error).__name__}: {error}", "errno": 0})
        return answers

    def _carry_out(self, command: dict[str, Any]) -> Any:
        if "stats" in command:
            names = [command["stats"]] if command["stats"] else list(self._loop.ends)
            ends = [self._named(name) for name in names]
            return self._loop.call(lambda: [self._figures(end) for end in ends])
        self._used = True
        if "add" in command:
            name, path, interface, via = (
                str(command.pop(key, "")) for key in ("add", "netns", "interface", "via")
            )
            return self._add(name, path, interface, via, Model(command))
        if "change" in command:
            end = self._named(command.pop("change"))
            model = Model({**end.model.values, **command})
            self._loop.call(lambda: end.configure(model))
            return self._figures(end)
        if "remove" in command:
            end = self._named(command["remove"])
            return self._remove([end])[0]
        raise Refused(f"unknown command {command!r}")

    def _add(self, name: str, path: str, interface: str, via: str, model: Model) -> dict[str, Any]:
        if name in self._loop.ends:
            raise Refused(f"there is an end {name!r} already")
        try:
            namespace = os.open(path, os.O_RDONLY) if path else os.dup(self._home)
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}", error.errno or 0) from error
        if path:
            libc.inotify_add_watch(self._spaces, bytes(Path(path).parent), 0x240)  # deleted, moved
        there = os.fstat(namespace)
        place = there.st_dev, there.st_ino, interface
        if place in [end.detour.place for end in self._loop.ends.values()]:
            os.close(namespace)
            raise Refused(f"interface {interface!r} in {path or 'the host'} is impaired already")
        key = next(self._keys)
        where = path or "the host"
        try:
            via = via or f"nq-{self._token}-{key}"
            detour = Detour(key, namespace, interface, via, where, path)
        finally:
            os.close(namespace)
        try:
            end = End(name, key, model, detour)
        except Refused:
            detour.close()
            raise
        self._queues.lead(key)
        self._loop.call(lambda: self._loop.admit(end))
        try:
            detour.open()
        except Refused:
            self._remove([end])
            raise
        return self._figures(end)

    def _remove(self, ends: Sequence[End]) -> list[dict[str, Any]]:
        """Have interfaces send by themselves from now on; what is held passes at once."""
        for end in ends:
            with contextlib.suppress(Refused):
                end.detour.shut()
        figures = [self._loop.call(partial(self._loop.dismiss, end)) for end in ends]
        if any(each["held"] for each in figures):
            time.sleep(ON_THE_WAY)
        for end in ends:
            end.detour.close()
        if ends:
            self._queues.leave([end.queue for end in ends])
        return figures

    def _figures(self, end: End) -> dict[str, Any]:
        return {**end.figures(), "frames": self._queues.frames}

    def _named(self, name: str) -> End:
        try:
            return self._loop.ends[name]
        except KeyError:
            raise Refused(f"there is no end {name!r}") from None
