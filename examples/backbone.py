"""A backbone of eleven cities, in which OSPF finds a way around a link that is cut.

nepiq run --web examples/backbone.py [HOST...]: as root on the hosts, or on this machine. Hosts
without bird (package bird2) have static routes instead, and wait for the link.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import networkx as nx

from nepiq.controller import ExperimentController, emulate

GRAPH = nx.read_graphml(Path(__file__).with_name("backbone.graphml"))
BIRD = """protocol device {} protocol kernel { ipv4 { export all; }; }
protocol ospf v2 { ipv4 { import all; }; area 0 { interface "lo" { stub; };
interface "eth*" { type ptp; hello 1; dead 3; }; }; }\n"""
PAGE = """begun=$(date +%s%N); until curl -s -m 1 http://newyork:8080/; do sleep 0.1; done
echo $((($(date +%s%N) - begun) / 1000000)) >converged\n"""
CITIES, MOMENTS = ("seattle", "losangeles", "chicago"), ("converged", "measured")
FLOW, PING = {"time": 34, "bitrate": "9M"}, {"interval": 0.1, "count": 340}
ROUTE = {"label": "way", "node": "seattle", "target": "newyork", "continuous": True, "useIP": True}
ROUTE |= {"wait": "1", "queries": 1, "sendWait": 200, "restart": "always"}
ROUTER = """cat >bird.conf; command -v bird || exec sleep infinity
exec bird -f -c bird.conf -s bird.ctl\n"""
COMMON = {"command": ROUTER, "stdin": BIRD, "sudo": True, "depends": "curl"}

with ExperimentController("backbone") as ec:
    add, after = ec.register_resource, ec.register_condition
    names = enumerate(sys.argv[1:] or ["localhost"])
    on = [add("linux::Node", label=f"m{number}", hostname=name) for number, name in names]
    ec.set_global("netns::Routes", "unless", "bird")
    net = emulate(ec, GRAPH, on, sample="1s")
    for name, value in COMMON.items():
        ec.set_global("netns::Application", name, value)
    ends = [add("netns::Application", label=f"{city}-bird", node=city) for city in net.nodes]
    web = {"label": "web", "node": "newyork", "command": "python3 -m http.server 8080"}
    ends += [add("netns::Application", **web), add("linux::Traceroute", **ROUTE)]
    converged, measured = (add("nepiq::Null", label=name, ends=True) for name in MOMENTS)
    for city in CITIES:
        page = add("netns::Application", label=f"{city}-page", node=city, command=PAGE)
        sink = add("linux::Iperf3Server", label=f"{city}-sink", node="newyork")
        flow = add("linux::Iperf3Client", label=f"{city}-flow", node=city, server=sink, **FLOW)
        ping = add("linux::Ping", label=f"{city}-ping", node=city, target="newyork", **PING)
        after(converged, "START", page, "FINISHED")
        after([flow, ping], "START", converged, "FINISHED")
        after(measured, "START", [flow, ping], "FINISHED")
        ends.append(sink)
    after("way", "START", converged, "FINISHED")
    after(ends, "STOP", measured, "FINISHED")
    cut, detour = net.links["denver", "kansascity"], net.impairments["losangeles", "houston"]
    changes = [(10, "up", False, cut), (20, "loss", 5, detour), (30, "up", True, cut)]
    for moment, name, value, targets in [*changes, (30, "loss", 0, detour)]:
        label = f"{name}-{moment}s"
        add("nepiq::Set", label=label, resources=targets, name=name, value=value)
        after(label, "START", converged, "FINISHED", moment)
    ec.deploy()
    ec.wait_finished()
    print("to newyork from   RTT set    measured   Mbit/s   gap at the cut   converged after")
    for city in CITIES:
        rtt = 2000 * nx.shortest_path_length(GRAPH, city, "newyork", "delay")
        rate = ec.get(f"{city}-flow", "bitsPerSecond") / 1e6
        replies = re.findall(r"icmp_seq=(\d+)", ec.trace(f"{city}-ping", "stdout"))
        gap = max((int(b) - int(a) for a, b in pairwise(replies)), default=0) / 10
        least, wait = ec.get(f"{city}-ping", "rttMin"), ec.trace(f"{city}-page", "converged")
        row = f"{city:<17}{rtt:5.1f} ms{least:9.1f} ms{rate:9.1f}{gap:15.1f} s"
        print(f"{row}{int(wait) / 1000:16.1f} s")
