"""``python -m tests.benchmarks.throughput``, as root: what an application over SSH costs, and whom.

Experiments of 20 to 1000 applications on hosts in namespaces, and one of them by more and more
workers. All have sessions to the hosts. The processes are those of a user's script, of workers,
of Redis, of sshd with open sessions, and all others on the hosts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nepiq.controller.engine.messaging.celery_app import make_app

from . import services
from .ssh_hosts import Hosts, ssh_hosts
from .ssh_scripts import SCRIPTS, TICKS, for_nepiq

#: Hosts, applications on each, workers.
SIZES = ((4, 5, 2), (20, 20, 2), (100, 10, 2), (2, 500, 2), (20, 20, 4), (20, 20, 8))
KINDS = ("script", "workers", "Redis", "sshd", "hosts")
HEAD = f"""\
| hosts x applications | workers | outputs | released | throughput | {" | ".join(KINDS)} | all |
{"|---" * (len(KINDS) + 6)}|"""
LIMIT_SECONDS = 300
UNWANTED = ("SSH_AUTH_SOCK", "NEPIQ_IMPORTS")


@dataclass(frozen=True)
class Sample:
    """One run of the script.

    Attributes:
        outputs: seconds until it had every output.
        released: seconds until it had ended, the release included.
        spent: processor seconds by kind of process.
    """

    outputs: float
    released: float
    spent: dict[str, float]


class Installation:
    """Redis and so many workers, and the hosts.

    Args:
        hosts: the hosts.
        redis: process id of Redis.
        workers: process ids of the workers.
    """

    def __init__(self, hosts: Hosts, redis: int, workers: Sequence[int]) -> None:
        self._hosts, self._redis, self._workers = hosts, redis, workers

    def run(self, hosts: int, applications: int, command: str) -> Sample:
        """Have a fresh interpreter run the script."""
        logins = for_nepiq(self._hosts.logins(hosts, self._hosts.known_account()))
        words = [sys.executable, str(SCRIPTS / "nepiq_fan.py"), json.dumps(logins)]
        environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        before, began = self._spent(), time.time()
        done = subprocess.run(
            [*words, str(applications), command],
            stdout=subprocess.PIPE,
            text=True,
            timeout=LIMIT_SECONDS,
            env=environment,
            check=True,
        )
        released, after = time.time() - began, self._spent()
        said = json.loads(done.stdout.splitlines()[-1])
        if len(said["outputs"]) != hosts * applications or "" in said["outputs"]:
            raise RuntimeError("outputs are missing")
        spent = {kind: after[kind] - before[kind] for kind in KINDS}
        return Sample(said["end"] - began, released, spent)

    def _spent(self) -> dict[str, float]:
        """Processor seconds so far, by kind; children that have ended count as their parents."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = dict.fromkeys(KINDS, 0.0)
        spent["script"] = used.ru_utime + used.ru_stime
        for kind, pids in (("Redis", [self._redis]), ("workers", self._workers)):
            spent[kind] = sum(sum(_times(pid)[1:]) for pid in pids)
        # Orphans are left to the first process of their namespace, so all descend from this one.
        for pid in descendants(self._hosts.server):
            try:
                name, own, ended = _times(pid)
            except OSError:  # it has ended; whoever waits for it has its times
                continue
            spent["sshd" if name.startswith("sshd") else "hosts"] += own
            spent["hosts"] += ended
        return spent


def _times(pid: int) -> tuple[str, float, float]:
    """The name of a process, its processor seconds, and those of children that have ended."""
    head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    user, system, users, systems = (int(word) / TICKS for word in rest.split()[11:15])
    return head.partition("(")[2], user + system, users + systems


def descendants(pid: int) -> Iterator[int]:
    """The living processes that descend from one."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    front = [pid]
    while front:
        found = children.get(front.pop(), [])
        yield from found
        front += found


@contextmanager
def installation(count: int, hosts: Hosts, folder: Path) -> Iterator[Installation]:
    """A Redis and workers, until the end of the block."""
    part = folder / f"{len(list(folder.iterdir()))}"
    part.mkdir()
    with services.redis_server(part) as redis:
        os.environ.update(
            NEPIQ_BROKER_URL=services.broker_url(redis.socket, 0),
            NEPIQ_STATE_URL=services.state_url(redis.socket, 1),
        )
        app = make_app(os.environ["NEPIQ_BROKER_URL"])
        with services.workers(app, "nepiq.workers.app", {}, part, count) as pids:
            yield Installation(hosts, redis.pid, pids)


def row(size: tuple[int, int, int], samples: Sequence[Sample]) -> str:
    """A line of the table, of medians."""
    hosts, applications, workers = size
    count = hosts * applications
    outputs = statistics.median(sample.outputs for sample in samples)
    released = statistics.median(sample.released for sample in samples)
    each = [
        statistics.median(sample.spent[kind] for sample in samples) / count * 1e3 for kind in KINDS
    ]
    figures = [f"{value:.1f}" for value in (*each, sum(each))]
    return (
        f"| {hosts} x {applications} | {workers} | {outputs:.2f} s | {released:.2f} s "
        f"| {count / outputs:.0f}/s | {' | '.join(figures)} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="runs of each size (%(default)s)")
    add("--command", default="echo", help="what applications run, with a number (%(default)s)")
    add(
        "--sizes",
        type=lambda text: tuple(map(int, text.split("x"))),
        nargs="+",
        default=SIZES,
        metavar="HOSTSxAPPLICATIONSxWORKERS",
        help="others than the usual ones",
    )
    return parser.parse_args()


def main() -> int:
    """Measure, and print a table."""
    options = _options()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nepiq-bench-")))
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        most = max(size[0] for size in options.sizes)
        hosts = stack.enter_context(ssh_hosts(folder / "ssh", most, max_sessions=10, apart=True))
        print(HEAD)
        for size in options.sizes:
            with installation(size[2], hosts, folder) as made:
                made.run(size[0], 2, options.command)  # opens the sessions
                samples = [
                    made.run(size[0], size[1], options.command) for _ in range(options.rounds)
                ]
            print(row(size, samples), flush=True)
    return 0


if __name__ == "__main__":
    # By default SIGTERM ends it at once, and leaves the workers that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
