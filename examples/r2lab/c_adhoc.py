"""C: two nodes are configured at the same time, and then ping each other.

The lesson of R2lab makes an ad-hoc network of two wifi cards (modprobe, iw dev ... ibss join).
This one sets up the wired cards of the two nodes instead, so that it runs anywhere; the commands
in CONFIGURE are what to replace. Nothing but the imports and the names of hosts differs from a
script for NEPI.
"""

from __future__ import annotations

import lab

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

CONFIGURE = """
set -e
ip link set dev {card} up
ip address replace {address}/24 dev {card}
ip neighbour flush dev {card}
ip -o -4 address show dev {card}
"""
UNDO = "ip address del {address}/24 dev {card}"

options = lab.parser(__doc__, ["fit01", "fit02"]).parse_args()
addresses = ["10.0.0.1", "10.0.0.2"]

ec = ExperimentController(exp_id="C-adhoc")

nodes = [ec.register_resource("linux::Node", **lab.behind(options, name)) for name in options.nodes]
configured, pings = [], []
for node, own, other in zip(nodes, addresses, reversed(addresses), strict=True):
    conf = ec.register_resource("linux::Application")
    ec.set(conf, "command", CONFIGURE.format(card=options.interface, address=own))
    ec.set(conf, "tearDown", UNDO.format(card=options.interface, address=own))
    ec.set(conf, "sudo", True)
    ec.register_connection(conf, node)
    configured.append(conf)

    ping = ec.register_resource("linux::Application")
    ec.set(ping, "command", f"ping -c3 -i 0.2 -I {own} {other}")
    ec.register_connection(ping, node)
    pings.append(ping)

ec.register_condition(pings, ResourceAction.START, configured, ResourceState.STOPPED)

ec.deploy()
ec.wait_finished(pings)

for name, conf, ping in zip(options.nodes, configured, pings, strict=True):
    print(f"--- {name}")
    print(ec.trace(conf, "stdout"))
    print(ec.trace(ping, "stdout"))

ec.shutdown()
