"""The restarter of a worker: starts its Celery process, and starts it again when that dies.

``python -m nepiq.controller.services.restarter COMMAND...`` passes signals on and ends with the
exit code of the command. An end that was asked for, by a signal or by ``nepiq drain``, is the
end; so is a refusal (code 3: other protocol, wrong clock), a wrong command line (2), and a
failure before the worker has served for the first time, which would only repeat itself. After any
other end, such as a crash, a kill for lack of memory, or a Redis that was away for too long, the
command is started again, at once and then with growing pauses.
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

_PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_FINAL = {0, 2, 3}
_PAUSES = Backoff(0.5, 5.0)
#: Seconds of life after which a death counts as the first again.
_LONG = 60.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
READY = "NEPIQ_READY_FD"
"""Names the descriptor that a worker writes to, or closes, once it serves."""


class Guardian:
    """Keeps one command running.

    Args:
        command: the command and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._served = False

    def run(self) -> int:
        """Keep it running until it ends for good; its exit code, 128 + n for signal n."""
        for number in _PASSED:
            signal.signal(number, self._pass_on)
        deaths = 0
        while True:
            began = time.monotonic()
            code = self._once()
            if self._is_asked() or not self._served or code in _FINAL:
                return code if code >= 0 else 128 - code
            if time.monotonic() - began > _LONG:
                deaths = 0
            sys.stderr.write(f"nepiq: the worker ended ({_how(code)}); it is started again\n")
            sys.stderr.flush()
            self._rest(_PAUSES.pause(deaths))
            deaths += 1
            if self._is_asked():
                return 0

    def _is_asked(self) -> bool:
        return self._asked

    def _once(self) -> int:
        reading, writing = os.pipe()
        self._child = subprocess.Popen(
            self._command,
            env={**os.environ, READY: str(writing)},
            pass_fds=(writing,),
            # Ctrl-C on a terminal goes to a whole process group: one signal is enough.
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - there is a single thread
        )
        os.close(writing)
        if self._asked:  # between two of them
            self._child.terminate()
        try:
            self._served = bool(os.read(reading, 1)) or self._served
            return self._child.wait()
        finally:
            os.close(reading)

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._asked and (left := end - time.monotonic()) > 0:
            select.select([], [], [], min(left, 0.1))

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        if number in _ENDING:
            self._asked = True
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)


def _how(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def die_with_parent(parent: int) -> None:
    """Have Linux end this process when its parent is killed (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: the parent's pid; this process ends at once if it has been killed already.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)


def main(command: Sequence[str]) -> int:
    """Keep a command running; return the exit code."""
    if not command:
        sys.stderr.write("nepiq: give the command that is to be kept running\n")
        return 2
    try:
        return Guardian(command).run()
    except (FileNotFoundError, PermissionError) as error:
        sys.stderr.write(f"nepiq: {command[0]} cannot be started: {error.strerror}\n")
        return 127  # as shells do


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
