"""Whose turn it is to change an experiment that several threads share, and what a fork does to it.

Two locks guard an experiment, and are taken in this order (decision 0021):

- its :class:`Turn` is held by whoever changes the description or what of it is in the run, over
  the few round trips to Redis that the change takes;
- the lock of its description (:attr:`.Roster.lock`) is held for moments, and never over anything
  that may take time.

Nobody holds either while waiting for a state, a step, a worker, a file or a callback.
"""

from __future__ import annotations

import _imp
import importlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol
from weakref import WeakSet


class Turn:
    """The right to change an experiment: one thread has it at a time, and may take it again.

    Args:
        before: called before it is taken, without it.

    Attributes:
        lock: what is held meanwhile.
    """

    def __init__(self, before: Callable[[], object]) -> None:
        self.lock = threading.RLock()
        self._before = before
        self._count = self._depth = 0

    def __enter__(self) -> int:
        """Take it; its number, one more than that of the turn before."""
        self._before()
        self.lock.acquire()
        self._count += self._depth == 0
        self._depth += 1
        return self._count

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self.lock.release()


class Forked(Protocol):
    """What threads share, and the child of a fork gets a copy of."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held during a fork, so that the copy is whole."""
        ...

    def forked(self) -> None:
        """Called in the child, which has no other threads."""
        ...


_bootstrap = getattr(importlib, "_bootstrap", None)
_guard = threading.RLock()
_kept: WeakSet[Forked] = WeakSet()
_held: list[AbstractContextManager[object]] = []


def survive_forks(shared: Forked) -> None:
    """Have :meth:`Forked.forked` called in each child that this process forks."""
    with _guard:
        _kept.add(shared)


#: Seconds that a fork waits at most for imports of other threads.
_IMPORT_SECONDS = 2.0


def _before() -> None:
    _guard.acquire()
    for shared in list(_kept):
        lock = shared.lock
        lock.__enter__()
        _held.append(lock)
    # Last: who holds one of these may import.
    _hold_imports()


def _after() -> None:
    _imp.release_lock()
    while _held:
        _held.pop().__exit__(None, None, None)
    _guard.release()


def _hold_imports() -> None:
    """Take the import lock at a moment when no other thread imports.

    A child would wait for ever for the lock of a module that another thread of its parent was
    importing: Python does not reset these locks in a child.
    """
    end = time.monotonic() + _IMPORT_SECONDS
    while True:
        # Without it no thread gets the lock of a module.
        _imp.acquire_lock()
        if not _others_import() or time.monotonic() > end:
            return
        _imp.release_lock()
        time.sleep(0.001)


def _others_import() -> bool:
    """Return True if another thread holds the lock of a module (internals of importlib)."""
    references = list(getattr(_bootstrap, "_module_locks", {}).values())
    owners = {getattr(reference(), "owner", None) for reference in references}
    return bool(owners - {None, threading.get_ident()})


def _in_child() -> None:
    shared = list(_kept)
    _after()
    for item in shared:
        item.forked()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
