"""``python -m tests.benchmarks.host_side``, as root: what a host does for each application.

Processes and their processor time, counted in a process namespace of their own, where this process
is what the orphans of all others are left to. Without SSH and without workers.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.hosts.rig import Rig, until

from nepiq.workers.hosts import ShellHost
from nepiq.workers.hosts.exchange import Pending, Recorded, ask_together

_INSIDE = "NEPIQ_BENCH_INSIDE"
_BARE = "n=0; while [ $n -lt 20 ]; do setsid sh -c 'echo hello'; n=$((n + 1)); done"


def _pids() -> int:
    return int(Path("/proc/sys/kernel/ns_last_pid").read_text())


def _processor() -> float:
    """Seconds of all processes that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Counted:
    """A node on this machine, and what acts on it.

    Args:
        rig: the node.
        rounds: how often each act is measured; the least of these counts.
    """

    def __init__(self, rig: Rig, rounds: int) -> None:
        self._rig, self._rounds = rig, rounds
        self._next = 100

    def row(self, what: str, count: int, act: Callable[[range], object]) -> None:
        """Measure an act on so many applications at once, and print a line of the table."""
        processes, milliseconds, seconds = [], [], []
        for _ in range(self._rounds):
            guids = range(self._next, self._next + count)
            self._next += count
            pids, used, begun = _pids(), _processor(), time.monotonic()
            act(guids)
            seconds.append(time.monotonic() - begun)
            milliseconds.append((_processor() - used) / count * 1e3)
            processes.append((_pids() - pids) / count)
        print(
            f"| {what} | {min(processes):.1f} | {min(milliseconds):.1f} ms "
            f"| {min(seconds) * 1e3:.0f} ms |",
            flush=True,
        )

    def together(self, guids: Sequence[int], ask: Callable[[ShellHost], object]) -> None:
        """Have the node do for several resources, in one request, what each asks for."""
        pending = []
        for guid in guids:
            host = self._rig.host(guid)
            host.attempt.exchange = Recorded([])
            try:
                ask(host)
            except Pending as request:
                pending.append(request)
        ask_together(pending)

    def run(self, guids: Sequence[int]) -> None:
        """Start commands that end at once, and wait until the journal has the ends."""
        self.together(guids, lambda host: host.supervise("echo hello"))
        for guid in guids:
            until((self._rig.run_dir(guid) / ".told").exists)
        until(lambda: not self._rig.bearers())

    def sleep(self, guids: Sequence[int]) -> None:
        """Start commands that go on."""
        self.together(guids, lambda host: host.supervise("exec sleep 60"))
        for guid in guids:
            until((self._rig.run_dir(guid) / ".group").exists)

    def end(self, guids: Sequence[int]) -> None:
        """Start commands that go on, and end them."""
        self.sleep(guids)
        self.together(guids, lambda host: host.end())

    def release(self, guids: Sequence[int]) -> None:
        """Start commands that end at once, and release them."""
        self.run(guids)
        self.together(guids, lambda host: host.clear())


def _measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nepiq-bench-") as folder:
        rig = Rig(Path(folder))
        try:
            counted = _Counted(rig, rounds)
            print("| what | processes each | processor time each | whole request |")
            print("|---|---|---|---|")
            bare = ["sh", "-c", _BARE]
            counted.row(
                "bare `setsid sh -c 'echo hello'` of one shell, of 20",
                20,
                lambda _: subprocess.run(bare, stdout=subprocess.DEVNULL, check=True),
            )
            rig.prepare()
            nodes = iter(range(2, 2 + rounds))
            counted.row("deployment of a node", 1, lambda _: rig.prepare(next(nodes)))
            for count in (1, 20):
                counted.row(f"start and end by itself, of {count}", count, counted.run)
                counted.row(f"the same and its release, of {count}", count, counted.release)
                counted.row(f"start and stop, of {count}", count, counted.end)
        finally:
            rig.close()


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if _INSIDE in os.environ:
        _measure(options.rounds)
        return 0
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        print("it needs root and unshare(1)", file=sys.stderr)
        return 1
    words = [sys.executable, "-m", "tests.benchmarks.host_side", "--rounds", str(options.rounds)]
    return subprocess.call(
        [unshare, "--pid", "--fork", "--mount-proc", *words], env={**os.environ, _INSIDE: "1"}
    )


if __name__ == "__main__":
    sys.exit(main())
