"""What configuration of a host there is, as a table; workers import this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nepiq.controller import ExperimentController
from nepiq.controller.model import Change, Connection, Context, device_name, link_alias
from nepiq.controller.resources.linux.network.configured import Configured

#: The interface of somebody else that is moved into a namespace, and has to come home.
GUEST = "dec-moved"

#: What a host can have by itself, by kind: the type, and attributes that fit every host.
ON_HOST: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "address": ("linux::Address", {"device": "lo", "ip": "198.18.1.1"}),
    "route": ("linux::Route", {"network": "198.18.0.0/24", "device": "lo"}),
    "rule": ("linux::Rule", {"mark": 7, "table": 7, "priority": 777}),
    "firewall": ("linux::Firewall", {"rules": "tcp dport 9 drop"}),
    "nat": ("linux::Nat", {"source": "10.213.0.0/24"}),
    "sysctl": ("linux::Sysctl", {"key": "net.ipv4.tcp_rmem", "value": "4096 65536 4194304"}),
    "tap": ("linux::Tap", {"ip": "10.214.0.1"}),
    "vxlan": ("linux::VXLAN", {"remote": "198.51.100.1", "vni": 7}),
    "slow": ("faults::Slow", {}),
}
#: Those that leave something of which marks alone do not tell.
UNMARKED = ("address", "sysctl", "nat", "moved")


class Slow(Configured, rtype="faults::Slow"):
    """A bridge that takes its time; it says when it begins."""

    node = Connection("linux::Node", required=True, help="The host.")

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return a command that is still under way after its shell was killed."""
        del context
        name, alias = device_name(self.run_id, self.guid), link_alias(self.run_id, self.guid)
        made = f"ip link add {name} type bridge && ip link set {name} alias {alias}"
        return [Change(f"touch /tmp/slow; sleep 2; {made}", f"ip link del {name} || :", tool="sh")]


def register(
    ec: ExperimentController, node: int | str, *also: str, without: Sequence[str] = ()
) -> list[int]:
    """Register a network of everything there is on a host; return its resources.

    Args:
        ec: takes it.
        node: the host.
        also: further kinds.
        without: kinds, ``moved`` and ``relay`` among them, that are left out.
    """
    one, two = (ec.register_resource("netns::Node", connectedTo=node) for _ in range(2))
    switch = ec.register_resource("netns::Switch", connectedTo=node)
    bridge = ec.register_resource("linux::Bridge", connectedTo=node, ip="10.213.0.1")
    link = ec.register_resource("netns::Link", ends=[one, two], name1="eth0", ip1="10.0.0.1/24")
    made = [one, two, switch, bridge, link]
    made += [
        ec.register_resource("netns::NodeInterface", node=one, switch=switch, ip="10.1.0.1"),
        ec.register_resource("linux::Macvlan", node=two, over=bridge, ip="10.213.0.2"),
        ec.register_resource("linux::Macvlan", node=node, over=bridge),
        ec.register_resource("netns::Routes", node=one, routes="10.9.0.0/16 via 10.0.0.2"),
    ]
    made.append(
        ec.register_resource("linux::Impairment", target=bridge, rate="10mbit", direction="out")
    )
    if "relay" not in without:
        how = {"delay": "5ms", "driver": "relay"}
        made.append(ec.register_resource("linux::Impairment", target=link, **how))
    if "moved" not in without:
        how = {"deviceName": GUEST, "fromMachine": True}
        made.append(ec.register_resource("linux::Interface", connectedTo=one, **how))
    for kind, (rtype, attributes) in ON_HOST.items():
        if kind in also or kind not in ("slow", *without):
            made.append(ec.register_resource(rtype, connectedTo=node, **attributes))
    return made
