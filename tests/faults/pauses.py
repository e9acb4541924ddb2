"""Run a command, and pause random processes of it for moments: its races show.

``python -m tests.faults.pauses make pytest``: a test that is right only because one process is
usually faster than another fails so in one run of a few, and otherwise in one of hundreds.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import os
import random
import signal
import subprocess
import sys
import time

from tests import processes

#: Seconds between looks at which processes there are, and between choices of one of them.
LOOK, CHOICE = 0.3, 0.01
#: The longest pause in seconds: shorter than what tests and workers call too late.
LONGEST = 0.7
#: Commands that pause themselves when their child does, until a signal continues them.
FOLLOWERS = (b"sudo", b"su", b"runuser", b"unshare", b"nsenter")


class Pauses:
    """Pauses of random processes below one process, by SIGSTOP and SIGCONT."""

    def __init__(self, root: int, rate: float, mean: float, seed: int) -> None:
        """Draw pauses from a seed: so many a second, of so many seconds in the mean."""
        self._root, self._chance, self._mean = root, rate * CHOICE, mean
        self._random = random.Random(seed)
        self._paused: set[int] = set()
        self._ends: list[tuple[float, int]] = []
        self._found: list[int] = []
        self._look = 0.0
        self.count = 0

    def go_on(self) -> None:
        """End pauses whose time has come, and maybe begin one."""
        now = time.monotonic()
        self.end(now)
        if now >= self._look:
            self._look, self._found = now + LOOK, self._descendants()
        if self._found and self._random.random() < self._chance:
            self._begin(self._random.choice(self._found), now)

    def end(self, now: float = float("inf")) -> None:
        """End pauses whose time has come at a moment."""
        while self._ends and self._ends[0][0] <= now:
            pid = heapq.heappop(self._ends)[1]
            self._paused.remove(pid)
            _signal(pid, signal.SIGCONT)

    def _begin(self, pid: int, now: float) -> None:
        # A test may have paused it, and means to continue it itself.
        if pid in self._paused or (processes.stat(pid) or "Z")[0] in "TtZX":
            return
        seconds = min(LONGEST, self._random.expovariate(1 / self._mean))
        self._paused.add(pid)
        heapq.heappush(self._ends, (now + seconds, pid))
        _signal(pid, signal.SIGSTOP)
        self.count += 1

    def _descendants(self) -> list[int]:
        found = processes.children(self._root)
        for pid in found:
            found += processes.children(pid)
            if (
                pid not in self._paused
                and (processes.stat(pid) or "X")[0] == "T"
                and processes.read(pid, "comm").strip() in FOLLOWERS
            ):
                _signal(pid, signal.SIGCONT)
        return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> int:
    """Run a command; the exit code is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=60, help="pauses a second (60)")
    parser.add_argument("--mean", type=float, default=0.15, help="seconds of a pause (0.15)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what is drawn")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args()
    if not options.command:
        parser.error("a command is needed")
    process = subprocess.Popen(options.command)
    pauses = Pauses(process.pid, options.rate, options.mean, options.seed)
    try:
        while process.poll() is None:
            pauses.go_on()
            time.sleep(CHOICE)
    except KeyboardInterrupt:  # the command gets it too
        pauses.end()
        process.wait()
    finally:
        pauses.end()
    print(f"{pauses.count} pauses, seed {options.seed}", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
