"""``python -m tests.benchmarks.ns3``: simulations of ns-3, beside ns-3 alone.

As root with hosts made by namespaces, over SSH. The ns-3 is that of this Python. Everything is
compiled and connected before a time is taken, and each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.conformance.ns3 import REALTIME, add_link, add_node, add_ping, add_simulation
from tests.faults.lab import Lab
from tests.testbed import Testbed

from nepiq.controller import ExperimentController

# 20 ms of a processor, about what loading ns-3 takes, and 0.1 s of simulated time.
SMALL = """
#include "ns3/core-module.h"
#include <iostream>
int main(int argc, char** argv)
{
    ns3::CommandLine(__FILE__).Parse(argc, argv);
    double sum = 0;
    auto random = ns3::CreateObject<ns3::UniformRandomVariable>();
    for (int i = 0; i < 20000; ++i)
        ns3::Simulator::Schedule(ns3::Seconds(random->GetValue()), [&] { sum += i; });
    ns3::Simulator::Run();
    std::cout << sum << std::endl;
}
"""
RUNS = 200
NODES = 12  # 60 resources: a node, two devices with a queue each, or a channel


def package() -> Path:
    """The folder of the package ns3."""
    spec = importlib.util.find_spec("ns3")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def timed(action: Callable[[], object]) -> float:
    """How long something takes, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class Bench:
    """A worker, two hosts and this machine."""

    def __init__(self, lab: Lab, rounds: int) -> None:
        self.lab = lab
        self.rounds = rounds
        self.programs: list[str] = []

    def median(self, action: Callable[[], float]) -> float:
        """The median of some rounds, after one that is not counted."""
        action()
        return statistics.median(action() for _ in range(self.rounds))

    def chain(self, ec: ExperimentController, simulation: int) -> int:
        """A chain of nodes; its last link."""
        nodes = [add_node(ec, simulation) for _ in range(NODES)]
        for number, (one, two) in enumerate(itertools.pairwise(nodes)):
            device, _ = add_link(ec, one, two, f"10.0.{number}")
        add_ping(ec, nodes[0], "10.0.0.2", "1s")
        return device

    def first_event(self) -> float:
        """From deploy() until the simulation has ended, which it does in about a millisecond."""
        with self.lab.stand.experiment("first", quiet=True) as ec:
            host = ec.register_resource("linux::Node")
            simulation = add_simulation(ec, host, "2s")
            one, two = (add_node(ec, simulation) for _ in range(2))
            add_link(ec, one, two, "10.0.0")
            add_ping(ec, one, "10.0.0.2", "1s")

            def run() -> None:
                ec.deploy()
                assert ec.wait_finished(simulation, timeout=120), ec.failures

            return timed(run)

    def build(self) -> tuple[float, float, int, int]:
        """One description of 60 resources, against one call for each attribute."""
        with self.lab.stand.experiment("build", quiet=True) as ec:
            host = ec.register_resource("linux::Node")
            simulation = add_simulation(ec, host, "300s")
            ec.set(simulation, "simulatorImplementationType", REALTIME)
            device = self.chain(ec, simulation)
            count = len(ec.resources)
            ec.deploy()
            assert ec.wait_started(simulation, timeout=120), ec.failures
            program = ec.get(simulation, "simulator")
            home = self.lab.stand.home / f".nepiq/{ec.run_id}/{host}/{simulation}/1"
            check = [f"{program}/simulator", "check", "description.jsonl"]
            batch = self.median(lambda: timed(lambda: self.quietly(check, home)))
            calls = (home / "description.jsonl").read_bytes().count(b'"do"') * 2
            request = f'{{"do":"get","id":{device},"name":"DataRate"}}\n'.encode()
            call = [f"{program}/client", "simulation.sock"]

            def each() -> float:
                return timed(lambda: [self.quietly(call, home, request) for _ in range(calls)])

            return batch, self.median(each), calls, count

    @staticmethod
    def quietly(command: list[str], folder: Path, stdin: bytes = b"") -> None:
        subprocess.run(command, cwd=folder, input=stdin, check=True, capture_output=True)

    def runs(self) -> float:
        """200 runs of a small program on two hosts, from deploy() to the last output."""
        with self.lab.stand.experiment("runs", quiet=True) as ec:
            hosts = self.lab.nodes(ec, self.lab.bed.hosts[:2])
            programs = [
                ec.register_resource(
                    "linux::ns3::Program",
                    source={"small.cc": SMALL},
                    run=number,
                    perHost=1,
                    ns3Home=str(package()),
                    connectedTo=hosts[number % 2],
                )
                for number in range(RUNS)
            ]

            def run() -> None:
                ec.deploy()
                assert ec.wait_finished(programs, timeout=300), ec.failures
                assert all(ec.trace(guid, "stdout") for guid in programs)

            took = timed(run)
            self.programs = [ec.get(guid, "command") for guid in programs[:2]]
            return took

    def bare(self) -> float:
        """The same by ``xargs -P 1`` in one SSH session with each host, which knows no failure."""

        def run() -> None:
            sessions = [
                subprocess.Popen(
                    ["ssh", "-F", str(self.lab.bed.ssh_config), host.name, self.loop(number)],
                    stdout=subprocess.PIPE,
                )
                for number, host in enumerate(self.lab.bed.hosts[:2])
            ]
            outputs = b"".join(session.communicate()[0] for session in sessions)
            assert len(outputs.split()) == RUNS

        return timed(run)

    def loop(self, number: int) -> str:
        runs = f"seq {number} 2 {RUNS - 1}"
        return f"{runs} | xargs -P 1 -I N env NS_GLOBAL_VALUE=RngRun=N {self.programs[number]}"

    def memory(self) -> tuple[int, int]:
        """Of the simulator, and what a worker gains by it, in MB."""
        worker = self.lab.stand.workers[0].process.pid
        before = resident(worker)
        with self.lab.stand.experiment("memory", quiet=True) as ec:
            host = ec.register_resource("linux::Node")
            simulation = add_simulation(ec, host, "300s")
            ec.set(simulation, "simulatorImplementationType", REALTIME)
            self.chain(ec, simulation)
            ec.deploy()
            assert ec.wait_started(simulation, timeout=120), ec.failures
            folder = ec.get(simulation, "simulator")
            found = subprocess.run(
                ["pgrep", "-f", f"{folder}/simulator run"], capture_output=True, check=True
            )
            pids = [int(pid) for pid in found.stdout.split()]
            return max(resident(pid) for pid in pids), resident(worker) - before


def resident(pid: int) -> int:
    """The resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    size = re.search(r"VmRSS:\s+(\d+)", text)
    return int(size[1]) // 1024 if size else 0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ns3", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (%(default)s)")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(prefix="nepiq-ns3-") as folder,
        Testbed(hosts=2, private=0, folder=Path(folder) / "bed") as bed,
        Lab(Path(folder) / "stand", bed) as lab,
    ):
        lab.start_workers(1)
        bench = Bench(lab, rounds)
        print(f"deploy() to the end of a tiny simulation: {bench.median(bench.first_event):.3f} s")
        batch, each, calls, count = bench.build()
        print(f"{count} resources, one description: {batch * 1000:.0f} ms")
        print(f"the same by {calls} calls, a process each: {each * 1000:.0f} ms")
        ours, bare = bench.median(bench.runs), bench.median(bench.bare)
        print(f"{RUNS} runs on two hosts: {ours:.2f} s; xargs: {bare:.2f} s; ", end="")
        print(f"{(ours - bare) / RUNS * 1000:.1f} ms a run more, {ours / bare:.2f} times")
        simulator, worker = bench.memory()
        print(f"memory: simulator {simulator} MB, worker {worker:+d} MB")


if __name__ == "__main__":
    main()
