"""``python -m tests.benchmarks.campaign_ns3``: campaigns of ns-3 programs, beside sem.

sem's ParallelRunner runs the same programs with the same arguments, as many at a time as there are
processors, and keeps what they print as files. It has neither a record of its runs nor supervision,
and ends with its script. The sides take turns, and their simulations must have the same results.

The programs are compiled before. Processor seconds are those of all processes: simulations, their
supervisors, workers, Redis and, for sem, its script.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.ns3 import SMALL, package
from tests.stand import Stand

from nepiq.controller import Campaign, ExperimentController, Parameter, Space

_PEER = Path(__file__).with_name("sem_peer.py")
_TICKS = os.sysconf("SC_CLK_TCK")
_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)

# Two stations with a datagram each 400 us; prints how many were received.
WIFI = """
#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/mobility-module.h"
#include "ns3/network-module.h"
#include "ns3/wifi-module.h"
#include <iostream>
using namespace ns3;
int main(int argc, char** argv)
{
    double distance = 20;
    double seconds = 1;
    CommandLine line(__FILE__);
    line.AddValue("distance", "metres between the stations", distance);
    line.AddValue("seconds", "simulated time", seconds);
    line.Parse(argc, argv);

    NodeContainer nodes(2);
    YansWifiChannelHelper air;
    air.SetPropagationDelay("ns3::ConstantSpeedPropagationDelayModel");
    air.AddPropagationLoss("ns3::LogDistancePropagationLossModel");
    air.AddPropagationLoss("ns3::NakagamiPropagationLossModel");
    YansWifiPhyHelper phy;
    phy.SetChannel(air.Create());
    WifiMacHelper mac;
    mac.SetType("ns3::AdhocWifiMac");
    WifiHelper wifi;
    NetDeviceContainer devices = wifi.Install(phy, mac, nodes);
    MobilityHelper mobility;
    mobility.SetPositionAllocator("ns3::GridPositionAllocator", "DeltaX", DoubleValue(distance));
    mobility.Install(nodes);
    InternetStackHelper().Install(nodes);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.0.0.0", "255.255.255.0").Assign(devices);

    UdpServerHelper server(9);
    Ptr<UdpServer> sink = DynamicCast<UdpServer>(server.Install(nodes.Get(1)).Get(0));
    UdpClientHelper client(all.GetAddress(1), 9);
    client.SetAttribute("MaxPackets", UintegerValue(0));
    client.SetAttribute("PacketSize", UintegerValue(1400));
    client.SetAttribute("Interval", TimeValue(MicroSeconds(400)));
    client.Install(nodes.Get(0));
    Simulator::Stop(Seconds(seconds));
    Simulator::Run();
    std::cout << sink->GetReceived() << std::endl;
    Simulator::Destroy();
}
"""


class Study(NamedTuple):
    """Runs of one program that differ by RngRun.

    Attributes:
        name: what ``--only`` selects.
        source: its C++.
        arguments: of the program.
    """

    name: str
    source: str
    arguments: Mapping[str, Any]


STUDIES = (
    Study("small", SMALL, {}),
    Study("wifi", WIFI, {"distance": 20, "seconds": 1}),
)


class Side(NamedTuple):
    """What the runs of a study took on one side.

    Attributes:
        wall: seconds until the last result was there.
        processor: processor seconds of all processes.
        printed: what each simulation printed, by its RngRun.
    """

    wall: float
    processor: float
    printed: Mapping[int, str]


class Bench:
    """Two workers on this machine.

    Args:
        stand: Redis and workers.
        runs: number of runs.
        parallel: how many runs of the campaign are under way.
    """

    def __init__(self, stand: Stand, runs: int, parallel: int) -> None:
        self._stand, self._runs, self._parallel = stand, runs, parallel
        redis: Any = stand.backend().redis
        self._pids = [int(redis.info("server")["process_id"])]
        self._pids += [stand.start_worker().process.pid for _ in range(2)]

    def _describe(self, ec: ExperimentController, study: Study, run: object) -> int:
        ec.register_resource("linux::Node", label="here", hostname="localhost")
        return ec.register_resource(
            "linux::ns3::Program",
            label="program",
            connectedTo="here",
            source={f"{study.name}.cc": study.source},
            arguments=study.arguments,
            run=run,
            ns3Home=str(package()),
        )

    def compile(self, study: Study) -> str:
        """Compile its program, and return the path."""
        with self._stand.experiment("compile", quiet=True) as ec:
            program = self._describe(ec, study, 1)
            ec.deploy()
            assert ec.wait_finished(program, timeout=300), ec.failures
            return str(ec.get(program, "command")).split()[0]

    def campaign(self, study: Study) -> Side:
        """Carry out the runs as a campaign."""
        ec = self._stand.experiment(study.name, quiet=True)
        self._describe(ec, study, Parameter("run"))
        campaign = Campaign(
            ec,
            Space.grid(run=range(1, self._runs + 1)),
            parallel=self._parallel,
            metrics={"printed": {"label": "program", "trace": "stdout", "regex": r"\S+"}},
            settings=self._stand.settings,
        )
        used, began = self._processor(), time.perf_counter()
        campaign.submit()
        assert campaign.wait().failed == 0
        wall, used = time.perf_counter() - began, self._processor() - used
        printed = {row.parameters["run"]: f"{row.metrics['printed']:g}" for row in campaign.rows()}
        campaign.remove()
        campaign.close()
        return Side(wall, used, printed)

    def sem(self, study: Study, program: str) -> Side:
        """Carry out the same runs by sem."""
        words = [program, str(self._runs), str(os.cpu_count()), json.dumps(study.arguments)]
        done = subprocess.run(
            [sys.executable, str(_PEER), *words], stdout=subprocess.PIPE, text=True, check=True
        )
        answer = json.loads(done.stdout.splitlines()[-1])
        printed = {int(run): f"{float(text):g}" for run, text in answer["printed"].items()}
        return Side(answer["wall"], answer["processor"], printed)

    def _processor(self) -> float:
        """Processor seconds of this process, of workers and Redis, and of their ended children."""
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(item.ru_utime + item.ru_stime for item in used) + sum(map(_used_by, self._pids))


def _used_by(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def measure(bench: Bench, study: Study, rounds: int) -> None:
    """Have the sides take turns, and print their times."""
    program = bench.compile(study)
    walls, used = [], []
    for number in range(rounds):
        sides = {}
        for name in ("campaign", "sem") if number % 2 else ("sem", "campaign"):
            sides[name] = bench.campaign(study) if name == "campaign" else bench.sem(study, program)
        ours, theirs = sides["campaign"], sides["sem"]
        assert ours.printed == theirs.printed
        walls.append(ours.wall / theirs.wall)
        used.append(ours.processor / theirs.processor)
        count = len(ours.printed)
        print(
            f"{study.name}, {count} runs: {ours.wall:.2f} s, sem {theirs.wall:.2f} s; processor "
            f"{ours.processor / count * 1e3:.1f} ms each, sem "
            f"{theirs.processor / count * 1e3:.1f} ms",
            flush=True,
        )
    print(
        f"{study.name}: {statistics.median(walls):.2f} of sem's time, "
        f"{statistics.median(used):.2f} of its processor time (medians)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[study.name for study in STUDIES])
    options = parser.parse_args(arguments)
    # Supervisors outlive the commands that start them: they are left to this process, which then
    # knows what they have used.
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="nepiq-ns3-") as folder, Stand(Path(folder)) as stand:
        bench = Bench(stand, options.runs, options.parallel)
        for study in STUDIES:
            if options.only in (None, study.name):
                measure(bench, study, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
