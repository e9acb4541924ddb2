"""Interfaces that a host has: which one is chosen, what is changed, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.network.features import note_made
from tests.e2e.network.looks import differences, interface, scan
from tests.stand import Stand, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "ip"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("host-network"),
]

#: Interfaces that somebody made, with addresses and routes of theirs.
THEIRS = """
link add data0 address 02:00:00:00:00:10 mtu 1450 type veth peer name data1
link add spare0 type veth peer name spare1
link set data0 alias "cable 7"
address add 10.8.0.1/24 dev data0
address add fd08::1/64 dev data0 nodad
link set data0 up
link set data1 up
link set spare0 up
route add 10.9.0.0/16 via 10.8.0.2
route add fd09::/64 via fd08::2
route add 10.10.0.0/16 dev data0 metric 5
"""


@pytest.fixture
def host(shared_testbed: Testbed) -> Iterator[Host]:
    host = shared_testbed.hosts[1]
    host.run("ip -batch -", user="root", text=THEIRS)
    # The kernel reports both ends of a pair as up a moment after it has set them up.
    pair = ("data0", "data1")
    until(
        lambda: all(interface(host, name)["operstate"] == "UP" for name in pair),
        10.0,
        "an interface is not up",
    )
    yield host
    shared_testbed.reset()


@pytest.fixture
def ec(stand: Stand, host: Host) -> Iterator[ExperimentController]:
    with stand.experiment("interfaces", quiet=True) as ec:
        ec.register_resource("linux::Node", label="here", hostname=host.name)
        yield ec


def make(ec: ExperimentController, label: str, on: str = "here", **settings: Any) -> None:
    ec.register_resource("linux::Interface", label=label, connectedTo=on, **settings)


def deployed(ec: ExperimentController) -> None:
    ec.deploy()
    assert ec.wait_deployed(timeout=60), ec.failures


def test_one_is_chosen_changed_and_comes_back(ec: ExperimentController, host: Host) -> None:
    before = scan(host)
    make(ec, "data")
    make(ec, "other", mac=interface(host, "data1")["address"], mtu=1200, ip4="10.8.9.9")
    ec.register_resource("linux::Channel", label="rack")
    ec.register_connection("data", "rack")
    deployed(ec)
    # Not eth0, which carries our connection.
    chosen = {name: ec.get("data", name) for name in ("deviceName", "ip4", "mask4", "ip6", "mask6")}
    assert chosen == {
        "deviceName": "data0",
        "ip4": "10.8.0.1",
        "mask4": "255.255.255.0",
        "ip6": "fd08::1",
        "mask6": 64,
    }
    assert (ec.get("data", "mtu"), ec.get("data", "up")) == (1450, True)
    assert ec.get("data", "mac") == "02:00:00:00:00:10"
    assert ec.get("other", "deviceName") == "data1"
    assert interface(host, "data1")["mtu"] == 1200
    assert {it["local"] for it in interface(host, "data1")["addr_info"]} >= {"10.8.9.9"}
    ec.set("data", "mtu", 1400)
    ec.set("data", "mtu", 1250)
    assert interface(host, "data0")["mtu"] == ec.get("data", "mtu") == 1250
    ec.set("data", "up", False)
    assert "UP" not in interface(host, "data0")["flags"]
    assert "10.9.0.0" not in host.run("ip route").stdout
    ec.set("data", "up", True)
    assert "10.9.0.0/16 via 10.8.0.2 dev data0" in host.run("ip route").stdout
    ec.set("data", "up", False)
    ec.shutdown()
    assert differences(before, scan(host)) == []


def test_two_resources_do_not_change_one_interface(
    ec: ExperimentController, stand: Stand, host: Host
) -> None:
    make(ec, "data", deviceName="data0", mtu=1400)
    deployed(ec)
    with stand.experiment("interfaces-too", quiet=True) as other:
        other.register_resource("linux::Node", label="here", hostname=host.name)
        make(other, "look", deviceName="data0")
        make(other, "change", deviceName="data0", mtu=1300, critical=False)
        make(other, "none", deviceName="data7", critical=False)
        make(other, "ours", deviceName="eth0", up=False, critical=False)
        other.deploy()
        until(lambda: len(other.failures) == 3, 30.0, "they were not refused")
        errors = {failure.label: failure for failure in other.failures}
        assert "data0 is used by another resource or run" in errors["change"].message
        assert "has no interface data7" in errors["none"].message
        assert "data0, " in errors["none"].hint
        assert "eth0 cannot be set down: host-2 is reached by it" in errors["ours"].message
        until(lambda: other.get("look", "mtu") == 1400, 30.0, "to look is allowed")
    assert interface(host, "data0")["mtu"] == 1400


def test_addresses_of_others_stay(ec: ExperimentController, host: Host) -> None:
    """The kernel removes those of a network with the one that was first there."""
    before = scan(host)
    settings = {"connectedTo": "here", "device": "spare0"}
    ec.register_resource("linux::Address", label="first", ip="10.7.0.1", **settings)
    deployed(ec)
    host.run("ip address add 10.7.0.2/24 dev spare0", user="root")
    ec.release(["first"])
    assert interface(host, "spare0")["addr_info"][0]["local"] == "10.7.0.2"
    host.run("ip address del 10.7.0.2/24 dev spare0", user="root")
    ec.shutdown()
    assert differences(before, scan(host)) == []


@pytest.mark.parametrize("all_at_once", [True, False])
def test_it_goes_home_before_its_namespace_ends(
    ec: ExperimentController, host: Host, all_at_once: bool
) -> None:
    """mininet 706"""
    before = scan(host)
    ec.register_resource("netns::Node", label="inside", connectedTo="here")
    make(ec, "data", "inside", deviceName="data0", fromMachine=True, ip4="10.8.0.77", mtu=1280)
    deployed(ec)
    space = ec.get("inside", "namespace")
    assert "data0" not in host.run("ls /sys/class/net").stdout
    inside = host.run(f"ip -n {space} -o address show data0", user="root").stdout
    assert "10.8.0.77/24" in inside
    assert ec.get("data", "deviceName") == "data0"
    if all_at_once:
        ec.shutdown()
    else:
        ec.release(["data"])
        assert "data0" in host.run("ls /sys/class/net").stdout
        ec.shutdown()
    assert differences(before, scan(host)) == []
    note_made("linux::Interface")


def test_bridged(ec: ExperimentController, host: Host) -> None:
    before = scan(host)
    make(ec, "data", deviceName="data0")
    make(ec, "spare", deviceName="spare0")
    ec.register_resource("linux::Bridge", label="switch", connectedTo="here")
    for port in ("data", "spare"):
        ec.register_connection("switch", port)
    deployed(ec)
    assert interface(host, "spare0")["master"] == ec.get("switch", "deviceName")
    ec.shutdown()
    assert differences(before, scan(host)) == []
