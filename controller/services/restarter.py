"""The restarter of a worker: a parent process that restarts Celery when it dies.

``python -m nepiq.controller.services.restarter COMMAND...`` forwards signals and exits with the
exit code of the command. The command is not restarted after a requested shutdown (by a signal or
``nepiq drain``), a refusal to start (code 3: incompatible protocol, clock skew), a wrong command
line (code 2), or a failure before it was ready for the first time, which would only repeat. After
any other exit, such as a crash, an out-of-memory kill, or an outage of Redis that lasted too long,
the command is restarted, at once and then with growing pauses.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType

from ..model.durations import Backoff

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_FINAL = {0, 2, 3}
_PAUSES = Backoff(0.5, 5.0)
#: Uptime in seconds after which the pauses begin anew.
_STABLE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
READY = "NEPIQ_READY_FD"
"""Environment variable with the descriptor that a worker writes to, or closes, when it is ready."""


class Restarter:
    """A supervisor of one command.

    Args:
        command: the command and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._was_ready = False

    def run(self) -> int:
        """Run the command until its final exit; return its exit code, 128 + n for signal n."""
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        deaths = 0
        while True:
            start = time.monotonic()
            code = self._run_once()
            if self._is_stopping() or not self._was_ready or code in _FINAL:
                return code if code >= 0 else 128 - code
            if time.monotonic() - start > _STABLE_SECONDS:
                deaths = 0
            sys.stderr.write(f"nepiq: the worker ended ({_exit_text(code)}); restarting it\n")
            sys.stderr.flush()
            self._sleep(_PAUSES.pause(deaths))
            deaths += 1
            if self._is_stopping():
                return 0

    def _is_stopping(self) -> bool:
        return self._stopping

    def _run_once(self) -> int:
        reading, writing = os.pipe()
        self._child = subprocess.Popen(
            self._command,
            env={**os.environ, READY: str(writing)},
            pass_fds=(writing,),
            # Ctrl-C would reach the child twice: from the terminal and forwarded by this process.
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - there is a single thread
        )
        os.close(writing)
        if self._stopping:  # requested while no child was running
            self._child.terminate()
        try:
            self._was_ready = bool(os.read(reading, 1)) or self._was_ready
            return self._child.wait()
        finally:
            os.close(reading)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (remaining := end - time.monotonic()) > 0:
            select.select([], [], [], min(remaining, 0.1))

    def _forward(self, number: int, _: FrameType | None) -> None:
        if number in _ENDING:
            self._stopping = True
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def die_with_parent(parent: int) -> None:
    """Make Linux send SIGTERM to this process when its parent dies (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: pid of the parent; this process exits at once if the parent has already died.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)


def main(command: Sequence[str]) -> int:
    """Run a command, restarting it when it dies; return the exit code."""
    if not command:
        sys.stderr.write("nepiq: give the command to run\n")
        return 2
    try:
        return Restarter(command).run()
    except (FileNotFoundError, PermissionError) as error:
        sys.stderr.write(f"nepiq: cannot start {command[0]}: {error.strerror}\n")
        return 127  # as in shells


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
