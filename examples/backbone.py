"""A backbone of eleven cities, in which OSPF finds a way around a link that is cut.

python examples/backbone.py [HOST...]: as root on the hosts, or on this machine
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, emulate

BIRD = """router id {}; protocol device {{}} protocol kernel {{ ipv4 {{ export all; }}; }}
protocol ospf v2 {{ ipv4 {{ import all; }}; area 0 {{ interface "lo" {{ stub; }};
interface "eth*" {{ type ptp; hello 1; dead 3; }}; }}; }}\n"""
ROUTER = "cat >bird.conf; exec bird -f -c bird.conf -s bird.ctl"
PAGE = "until curl -s -m 1 http://newyork:8080/; do sleep 0.2; done"

with ExperimentController("backbone") as ec:
    names = sys.argv[1:] or ["localhost"]
    on = [ec.register_resource("linux::Node", hostname=name) for name in names]
    net = emulate(ec, Path(__file__).with_name("backbone.graphml"), on, routing=None)
    app = {"rtype": "linux::Application", "sudo": True, "depends": "bird2 curl"}
    for city, node in net.nodes.items():
        config = BIRD.format(net.addresses[city])
        ec.register_resource(**app, node=node, command=ROUTER, stdin=config)
    ec.register_resource(**app, node="newyork", command="python3 -m http.server 8080")
    page = ec.register_resource(**app, node="seattle", command=PAGE)
    server = ec.register_resource("linux::Iperf3Server", node="newyork")
    flow = ec.register_resource("linux::Iperf3Client", node="chicago", server=server, time=30)
    ping = ec.register_resource(
        "linux::Ping", node="seattle", target="newyork", interval=0.1, count=350
    )
    ec.register_condition([ping, flow], ResourceAction.START, page, ResourceState.FINISHED)
    cut, detour = net.links["denver", "kansascity"], net.impairments["losangeles", "houston"]
    for guids, name, changes in (
        (cut, "up", {"10s": False, "30s": True}),
        (detour, "loss", {"20s": 5, "30s": 0}),
    ):
        for moment, value in changes.items():
            ec.set_with_conditions(name, value, guids, ping, ResourceState.STARTED, moment)
    ec.deploy()
    ec.wait_finished([ping, flow])
    arrived = [int(number) for number in re.findall(r"icmp_seq=(\d+)", ec.trace(ping, "stdout"))]
    silence = max(after - before for before, after in pairwise(arrived)) / 10
    print(f"seattle-newyork: 46.6 ms configured, {ec.get(ping, 'rttMin')} ms measured")
    print(
        f"chicago-newyork: 50 Mbit/s configured, {ec.get(flow, 'bitsPerSecond') / 1e6:.1f} measured"
    )
    print(f"silent for {silence} s at the cut; {ec.get(ping, 'loss')} % of all pings were lost")
