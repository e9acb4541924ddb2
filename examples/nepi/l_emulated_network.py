"""L: two emulated hosts behind a router, on one machine, in NEPI's words for network namespaces.

Interfaces with addresses are ports of switches, and routes lead by the router from one network to
the other. A ping crosses it. It needs root on the machine, or sudo without a password.

It is as it was for NEPI but for imports: addresses and routes could be attributes of links, and the
emulation be left out (docs/emulation.md).
"""

from __future__ import annotations

import argparse

from nepiq.controller import ExperimentController

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--host", default="localhost", help="machine (%(default)s)")
parser.add_argument("--user", help="user there")
parser.add_argument("--identity", help="private key, on the worker machine")
options = parser.parse_args()

ec = ExperimentController(exp_id="L-emulated-network")


def add(rtype: str, *peers: int, **attributes: object) -> int:
    """Register a resource and its connections."""
    guid = ec.register_resource(rtype)
    for name, value in attributes.items():
        ec.set(guid, name, value)
    for peer in peers:
        ec.register_connection(guid, peer)
    return guid


def add_interface(node: int, switch: int, ip: str) -> int:
    """Register an interface with an address."""
    interface = add("netns::NodeInterface", node, switch, up=True)
    add("netns::IPv4Address", interface, ip=ip, prefix=24)
    return interface


machine = add(
    "linux::Node", hostname=options.host, username=options.user, identity=options.identity
)
emulation = add("linux::netns::Emulation", machine, verbose=True)
left, router, right = (add("netns::Node", emulation) for _ in range(3))
one, two = (add("netns::Switch", emulation) for _ in range(2))
add_interface(left, one, "10.0.0.1")
add_interface(router, one, "10.0.0.254")
add_interface(router, two, "10.0.1.254")
add_interface(right, two, "10.0.1.1")
add("netns::IPv4Route", left, network="10.0.1.0", prefix=24, nexthop="10.0.0.254")
add("netns::IPv4Route", right, network="10.0.0.0", prefix=24, nexthop="10.0.1.254")
ping = add("netns::Application", left, command="ping -c3 -i0.2 10.0.1.1")

ec.deploy()
ec.wait_finished([ping])
print(ec.trace(ping, "stdout"))
ec.shutdown()
