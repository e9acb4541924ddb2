"""``python -m tests.benchmarks.emulation``: trees of emulated hosts, beside ip -batch and Mininet.

As root. Each host but the first has a link with addresses to its parent, and each parent four
children. The time is that until every link has carried a ping, all of them sent by one command, and
that of the removal. The sides take turns in each round; the table has their medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.lab import APPLICATION, Lab
from tests.stand import Stand
from tests.testbed import Testbed

from nepiq.controller import ExperimentController

SIZES = (10, 50, 200, 500)
_PEER = Path(__file__).with_name("mininet_peer.py")
_PYTHON = "/usr/bin/python3"


class Sample(NamedTuple):
    """One tree.

    Attributes:
        ready: seconds until each link has carried a ping.
        gone: seconds of the removal.
        cpu: processor seconds of our side: script, workers, Redis; 0 for peers.
        commands: commands that Redis has carried out; 0 for peers.
        memory: bytes in Redis for each node; 0 for peers.
    """

    ready: float
    gone: float
    cpu: float = 0.0
    commands: int = 0
    memory: float = 0.0


def addresses(number: int) -> tuple[str, str]:
    """Addresses of the link between a host and its parent: the parent's, and its own."""
    network = f"10.{number // 250}.{number % 250}"
    return f"{network}.1", f"{network}.2"


def pings(names: Sequence[str]) -> str:
    """A command that sends a ping over each link, by the names of the namespaces."""
    lines = [
        f"ip netns exec {names[number]} ping -c1 -W2 {addresses(number)[0]} >/dev/null || exit 1"
        for number in range(1, len(names))
    ]
    return "PATH=$PATH:/usr/sbin:/sbin\n" + "\n".join(lines)


def by_ip(nodes: int) -> Sample:
    """The tree by ``ip -batch``: one for all namespaces and links, and one in each namespace."""
    names = [f"nqb{os.getpid()}-{number}" for number in range(nodes)]
    began = time.perf_counter()
    first = [f"netns add {name}" for name in names]
    inside = defaultdict(list)
    for number in range(1, nodes):
        parent, own = (number - 1) // 4, number
        first.append(
            f"link add p{number} netns {names[parent]} type veth peer name c{number} "
            f"netns {names[own]}"
        )
        for where, device, address in zip(
            (parent, own), (f"p{number}", f"c{number}"), addresses(number), strict=True
        ):
            inside[where] += [f"link set {device} up", f"address add {address}/30 dev {device}"]
    _batch(["ip"], first)
    for number, name in enumerate(names):
        _batch(["ip", "-n", name], ["link set lo up", *inside[number]])
    subprocess.run(["sh", "-c", pings(names)], check=True)
    ready = time.perf_counter()
    _batch(["ip"], [f"netns del {name}" for name in names])
    return Sample(ready - began, time.perf_counter() - ready)


def _batch(ip: Sequence[str], lines: Sequence[str]) -> None:
    subprocess.run([*ip, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def by_mininet(nodes: int) -> Sample:
    """The tree by Mininet, in a process of its own."""
    done = subprocess.run(
        [_PYTHON, str(_PEER), str(nodes)], capture_output=True, text=True, check=True
    )
    ready, gone = map(float, done.stdout.split()[-2:])
    return Sample(ready, gone)


def by_nepiq(stand: Stand, node: Mapping[str, object], nodes: int) -> Sample:
    """The tree as an experiment; the host has been deployed, and its workers are warm."""
    redis = stand.backend().redis
    with stand.experiment("emulation", quiet=True) as ec:
        host = ec.register_resource("linux::Node", **node)
        ec.deploy([host])
        ec.wait_deployed([host])
        before, cpu = redis.info("memory")["used_memory"], _cpu(stand)
        began = time.perf_counter()
        sent = redis.info("stats")["total_commands_processed"]
        hosts = [ec.register_resource("netns::Node", node=host) for _ in range(nodes)]
        for number in range(1, nodes):
            near, far = addresses(number)
            ec.register_resource(
                "netns::Link",
                ends=[hosts[(number - 1) // 4], hosts[number]],
                ip1=f"{near}/30",
                ip2=f"{far}/30",
            )
        ec.deploy()
        assert ec.wait_deployed(timeout=300), ec.failures
        names = [str(ec.get(guid, "namespace")) for guid in hosts]
        _ping(ec, host, pings(names))
        ready = time.perf_counter()
        memory = (redis.info("memory")["used_memory"] - before) / nodes
        commands = redis.info("stats")["total_commands_processed"] - sent
        leaving = time.perf_counter()
    gone = time.perf_counter()
    return Sample(ready - began, gone - leaving, _cpu(stand) - cpu, commands, memory)


def _ping(ec: ExperimentController, host: int, command: str) -> None:
    app = ec.register_resource(APPLICATION, connectedTo=host, command=command, sudo=True)
    ec.deploy([app])
    assert ec.wait_finished([app], timeout=300), ec.failures


def _cpu(stand: Stand) -> float:
    """Processor seconds of this process, the workers and Redis so far."""
    pids = [os.getpid(), stand.backend().redis.info("server")["process_id"]]
    pids += [worker.process.pid for worker in stand.workers]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.emulation", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of hosts")
    parser.add_argument("--ssh", action="store_true", help="nepiq over SSH too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="nepiq-bench-") as name:
        folder = Path(name)
        (folder / "lab").mkdir()
        with Testbed(hosts=1, folder=folder / "bed") as bed, Lab(folder / "lab", bed) as lab:
            lab.start_workers(1)
            sides: dict[str, Callable[[int], Sample]] = {
                "ip -batch": by_ip,
                "nepiq": lambda nodes: by_nepiq(lab.stand, {"hostname": "localhost"}, nodes),
            }
            if options.ssh:
                remote = _login(lab)
                sides["nepiq over SSH"] = lambda nodes: by_nepiq(lab.stand, remote, nodes)
            present = [_PYTHON, "-c", "import mininet"]
            if subprocess.run(present, capture_output=True, check=False).returncode:
                print("Mininet is not installed (package mininet)", file=sys.stderr)
            else:
                sides["Mininet"] = by_mininet
            for nodes in options.sizes:
                _compare(sides, nodes, options.rounds)


def _login(lab: Lab) -> dict[str, object]:
    """The attributes of the node of the test host."""
    ec = lab.stand.experiment("login", quiet=True)
    (guid,) = lab.nodes(ec, lab.bed.hosts[:1])
    names = ("hostname", "username", "port", "identity", "serverKey", "strictHostKeyChecking")
    return {name: value for name in names if (value := ec.get(guid, name))}


def _compare(sides: Mapping[str, Callable[[int], Sample]], nodes: int, rounds: int) -> None:
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            sample = side(nodes)
            if number:  # the first round warms up
                samples[name].append(sample)
    base = _median(samples["ip -batch"])
    print(f"{nodes} hosts, median of {rounds}")
    for name, items in samples.items():
        middle = _median(items)
        whole = (middle.ready + middle.gone) / (base.ready + base.gone)
        print(
            f"  {name:15} {middle.ready:7.3f} s up, {middle.gone:6.3f} s down, "
            f"{whole:5.2f} of ip -batch; CPU {middle.cpu / nodes * 1e3:.1f} ms, "
            f"{middle.commands / nodes:.0f} Redis commands, {middle.memory:.0f} B a host"
        )


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(*(statistics.median(values) for values in zip(*samples, strict=True)))


if __name__ == "__main__":
    main()
