"""The network of a host: made and undone by a user with sudo, over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.network.features import NEEDS, note_made
from tests.e2e.network.looks import differences, scan
from tests.stand import Stand, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "ip", "nft", "ping", "python3"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("host-network"),
]

#: Prints who has connected, and answers with a line.
SERVER = """exec python3 -c '
import socket
server = socket.create_server(("", 80))
print("ready", flush=True)
while True:
    peer, (address, _) = server.accept()
    print(address, flush=True)
    peer.sendall(b"hello\\n")
    peer.close()
'"""
CLIENT = """python3 -c '
import socket
print(socket.create_connection(("{}", {}), 5).recv(9).decode(), end="")
'"""


class Net:
    """An experiment with a network on one host, and commands in it."""

    def __init__(self, ec: ExperimentController, host: Host) -> None:
        self.ec, self.host = ec, host
        self.here = self.make("Node", "here", hostname=host.name)
        for name in "abc":
            ec.register_resource("netns::Node", label=name, connectedTo="here")

    def make(self, kind: str, label: str, *on: str, **settings: Any) -> int:
        """Register a resource, and connect it."""
        made = self.ec.register_resource(f"linux::{kind}", label=label, **settings)
        for peer in on:
            self.ec.register_connection(made, peer)
        return made

    def run(self, on: str, command: str, **settings: Any) -> str:
        """Run a command to its end; what it prints, and its exit code in the end."""
        made = self.ec.register_resource(
            "linux::Application",
            command=f"{{ {command}; }} 2>&1; echo $?",
            connectedTo=on,
            **settings,
        )
        self.ec.deploy([made])
        assert self.ec.wait_finished([made], timeout=30), self.ec.failures
        return self.ec.trace(made, "stdout")

    def pings(self, on: str, target: str) -> bool:
        """Whether a host answers, once a busy machine had the time for it."""
        return self.run(on, f"ping -c1 -w10 {target} >ping.txt") == "0\n"

    def gets_nothing(self, on: str, target: str) -> bool:
        """Whether a second passes without an answer of a host."""
        return self.run(on, f"ping -c1 -W1 {target} >ping.txt") != "0\n"


def describe(net: Net) -> None:
    """Three emulated hosts in a row: a, b that translates addresses, and c."""
    make = net.make
    make("Bridge", "wire1", "here")
    make("Bridge", "wire2", "here", deviceName="lab-wire2", ip="10.66.2.254", mtu=1400)
    for label, wire, ip in (("a0", 1, "1.1"), ("b0", 1, "1.2"), ("b1", 2, "2.2"), ("c0", 2, "2.3")):
        settings = {"deviceName": f"data{label[1]}", "ip": f"10.66.{ip}", "mtu": 1400}
        make("Macvlan", label, label[0], f"wire{wire}", **settings)
    make("Bridge", "inner", "a", ip="10.66.9.1")
    make("Address", "a6", "a0", ip="fd66::1")
    make("Address", "b6", "b0", ip="fd66::2", prefix=64)
    make("Address", "second", "a0", ip="10.66.1.9", prefix=32)
    make("Route", "a-c", "a0", network="10.66.2.0", prefix="24", nexthop="10.66.1.2", metric=7)
    make("Route", "c-all", "c0", network="default", nexthop="10.66.2.2")
    make("Route", "b-inner", "b0", network="10.66.9.0/24", nexthop="10.66.1.1")
    make("Route", "other", "a0", network="10.66.2.0/24", nexthop="10.66.1.99", table=100)
    make("Rule", "rule", "a", source="10.66.1.9/32", table=100, priority=100)
    make("Nat", "nat", "b0", source="10.66.2.0/24", forwards="8080:10.66.2.3:80")
    make("Sysctl", "mute", "b", key="net.ipv4.icmp_echo_ignore_all", value=1)
    make("Firewall", "wall", "c", protocol="icmp", source="10.66.1.1/32")
    make("Nat", "host-nat", "here", source="10.66.2.0/24")
    make("Firewall", "host-wall", "here", policy="drop", rules=["udp dport 4 accept"])
    for hook in ("prerouting", "output", "postrouting"):
        make("Firewall", f"host-wall-{hook}", "here", policy="drop", hook=hook, rules=["accept"])
    make("Rule", "host-rule", "here", source="10.66.77.0/24", table="main", priority=77)
    make("Route", "host-route", "here", network="10.66.77.0/24", device="lo")
    make("Address", "host-address", "here", ip="10.66.78.1", prefix=32, device="eth0")
    make("Channel", "rack")


@pytest.fixture(scope="module")
def before() -> list[str]:
    """What the host had; filled when the network is made."""
    return []


@pytest.fixture(scope="module")
def net(stand: Stand, shared_testbed: Testbed, before: list[str]) -> Iterator[Net]:
    """The network of :func:`describe`, deployed."""
    host = shared_testbed.hosts[0]
    before.extend(scan(host))
    with stand.experiment("host-network", quiet=True) as ec:
        net = Net(ec, host)
        describe(net)
        ec.deploy()
        assert ec.wait_deployed(timeout=60), ec.failures
        yield net
    shared_testbed.reset()


def test_hosts_reach_each_other(net: Net) -> None:
    assert net.pings("a", "10.66.1.1")
    assert net.pings("a", "fd66::2")
    assert net.pings("b", "10.66.9.1"), "by a route"
    assert net.pings("b", "10.66.2.3")
    assert net.gets_nothing("b", "10.66.77.1")
    assert net.ec.get("a0", "deviceName") == "data0"
    assert net.ec.get("a0", "mtu") == 1400
    assert net.ec.get("wire2", "deviceName") == "lab-wire2"
    assert len(net.ec.get("wire1", "deviceName")) <= 15


def test_firewall_and_sysctl_change_while_they_act(net: Net) -> None:
    assert net.gets_nothing("a", "10.66.2.3"), "the firewall drops it"
    net.ec.set("wall", "verdict", "accept")
    assert net.pings("a", "10.66.2.3")
    net.ec.set("wall", "rules", "meta l4proto icmp drop")
    net.ec.set("wall", "source", "10.66.1.99/32")
    assert net.gets_nothing("a", "10.66.2.3")
    net.ec.set("wall", "rules", "")
    assert net.pings("a", "10.66.2.3")
    assert net.gets_nothing("a", "10.66.1.2"), "the kernel ignores it"
    net.ec.set("mute", "value", 0)
    assert net.pings("a", "10.66.1.2")


def test_addresses_are_translated(net: Net) -> None:
    servers = [
        net.ec.register_resource(
            "linux::Application",
            label=f"server-{on}",
            command=SERVER,
            sudo=True,  # port 80
            connectedTo=on,
            startedWhen="output:ready",
        )
        for on in "ac"
    ]
    net.ec.deploy(servers)
    assert net.ec.wait_started(servers, timeout=30)
    assert net.run("a", CLIENT.format("10.66.1.2", 8080)) == "hello\n0\n"
    assert net.run("c", CLIENT.format("10.66.1.1", 80)) == "hello\n0\n"
    # c has b's address for a; who connects to the forwarded port is seen as it is.
    assert net.ec.trace("server-a", "stdout") == "ready\n10.66.1.2\n"
    assert net.ec.trace("server-c", "stdout") == "ready\n10.66.1.1\n"
    net.ec.stop("server-a")
    net.ec.stop("server-c")


def test_a_link_is_cut_and_heals(net: Net) -> None:
    net.ec.set("mute", "value", 0)
    net.ec.set("a0", "up", False)
    assert net.gets_nothing("a", "10.66.2.2")
    net.ec.set("a0", "up", True)
    assert net.pings("a", "10.66.2.2"), "its routes are there again"
    assert net.pings("a", "fd66::2")


def test_rules_choose_tables(net: Net) -> None:
    def route(how: str) -> str:
        return net.run("a", f"ip -o route get 10.66.2.3 {how} | grep -o 'via [0-9.]*'")

    assert route("") == "via 10.66.1.2\n0\n"
    assert route("from 10.66.1.9") == "via 10.66.1.99\n0\n"


def test_the_machine_stays_reachable_behind_its_firewall(net: Net) -> None:
    assert net.run("here", "true") == "0\n"
    rules = net.host.run("nft list ruleset", user="root").stdout
    assert "policy drop" in rules
    assert "udp dport 4 accept" in rules
    assert "masquerade" in rules


def test_what_is_there_already_is_refused_and_stays(net: Net) -> None:
    """Only what bears our mark is removed (mininet 877, CORE 500)."""
    net.host.run("ip link add lab-other type bridge && nft add table inet lab", user="root")
    refused = [
        net.make("Bridge", "taken", "here", deviceName="lab-other", critical=False),
        net.make("Address", "taken-1", "here", ip=net.host.address, device="eth0", critical=False),
        net.make(
            "Route", "taken-2", "here", network="10.66.77.0/24", device="lo", critical=False
        ),
        net.make(
            "Rule", "taken-3", "here", source="10.66.77.0/24", table="main", priority=77,
            critical=False,
        ),
        net.make("Address", "gone", "here", ip="10.1.1.1", device="none0", critical=False),
    ]  # fmt: skip
    net.ec.deploy(refused)
    until(lambda: len(net.ec.failures) == len(refused), 30.0, "not all were refused")
    errors = {failure.label: failure for failure in net.ec.failures}
    for label in ("taken", "taken-1", "taken-2", "taken-3"):
        assert "File exists" in errors[label].message or "already" in errors[label].message
        assert errors[label].hint.startswith("it exists already")
    assert 'Cannot find device "none0"' in errors["gone"].message
    net.ec.release(refused)
    text = net.host.run(
        "ip -o link; ip -o address show eth0; ip route; ip rule", user="root"
    ).stdout
    for part in (" lab-other:", f" {net.host.address}/24 ", "10.66.77.0/24 dev lo", "77:\t"):
        assert part in text
    assert "table inet lab" in net.host.run("nft list ruleset", user="root").stdout


def test_all_of_it_is_undone(net: Net, before: list[str]) -> None:
    types = {net.ec.get_resource(guid).rtype for guid in net.ec.resources}
    net.ec.shutdown()
    net.host.run("ip link del lab-other; nft delete table inet lab", user="root")
    assert differences(before, scan(net.host)) == []
    note_made(*types & set(NEEDS))
