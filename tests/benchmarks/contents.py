"""``python -m tests.benchmarks.contents``: one source tree for many hosts, and builds of it.

As root with hosts made by namespaces, over SSH. The bytes are counted by the hosts' own network
interfaces, the runs of the build by a file that it writes. All hosts, their sshd, two workers and
Redis share the processors of this machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.lab import APPLICATION, Lab
from tests.testbed import Host, Testbed

FILES = 400
BUILD = "echo once >>$HOME/built; cat ${SRC}/tree/0/* | wc -c >size"


def tree(folder: Path, megabytes: int) -> Path:
    """A tree of random bytes in some hundred files."""
    top = folder / "tree"
    for number in range(FILES):
        file = top / str(number % 20) / f"file-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(megabytes * 1_000_000 // FILES))
    return top


def received(host: Host) -> int:
    """Bytes that a host has received since its boot."""
    lines = host.run("cat /proc/net/dev").stdout.splitlines()[2:]
    return sum(int(line.split()[1]) for line in lines if not line.strip().startswith("lo:"))


def experiment(
    lab: Lab, hosts: Sequence[Host], source: Path | None, count: int, build: str
) -> float:
    """Seconds from the deploy() of ``count`` applications a host to the exit of the last."""
    with lab.stand.experiment("contents") as ec:
        nodes = lab.nodes(ec, hosts)
        apps = [
            ec.register_resource(
                APPLICATION,
                connectedTo=node,
                sources=str(source or ""),
                build=build,
                command="true",
            )
            for node in nodes
            for _ in range(count)
        ]
        began = time.perf_counter()
        ec.deploy()
        assert ec.wait_finished(apps, timeout=1800), ec.failures
        return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.contents", description=__doc__
    )
    parser.add_argument("--megabytes", type=int, default=200, help="of the tree (%(default)s)")
    parser.add_argument("--hosts", type=int, default=20, help="how many (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="nepiq-bench-") as name:
        folder = Path(name)
        source = tree(folder, options.megabytes)
        with Testbed(hosts=options.hosts, folder=folder / "bed") as bed:
            stand = folder / "lab"
            stand.mkdir()
            with Lab(stand, bed) as lab:
                lab.start_workers(2)
                measure(lab, source, options.megabytes)


def measure(lab: Lab, source: Path, megabytes: int) -> None:
    """Print what each of the experiments took."""
    hosts = lab.bed.hosts
    print(f"one tree of {megabytes} MB in {FILES} files, {len(hosts)} hosts")
    cases = (
        ("an application a host without sources", hosts, None, 1, ""),
        ("the same again", hosts, None, 1, ""),
        ("with the tree", hosts, source, 1, ""),
        ("second run with the tree", hosts, source, 1, ""),
        ("third run", hosts, source, 1, ""),
        ("without the tree", hosts, None, 1, ""),
        ("20 builds of it on one host", hosts[:1], source, 20, BUILD),
        ("the same again", hosts[:1], source, 20, BUILD),
    )
    for title, places, wanted, count, build in cases:
        before = sum(map(received, places))
        seconds = experiment(lab, places, wanted, count, build)
        each = (sum(map(received, places)) - before) / len(places) / 1e6
        built = places[0].run("cat built 2>/dev/null | wc -l").stdout.strip()
        print(f"{title}: {seconds:.2f} s, {each:.1f} MB received by each host, {built} builds")


if __name__ == "__main__":
    main()
