"""The throughput to several hosts, measured until its mean is known to 5 % with 95 % certainty.

Each run starts a server of iperf3 on every host, and on this machine a client one second after its
server; when a client has ended its server is stopped. A Collector keeps the reports. Without hosts
the servers run on this machine::

    python iperf_sweep.py
    python iperf_sweep.py fit01 fit02 --username root --results results
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nepiq.controller import ExperimentController, ExperimentRunner, ResourceAction, ResourceState

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("hosts", nargs="*", default=["localhost", "localhost"])
parser.add_argument("--username", help="login user on the hosts")
parser.add_argument("--identity", help="private key for them")
parser.add_argument("--seconds", type=float, default=1.0, help="length of a test")
parser.add_argument("--bitrate", default="50M", help="rate of each client, 0 for no limit")
parser.add_argument("--runs", type=int, default=20, help="greatest number of runs")
parser.add_argument("--results", type=Path, default=Path("iperf-sweep"))
options = parser.parse_args()

ec = ExperimentController("iperf-sweep", local_dir=str(options.results))
here = ec.register_resource("linux::Node", label="here")
collector = ec.register_resource("nepiq::Collector", traceName="stdout", subDir="reports")
clients = []
for number, host in enumerate(options.hosts, start=1):
    node = ec.register_resource("linux::Node", hostname=host)
    if host != "localhost":
        ec.set(node, "username", options.username)
        ec.set(node, "identity", options.identity)
    server = ec.register_resource("linux::Iperf3Server", connectedTo=node)
    client = ec.register_resource("linux::Iperf3Client", label=f"client-{number}")
    ec.set(client, "time", options.seconds)
    ec.set(client, "bitrate", options.bitrate)
    for peer in (here, server):
        ec.register_connection(client, peer)
    ec.register_connection(collector, client)
    ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED, "1s")
    ec.register_condition(server, ResourceAction.STOP, client, ResourceState.STOPPED)
    clients.append(client)


def rate(run: ExperimentController, number: int) -> float:
    """Return the rate of all clients of a run together, in Mbit/s."""
    rates = [run.get(client, "bitsPerSecond") / 1e6 for client in clients]
    print(f"run {number}:", ", ".join(f"{rate:.1f}" for rate in rates), "Mbit/s", flush=True)
    return sum(rates)


runner = ExperimentRunner()
count = runner.run(
    ec, min_runs=3, max_runs=options.runs, wait_guids=clients, compute_metric_callback=rate
)
low, high = runner.interval
print(f"{count} runs: {runner.mean:.1f} Mbit/s, with 95 % certainty {low:.1f} to {high:.1f}")
