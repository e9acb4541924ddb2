"""What configuration of a host there is, as a table; workers import this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nepiq.controller import ExperimentController
from nepiq.controller.model import (
    Attribute,
    Change,
    Connection,
    Context,
    device_name,
    link_alias,
    namespace_name,
)
from nepiq.controller.model.configuration import ROUTE_PROTOCOL, run_mark
from nepiq.controller.resources.linux.network.configured import Configured

#: The interface of somebody else that is moved into a namespace, and has to come home.
GUEST = "dec-moved"


def _route(run: str, guid: int) -> list[Change]:
    del run
    what = f"blackhole 198.{18 + guid // 256}.{guid % 256}.0/24 proto {ROUTE_PROTOCOL}"
    return [Change(f"route add {what}", f"route del {what}")]


def _rule(run: str, guid: int) -> list[Change]:
    del run
    what = f"fwmark {guid} table {guid} protocol {ROUTE_PROTOCOL}"
    return [Change(f"rule add {what}", f"rule del {what}")]


def _table(run: str, guid: int) -> list[Change]:
    table = f"inet nq_{run_mark(run)}_{guid}"
    chain = f"add chain {table} c {{ type filter hook input priority 0; }}"
    return [
        Change(f"add table {table}", f"delete table {table}", tool="nft"),
        Change(chain, tool="nft"),
    ]


def _sysctl(run: str, guid: int) -> list[Change]:
    del run, guid
    return [Change("net.ipv4.ip_forward=1", tool="sysctl")]


def _moved(run: str, guid: int) -> list[Change]:
    space = namespace_name(run, guid)
    return [
        Change(f"netns add {space}", f"netns del {space}"),
        Change("link set lo up", f"link set {GUEST} netns 1", netns=space),
        Change(f"link set {GUEST} netns {space}"),
        Change(f"link set {GUEST} up", netns=space),
    ]


def _tap(run: str, guid: int) -> list[Change]:
    name = device_name(run, guid)
    return [
        Change(f"tuntap add {name} mode tap", f"link del {name}"),
        Change(f"link set {name} alias {link_alias(run, guid)}"),
    ]


def _vxlan(run: str, guid: int) -> list[Change]:
    name = device_name(run, guid)
    return [
        Change(f"link add {name} type vxlan id {guid} dstport 0", f"link del {name}"),
        Change(f"link set {name} alias {link_alias(run, guid)} up"),
    ]


def _qdisc(run: str, guid: int) -> list[Change]:
    name = device_name(run, guid)
    return [
        Change(f"link add {name} type bridge", f"link del {name}"),
        Change(f"link set {name} alias {link_alias(run, guid)}"),
        Change(f"qdisc add dev {name} root tbf rate 1mbit burst 5k latency 50ms", tool="tc"),
    ]


def _slow(run: str, guid: int) -> list[Change]:
    """Says when it begins; then it takes its time, and makes something."""
    name = device_name(run, guid)
    made = f"ip link add {name} type bridge && ip link set {name} alias {link_alias(run, guid)}"
    return [Change(f"touch /tmp/slow; sleep 2; {made}", f"ip link del {name} || :", tool="sh")]


#: What a resource makes, by kind; types for it may be added here or in :func:`register`.
KINDS: dict[str, Callable[[str, int], list[Change]]] = {
    "route": _route,
    "rule": _rule,
    "table": _table,
    "sysctl": _sysctl,
    "moved": _moved,
    "tap": _tap,
    "vxlan": _vxlan,
    "qdisc": _qdisc,
    "slow": _slow,
}


class Made(Configured, rtype="faults::Made"):
    """Configuration of one of the kinds."""

    kind = Attribute(str, help="A key of KINDS.")
    node = Connection("linux::Node", required=True, help="The host.")

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return what it makes."""
        del context
        assert self.kind
        return KINDS[self.kind](self.run_id, self.guid)


def register(
    ec: ExperimentController, node: int | str, *also: str, without: Sequence[str] = ()
) -> list[int]:
    """Register a network of everything there is on a host; return its resources.

    Args:
        ec: takes it.
        node: the host.
        also: further kinds.
        without: kinds, and ``impairment``, that are left out.
    """
    one, two = (ec.register_resource("netns::Node", connectedTo=node) for _ in range(2))
    bridge = ec.register_resource("linux::Bridge", connectedTo=node, ip="10.213.0.1")
    link = ec.register_resource("netns::Link", ends=[one, two], name1="eth0", ip1="10.0.0.1/24")
    made = [one, two, bridge, link]
    # By a relay where the kernel has no netem, and by a token bucket.
    impairments = ((link, "5ms", "both"), (bridge, "0ms", "out"))
    for impaired, delay, direction in impairments if "impairment" not in without else ():
        how = {"rate": "10mbit", "delay": delay, "direction": direction}
        made.append(ec.register_resource("linux::Impairment", connectedTo=impaired, **how))
    for kind in [*(kind for kind in KINDS if kind not in ("slow", *without)), *also]:
        made.append(ec.register_resource("faults::Made", kind=kind, connectedTo=node))
    return made
