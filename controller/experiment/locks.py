"""Locks of an experiment that several threads share, and their handling at a fork.

Two locks guard an experiment, and are taken in this order (decision 0021):

- its :class:`Turn` is held while the description or its copy in the run is changed, including the
  few round trips to Redis that the change takes;
- the lock of its description (:attr:`.Roster.lock`) is held briefly, and never during anything
  that may take time.

No thread holds either while it waits for a state, a step, a worker, a file or a callback.
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
    """The right to change an experiment: a reentrant lock that counts its acquisitions.

    Args:
        before: called before each acquisition, without the lock.

    Attributes:
        lock: the underlying lock.
    """

    def __init__(self, before: Callable[[], object]) -> None:
        self.lock = threading.RLock()
        self._before = before
        self._count = self._depth = 0

    def __enter__(self) -> int:
        """Acquire it; return its number, one more than that of the previous turn."""
        self._before()
        self.lock.acquire()
        self._count += self._depth == 0
        self._depth += 1
        return self._count

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self.lock.release()


class Forked(Protocol):
    """An object shared by threads, of which the child of a fork gets a copy."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock that is held during a fork, so that the copy is consistent."""
        ...

    def forked(self) -> None:
        """Reset the copy in the child, which has no other threads."""
        ...


_bootstrap = getattr(importlib, "_bootstrap", None)
_guard = threading.RLock()
_registered: WeakSet[Forked] = WeakSet()
_held: list[AbstractContextManager[object]] = []


def survive_forks(shared: Forked) -> None:
    """Register an object whose :meth:`Forked.forked` is called in each forked child."""
    with _guard:
        _registered.add(shared)


#: Longest time that a fork waits for imports of other threads, in seconds.
_IMPORT_SECONDS = 2.0


def _before() -> None:
    _guard.acquire()
    for shared in list(_registered):
        lock = shared.lock
        lock.__enter__()
        _held.append(lock)
    # Last: a thread that holds one of these locks may import.
    _hold_imports()


def _after() -> None:
    _imp.release_lock()
    while _held:
        _held.pop().__exit__(None, None, None)
    _guard.release()


def _hold_imports() -> None:
    """Acquire the import lock while no other thread imports a module.

    Otherwise a child would deadlock on the lock of a module that another thread of its parent was
    importing: Python does not reset these locks in a child.
    """
    end = time.monotonic() + _IMPORT_SECONDS
    while True:
        # While it is held, no thread can acquire the lock of a module.
        _imp.acquire_lock()
        if not _others_import() or time.monotonic() > end:
            return
        _imp.release_lock()
        time.sleep(0.001)


def _others_import() -> bool:
    """Return whether another thread holds the lock of a module (internals of importlib)."""
    references = list(getattr(_bootstrap, "_module_locks", {}).values())
    owners = {getattr(reference(), "owner", None) for reference in references}
    return bool(owners - {None, threading.get_ident()})


def _in_child() -> None:
    shared = list(_registered)
    _after()
    for item in shared:
        item.forked()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
