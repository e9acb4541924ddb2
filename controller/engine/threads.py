"""Background threads of a script's process, to which the kernel delivers no signals."""

from __future__ import annotations

import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(thread: threading.Thread) -> None:
    """Start a thread that does not receive SIGINT and SIGTERM.

    Python handles a signal in its main thread, but the kernel may deliver it to any thread
    (signal(7)). If that is another one, a main thread that waits in a system call goes on waiting:
    ctrl-C then has no effect until the call returns.

    Programs that the thread starts inherit this, unless they set their own signal mask.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
