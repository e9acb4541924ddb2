"""B: pings over several steps, each deployed when the one before has ended.

The gateway pings a node; the wired data interfaces of two nodes are brought up; the one node
pings the other over these. The node that pings is reached through the gateway.

R2lab's nodes get the addresses of their data interfaces by DHCP; here they are set, so that the
script also runs where nobody serves addresses. Nothing but the imports and the names of hosts
differs from a script for NEPI.
"""

from __future__ import annotations

import lab

from nepiq.controller import ExperimentController

options = lab.parser(__doc__, ["fit01", "fit02"]).parse_args()
one, two = options.nodes
card = options.interface

ec = ExperimentController(exp_id="B-pings")


def run(node: int, command: str, sudo: bool = False) -> str:
    """Deploy one application more, and wait for what it prints."""
    app = ec.register_resource("linux::Application", command=command, sudo=sudo, connectedTo=node)
    ec.deploy(app)
    ec.wait_finished(app)
    return str(ec.trace(app, "stdout"))


def bring_up(node: int, address: str) -> str:
    """Bring the data interface up, with an address."""
    return run(
        node,
        f"ip link set dev {card} up; ip address replace {address}/24 dev {card}; "
        f"ip -o -4 address show dev {card}",
        sudo=True,
    )


faraday = ec.register_resource("linux::Node", **lab.gateway(options))
ec.deploy(faraday)
print("1. the gateway pings", one)
print(run(faraday, f"ping -c1 {one}"))

fit01 = ec.register_resource("linux::Node", **lab.behind(options, one))
fit02 = ec.register_resource("linux::Node", **lab.behind(options, two))
ec.deploy([fit01, fit02])
print("2. data interface of", one)
print(bring_up(fit01, "192.168.2.1"))
print("3. data interface of", two)
print(bring_up(fit02, "192.168.2.2"))

print("4.", one, "pings", two)
print(run(fit01, "ping -c1 -I 192.168.2.1 192.168.2.2"))

ec.shutdown()
