"""Child processes: their input and outputs, and their end."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
from collections.abc import Callable

from .answers import Collected

BLOCK = 1 << 16


def exchange(
    process: subprocess.Popen[bytes], stdin: bytes, patience: Callable[[], float], most: int
) -> tuple[bytes, bytes]:
    """Give a child its input, and collect both outputs until they are closed and it has ended.

    ``Popen.communicate`` is no help here: called again after a timeout, it does not go on
    writing the rest of the input (CPython 3.11, subprocess.py).

    Args:
        process: a child whose three streams are pipes.
        stdin: its input.
        patience: tells how many seconds to wait for it before asking again; raises to give up.
        most: bytes that both outputs may have together.

    Returns:
        Its standard output and standard error.

    Raises:
        AnswerError: there is more.
    """
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("all three streams must be pipes")
    collected = Collected(most)
    outputs = {process.stdout.fileno(): 0, process.stderr.fileno(): 1}
    files = {stream.fileno(): stream for stream in (process.stdout, process.stderr)}
    poll = select.poll()
    for number in files:
        poll.register(number, select.POLLIN)
    rest, source = memoryview(stdin), process.stdin.fileno()
    if rest:
        os.set_blocking(source, False)
        poll.register(source, select.POLLOUT)
    else:
        process.stdin.close()
    while files:
        for number, _ in poll.poll(math.ceil(patience() * 1000)):
            if number in files:
                block = os.read(number, BLOCK)
                collected.add(outputs[number], block)
                if not block:
                    poll.unregister(number)
                    files.pop(number).close()
                continue
            rest = rest[_written(source, rest) :]
            if not rest:
                poll.unregister(source)
                process.stdin.close()
    process.stdin.close()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience())
            return collected.outputs()


def _written(number: int, data: memoryview) -> int:
    """Write some of it, and return how much; all of it if the reader is gone."""
    try:
        return os.write(number, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group that an own child leads, unless the child was collected already."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def discard(process: subprocess.Popen[bytes]) -> None:
    """Collect a child whose group was killed, and free its pipes, even if others hold them."""
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def exit_code(returncode: int) -> int:
    """Return the exit code that a POSIX shell reports for a child: 128 + n for signal n."""
    return returncode if returncode >= 0 else 128 - returncode
