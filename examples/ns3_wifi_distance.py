"""How far does Wi-Fi reach? Ten distances, five seeds each: ``ns3_wifi_distance.py [FOLDER]``."""

from __future__ import annotations

import csv
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt  # pip install 'nepiq[examples]'

from nepiq.controller import ExperimentController

FOLDER, *METRES = sys.argv[1:] or ["."]
DISTANCES, SEEDS = [int(metres) for metres in METRES] or [*range(5, 55, 5)], range(1, 6)
WHOLE = {"StopTime": "1s", "flowMonitor": True}
AIR = ("ConstantSpeedPropagationDelay", "LogDistancePropagationLoss", "NakagamiPropagationLoss")
TRAFFIC = {"Remote": "10.0.0.2:9", "Interval": "400us", "PacketSize": 1400, "MaxPackets": 0}


def simulate(ec: ExperimentController, host: int, metres: int, run: int) -> int:
    add = ec.register_resource
    simulation = add("linux::ns3::Simulation", connectedTo=host, run=run, **WHOLE)
    nodes = [add("ns3::Node", connectedTo=simulation, enableStack=True) for _ in range(2)]
    air = add("ns3::YansWifiChannel")
    for model in AIR:
        add(f"ns3::{model}Model", connectedTo=air)
    for n, node in enumerate(nodes):
        add("ns3::ConstantPositionMobilityModel", connectedTo=node, Position=[n * metres, 0, 0])
        add("ns3::WifiNetDevice", connectedTo=[node, air], ip=f"10.0.0.{n + 1}")
    add("ns3::UdpClient", connectedTo=nodes[0], **TRAFFIC)
    add("ns3::UdpServer", connectedTo=nodes[1], Port=9)
    return simulation


with ExperimentController("wifi-distance") as ec:
    host = ec.register_resource("linux::Node")
    runs = {(m, run): simulate(ec, host, m, run) for m in DISTANCES for run in SEEDS}
    ec.deploy()
    ec.wait_finished(list(runs.values()))
    flows = {c: csv.DictReader(ec.trace(g, "flows").splitlines()) for c, g in runs.items()}
rates = {case: 8e-6 * int(next(flow)["rxBytes"]) for case, flow in flows.items()}
rows = [f"{metres},{run},{rate:.3f}\n" for (metres, run), rate in rates.items()]
Path(FOLDER, "distance.csv").write_text("metres,run,mbit_per_s\n" + "".join(rows))

samples = [[rates[metres, run] for run in SEEDS] for metres in DISTANCES]
margins = [2.776 * statistics.stdev(rates) / 5**0.5 for rates in samples]  # Student's t, 95 %
plt.errorbar(DISTANCES, [statistics.fmean(rates) for rates in samples], margins, capsize=4)
plt.gca().set(xlabel="distance in m", ylabel="received in Mbit/s, with 95 % confidence")
plt.savefig(Path(FOLDER, "distance.svg"))
