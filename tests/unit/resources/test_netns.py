"""netns::*: what emulated hosts, switches, links and routes change on a machine."""

from __future__ import annotations

from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import InvalidValue
from nepiq.controller.testing import Harness


@pytest.fixture
def machine() -> Harness[Any]:
    return Harness("linux::Node", hostname="10.1.1.1")


def host(machine: Harness[Any], label: str, rtype: str = "netns::Node", **given: Any) -> Any:
    return Harness(rtype, label=label, host=machine.host, node=machine, **given)


def changes(resource: Harness[Any]) -> list[str]:
    """Deploy a resource; what it has changed."""
    resource.deploy()
    call = [call for call in resource.host.calls if call.verb == "configure"][-1]
    return [str(change) for change in call.options["changes"]]


def undos(resource: Harness[Any]) -> list[str]:
    call = [call for call in resource.host.calls if call.verb == "configure"][-1]
    return [change.undo for change in call.options["changes"] if change.undo]


def test_a_link_has_one_mtu_at_both_ends_shakenfist_4115(machine: Harness[Any]) -> None:
    one, two = host(machine, "one"), host(machine, "two", ip="10.255.0.2")
    link = Harness(
        "netns::Link",
        host=machine.host,
        ends=[one, two],
        name1="left",
        name2="right",
        ip1="10.0.0.1/30 fd00::1/64",
        ip2="10.0.0.2/30",
        mac2="02:00:00:00:00:02",
        mtu=9000,
    )
    left, right = one.rm.network_namespace(), two.rm.network_namespace()
    assert changes(link) == [
        f"ip link add name left mtu 9000 netns {left} type veth "
        f"peer name right address 02:00:00:00:00:02 mtu 9000 netns {right}",
        f"ip -n {left} ",  # what undoes it
        f"ip -n {left} link set dev left up",
        f"ip -n {left} address add 10.0.0.1/30 dev left",
        f"ip -n {left} address add fd00::1/64 dev left nodad",
        f"ip -n {right} link set dev right up",
        f"ip -n {right} address add 10.0.0.2/30 dev right",
        "echo 10.0.0.1 one one-left >>/etc/hosts",
        "echo fd00::1 one one-left >>/etc/hosts",
        "echo 10.0.0.2 two-right >>/etc/hosts",
    ]
    assert undos(link)[0] == "link del dev left"
    machine.host.answer(
        "route show",
        f"{left} left 10.4.0.0/16 via 10.0.0.2 proto 113 \n"
        f"{left} left 10.5.0.0/16 via 10.0.0.2 proto bird metric 32 \n"
        f"{right} right default via 10.0.0.1 proto 114 \n",
    )
    link.set("up", False)
    assert [str(change) for change in machine.host.calls[-1].options["changes"]] == [
        f"ip -n {left} link set dev left down",
        f"ip -n {right} link set dev right down",
    ]
    link.set("up", True)
    assert [str(change) for change in machine.host.calls[-1].options["changes"]] == [
        f"ip -n {left} link set dev left up",
        f"ip -n {right} link set dev right up",
        f"ip -n {left} address replace fd00::1/64 dev left nodad",
        f"ip -n {left} route replace 10.4.0.0/16 via 10.0.0.2 proto 113 dev left || :",
        f"ip -n {right} route replace default via 10.0.0.1 proto 114 dev right || :",
    ]
    link.set("mtu", 1400)
    assert machine.host.calls[-1].options["changes"][1].command == "link set dev right mtu 1400"


def test_ends_at_switches_are_ports(machine: Harness[Any]) -> None:
    switch = host(machine, "sw", "netns::Switch", stp=True)
    space = switch.rm.network_namespace()
    assert changes(switch) == [
        f"ip netns add {space}",
        f"ip -n {space} link add switch type bridge stp_state 1",
        f"ip -n {space} link set dev switch up",
    ]
    other = host(machine, "other")
    link = Harness(
        "netns::Link", host=machine.host, ends=[other, switch], name2="p1", ip1="10.0.0.1/24"
    )
    assert f"ip -n {space} link set dev p1 master switch up" in changes(link)
    port = Harness("netns::NodeInterface", host=machine.host, node=other, switch=switch)
    machine.host.answer("link add name eth", '[{"ifname": "eth9", "mtu": 1500}]')
    shown = changes(port)
    assert shown[0].startswith(f"ip link add name eth{port.guid} type veth peer name other")
    assert shown[1].endswith("master switch up")
    address = Harness("netns::IPv4Address", host=machine.host, interface=port, ip="10.0.0.9")
    assert changes(address)[0] == "ip address add 10.0.0.9/24 dev eth9"


def test_hosts_forward_as_they_or_the_emulation_say(machine: Harness[Any]) -> None:
    for common, own, forwards in (
        (True, {}, True),
        (False, {}, False),
        (False, {"forward": True}, True),
    ):
        emulation = Harness(
            "linux::netns::Emulation", host=machine.host, node=machine, forward=common
        )
        node = Harness("netns::Node", host=machine.host, emulation=emulation, **own)
        assert any("ip_forward" in change for change in changes(node)) == forwards
    assert not any("ip_forward" in change for change in changes(host(machine, "plain")))


def test_lines_of_hosts_of_other_machines(machine: Harness[Any]) -> None:
    emulation = Harness(
        "linux::netns::Emulation", host=machine.host, node=machine, hosts="10.0.0.1 far\n"
    )
    assert changes(emulation) == ["echo 10.0.0.1 far >>/etc/hosts"]
    assert undos(emulation) == ["10.0.0.1 far"]
    for wrong in ("far", "10.0.0.1", "10.0.0.300 far", 5):
        with pytest.raises(InvalidValue, match="lines of hosts"):
            Harness("linux::netns::Emulation", node=machine, hosts=wrong)


def test_routes(machine: Harness[Any]) -> None:
    node = host(machine, "one")
    route = Harness(
        "netns::IPv4Route",
        host=machine.host,
        node=node,
        network="10.3.0.0",
        prefix=16,
        nexthop="10.0.0.2",
        metric=7,
    )
    text = "10.3.0.0/16 via 10.0.0.2 metric 7 proto 113"
    assert changes(route) == [f"ip route add {text}"]
    assert undos(route) == [f"route del {text}"]
    default = Harness(
        "netns::Route", host=machine.host, node=node, network="default", nexthop="fd00::1"
    )
    assert changes(default) == ["ip route add ::/0 via fd00::1 proto 113"]
    table = Harness(
        "netns::Routes",
        host=machine.host,
        node=node,
        routes="default via 10.0.0.2\nfd01::/64 via fd00::2\n10.4.0.0/16 via 10.0.0.3",
    )
    assert [text for text in changes(table) if text.startswith("ip route")] == [
        "ip route add default via 10.0.0.2 proto 114",
        "ip route add fd01::/64 via fd00::2 proto 114",
        "ip route add 10.4.0.0/16 via 10.0.0.3 proto 114",
    ]
    assert undos(table) == [
        "route flush root 0/0 proto 114",
        "ip -6 route flush proto 114",
    ]
    line = "default via 10.0.0.2"
    daemon = Harness("netns::Routes", host=machine.host, node=node, routes=line, unless="bird")
    assert changes(daemon) == []
    machine.host.absent.add("bird")
    static = Harness("netns::Routes", host=machine.host, node=node, routes=line, unless="bird")
    assert "ip route add default via 10.0.0.2 proto 114" in changes(static)
    for wrong in ("10.0.0.1", "default via", "10.0.0.1/8 via 10.0.0.2"):
        with pytest.raises(InvalidValue):
            Harness("netns::Routes", node=node, routes=wrong)


def test_a_host_is_entered_as_a_machine_of_its_own(machine: Harness[Any]) -> None:
    node = host(machine, "one", privateDirs="/run/frr;/var/log", pidNamespace=True)
    made = changes(node)
    assert "mkdir -p" in made[2]
    assert "unshare --pid" in made[3]
    entered = node.rm.enter("id", "lab")
    for part in ("hostname one", "/etc/hosts", "/run/frr", "/var/log", "nsenter --pid", "lab"):
        assert part in entered
    with pytest.raises(InvalidValue, match="absolute"):
        host(machine, "two", privateDirs="var/log")


class Described:
    """A description with two machines."""

    def __init__(self) -> None:
        self.description = Description("net")
        self.machines = [self.description.add("linux::Node") for _ in range(2)]

    def refused(self, match: str) -> None:
        with pytest.raises(InvalidValue, match=match):
            self.description.check()


def test_what_cannot_be_is_refused_before_the_deployment() -> None:
    it = Described()
    one = it.description.add("netns::Node", label="one", node=it.machines[0])
    two = it.description.add("netns::Node", label="two", node=it.machines[1])
    link = it.description.add("netns::Link", ends=[one, two])
    it.refused("on different machines")
    it.description.remove(link)
    link = it.description.add("netns::Link", ends=[one])
    it.refused("connect it to two emulated hosts")
    it.description.remove(link)
    switch = it.description.add("netns::Switch", label="sw", node=it.machines[0])
    link = it.description.add("netns::Link", ends=[one, switch], ip2="10.0.0.1/24")
    it.refused("a port of sw has no address")
    it.description.remove(link)
    bare = it.description.add("netns::Node", label="bare")
    it.refused("connect it to the linux::Node that it is part of")
    it.description.remove(bare)
    far = it.description.add("netns::Switch", label="far", node=it.machines[1])
    it.description.add("netns::NodeInterface", node=one, switch=far)
    it.refused("one and far are on different machines")


def test_a_route_waits_for_all_interfaces_of_its_host() -> None:
    """The deployment connects it to those that wait for the same host."""
    it = Described()
    one, two = (it.description.add("netns::Node", node=it.machines[0]) for _ in range(2))
    switch = it.description.add("netns::Switch", node=it.machines[0])
    links = [it.description.add("netns::Link", ends=ends) for ends in ([one, two], [two, switch])]
    port = it.description.add("netns::NodeInterface", node=one, switch=switch)
    address = it.description.add("netns::IPv4Address", interface=port, ip="10.0.0.1")
    route = it.description.add("netns::Route", node=one, network="default", nexthop="10.0.0.2")
    for _ in range(2):
        it.description.complete(it.description)
        assert it.description.resource(route).peers == {
            "node": [one],
            "links": [links[0]],
            "interfaces": [port],
            "further": [address],
        }
    copy = Description("copy")
    copy.adopt(it.description)
    assert copy.resource(route).peers == {"node": [one]}


def test_an_emulated_host_takes_the_place_of_a_host_only_where_it_is_nothing_else() -> None:
    """Whichever is named first, and without the name of the connection."""
    it = Described()
    add, connect = it.description.add, it.description.connect
    emulation, node, switch = (
        add(rtype) for rtype in ("linux::netns::Emulation", "netns::Node", "netns::Switch")
    )
    port, app = add("netns::NodeInterface"), add("linux::Application", command="true")
    connect(emulation, node)
    connect(switch, emulation)
    connect(emulation, it.machines[0])
    connect(port, switch)
    connect(node, port)
    connect(node, app)
    peers = {guid: it.description.resource(guid).peers for guid in (emulation, node, port, app)}
    assert peers == {
        emulation: {"node": [it.machines[0]]},
        node: {"emulation": [emulation]},
        port: {"switch": [switch], "node": [node]},
        app: {"node": [node]},
    }
