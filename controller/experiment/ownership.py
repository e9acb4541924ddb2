"""Ownership of runs: the process that created a run releases it when it ends.

At the exit of the process each run that it still owns is released, once. SIGINT raises
KeyboardInterrupt as everywhere in Python, which leads to the exit unless the script handles it;
SIGTERM raises SystemExit, unless the script has its own handler. A process that is killed with
SIGKILL releases nothing. The child of a fork owns only the runs that it has created itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_held: dict[int, _Held] = {}
_guard = threading.Lock()
#: The process in which the hooks of its end are installed, and whether SIGTERM is among them.
_installed_in = 0
_terminable = False


class _Held:
    """A run that this process owns."""

    def __init__(self, release: Callable[[], None], request: Callable[[], None]) -> None:
        self.release = release
        self.request = request
        self.pid = os.getpid()


def hold(owner: object, release: Callable[[], None], request: Callable[[], None]) -> None:
    """Call ``release`` when this process ends, unless :func:`let_go` comes first.

    Args:
        owner: the object that owns the run, at most one.
        release: releases the run; may raise, and may be interrupted by a second ctrl-C.
        request: has workers release the run and does not wait for it, after that.
    """
    _install()
    _held[id(owner)] = _Held(release, request)


def let_go(owner: object) -> None:
    """Do not release the run at exit: it was released already, or is to continue."""
    _held.pop(id(owner), None)


def holds(owner: object) -> bool:
    """Return True if this process is to release the run of ``owner``."""
    held = _held.get(id(owner))
    return held is not None and held.pid == os.getpid()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a ctrl-C until the end of the block, which must be short.

    Python loses a KeyboardInterrupt during an import, where importlib calls back from code that
    ignores exceptions. The experiment would then continue in spite of the ctrl-C.
    """
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or handler is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            raise KeyboardInterrupt


def _install() -> None:
    global _installed_in, _terminable  # noqa: PLW0603 - one hook for the whole process
    with _guard:
        if _installed_in != os.getpid():
            _installed_in = os.getpid()
            atexit.register(_release_all)
            _install_in_child()
        # The first run may have been made by another thread, which cannot set handlers.
        main = threading.current_thread() is threading.main_thread()
        if main and not _terminable:
            _terminable = True
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _exit)


def _install_in_child() -> None:
    """Children of multiprocessing end without what atexit knows of, at least up to Python 3.12."""
    if "multiprocessing.process" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(None, _release_all, exitpriority=0)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _forked() -> None:
    """Let SIGTERM end the child of a fork at once, as long as it owns no run.

    An exception may be lost where Python ignores them, as in a finalizer. A pool of processes that
    ends its children would then wait for ever.
    """
    global _terminable  # noqa: PLW0603 - one handler for the whole process
    _terminable = False
    if signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forked)


def _release_all() -> None:
    try:
        _release_each()
    finally:
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            _remember_interrupt()


def _remember_interrupt() -> None:
    """Let Python end by SIGINT, as it does after an interrupt that nobody handled.

    It has forgotten the interrupt if the release executed text, as imports of dataclasses do:
    each exec() of text says anew whether it ended by an interrupt.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102 - a constant


def _release_each() -> None:
    waiting = True
    for key in list(_held):
        held = _held.pop(key, None)
        # A fork has a copy of this table, but the runs are its parent's.
        if held is None or held.pid != os.getpid():
            continue
        try:
            if waiting:
                waiting = _completed(held.release)
            if not waiting:
                # What was interrupted may not have been requested yet.
                held.request()
        except KeyboardInterrupt:
            print("left; not every run is released: see nepiq ls", file=sys.stderr)  # noqa: T201
            return
        except Exception as error:  # noqa: BLE001 - the others must be released all the same
            print(f"nepiq: {error}", file=sys.stderr)  # noqa: T201
    if not waiting:
        print("left without waiting; the workers go on releasing", file=sys.stderr)  # noqa: T201


def _completed(release: Callable[[], None]) -> bool:
    """Return False if a ctrl-C interrupted a release."""
    try:
        release()
    except KeyboardInterrupt:
        return False
    return True
