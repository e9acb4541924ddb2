"""A tree of hosts by Mininet: ``mininet_peer.py NODES``, with the Python that has it.

Prints the seconds until every link has carried a ping, and those of the removal.
"""

from __future__ import annotations

import sys
import time

from mininet.log import setLogLevel
from mininet.net import Mininet


def main(nodes: int) -> None:
    setLogLevel("error")
    began = time.perf_counter()
    net = Mininet(controller=None, waitConnected=False)
    hosts = [net.addHost(f"h{number}", ip=None) for number in range(nodes)]
    for number in range(1, nodes):
        link = net.addLink(hosts[(number - 1) // 4], hosts[number])
        near, far = (f"10.{number // 250}.{number % 250}.{end}" for end in (1, 2))
        link.intf1.setIP(near, 30)
        link.intf2.setIP(far, 30)
    net.start()
    for number in range(1, nodes):
        address = f"10.{number // 250}.{number % 250}.1"
        said = hosts[number].cmd(f"ping -c1 -W2 {address} >/dev/null && echo fine")
        if "fine" not in said:
            raise SystemExit(f"no answer from {address}")
    ready = time.perf_counter()
    net.stop()
    print(ready - began, time.perf_counter() - ready)


main(int(sys.argv[1]))
