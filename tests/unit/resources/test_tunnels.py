"""Taps, Tuns and tunnels: what they change on their hosts, on fake ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.model import Action, Interface, Result, State
from nepiq.controller.model.spec import Gate
from nepiq.controller.resources.linux.network.endpoint import Way, way
from nepiq.controller.resources.linux.network.tuntap import Tap, Tun
from nepiq.controller.resources.linux.network.udp_tunnel import UdpTunnel
from nepiq.controller.resources.linux.network.vxlan import VXLAN
from nepiq.controller.resources.linux.network.wireguard import WireGuard
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.netns.node import Node as Emulated
from nepiq.controller.resources.netns.remote_link import RemoteLink
from nepiq.controller.testing import Call, FakeHost, Harness

KEY = "A" * 43 + "="


def card(*addresses: str, mtu: int = 1500) -> Interface:
    return Interface("up", "02:00:00:00:00:01", mtu, addresses)


def machine(*addresses: str, kinds: str = "vxlan tun gre gretap", **cards: Interface) -> Any:
    """A host whose kernel answers what it shows of an interface."""
    host = FakeHost()
    host.facts = replace(
        host.facts,
        hostname="far",
        link_kinds=tuple(kinds.split()),
        interfaces={"eth0": card(*addresses), **cards},
    )

    def shown(call: Call) -> str:
        words = call.options.get("report", "").split()
        if "show" not in words:
            return ""
        end = f" {KEY} 50123" if "public-key;" in words else ""
        mtu = re.search(r" mtu (\d+)", call.command)
        link = {"ifname": words[5].strip(";"), "mtu": int(mtu[1]) if mtu else 1500}
        return json.dumps([link]) + end

    host.answer("^(ip|sh|mkdir) ", shown)
    return Harness(Node, host=host)


def changes(harness: Harness[Any]) -> list[str]:
    """The changes of its host, a line each."""
    return [
        line.removeprefix("sh ")
        for call in harness.host.calls
        if call.verb == "configure"
        for line in call.command.splitlines()
    ]


def pair(cls: Any, *, one: Any = None, two: Any = None, **settings: Any) -> tuple[Any, Any]:
    """Two ends that are connected to each other, on two machines."""
    first = Harness(cls, node=one or machine("10.0.0.1/24"), **settings)
    second = Harness(cls, node=two or machine("10.0.0.2/24"), **settings)
    for end, other in ((first, second), (second, first)):
        end._peers["peer"] = [other]
        if State.READY not in end._dependencies[0].milestones:
            end._dependencies[0].deploy()
    return first, second


# --- the way between two machines


def ends(one: Any, two: Any, **settings: Any) -> tuple[Way, Way]:
    first, second = pair(VXLAN, one=one, two=two, **settings)
    return way(first.rm, second.rm), way(second.rm, first.rm)


def test_both_ends_find_the_same_way() -> None:
    one = machine("192.168.5.1/24", eth1=card("10.9.0.1/16"), nqabc1=card("10.0.0.1/24"))
    two = machine("10.9.0.2/16", eth2=card("10.9.0.3/16", mtu=9000), nqdef1=card("10.0.0.2/24"))
    assert ends(one, two) == (Way("10.9.0.1", "10.9.0.2"), Way("10.9.0.2", "10.9.0.1"))
    # What was made on the machines, as by other runs, is better than nothing.
    one = machine("192.168.5.1/24", wg0=card("10.0.0.1/24", mtu=1420))
    two = machine("10.9.0.2/16", wg0=card("10.0.0.2/24", mtu=1420))
    assert ends(one, two)[0] == Way("10.0.0.1", "10.0.0.2", 1420)
    one, two = machine("10.9.0.1/16"), machine("10.9.0.2/16")
    assert ends(one, two, local="192.0.2.7")[0].local == "192.0.2.7"


def test_the_address_of_the_login_is_preferred() -> None:
    one = machine("10.9.0.1/16", eth1=card("10.8.0.1/16", "fd00::1/64"))
    two = machine("10.9.0.2/16", eth1=card("10.8.0.2/16", "fd00::2/64", mtu=1400))
    two.attributes["hostname"] = "10.8.0.2"
    assert ends(one, two)[0] == Way("10.8.0.1", "10.8.0.2", 1400)


def test_without_a_network_that_both_have_the_machine_chooses_its_address() -> None:
    assert ends(machine("10.1.0.1/24"), machine("10.2.0.1/24"))[0] == Way("", "10.2.0.1")
    both = [Interface("up", "", None, ("172.17.0.1/16",))] * 2
    one, two = machine("10.1.0.1/24", br=both[0]), machine("10.2.0.1/24", br=both[1])
    assert ends(one, two)[1].remote == "10.1.0.1"


def test_a_machine_without_an_address() -> None:
    with pytest.raises(HostError, match="no address is known by which localhost"):
        ends(machine("127.0.0.1/8"), machine("fe80::1/64"))


# --- VXLAN


def test_two_ends_of_a_vxlan() -> None:
    one, two = pair(VXLAN, ip="192.168.9.1")
    one.deploy()
    two.deploy()
    first, second = changes(one), changes(two)
    made = first[0].split()
    assert made[:3] == ["ip", "link", "add"]
    number = made[made.index("id") + 1]
    assert " ".join(made[4:]) == (
        f"type vxlan id {number} local 10.0.0.1 remote 10.0.0.2 dstport 4789"
    )
    assert f"id {number} local 10.0.0.2 remote 10.0.0.1" in second[0]
    # The header of IP 20, of UDP 8, of VXLAN 8 and the frame's own 14.
    assert f"ip link set {made[3]} mtu 1450" in first
    assert one.rm.deviceName == made[3]
    one.release()
    assert one.host.calls[-1].verb == "unconfigure"


def test_an_end_in_an_emulated_host_leaves_from_the_machine() -> None:
    node = machine("10.0.0.1/24")
    inside = Harness(Emulated, node=node)
    one, two = pair(VXLAN, one=inside, deviceName="eth0")
    one.deploy()
    (call,) = [call for call in one.host.calls if "vxlan" in call.command]
    made, marked, renamed, altname, *_ = call.options["changes"]
    space = inside.rm.network_namespace()
    assert made.netns == ""
    assert f" netns {space} type vxlan " in made.command
    assert (marked.netns, marked.undo.split()[:2]) == (None, ["link", "del"])
    assert renamed.command.endswith(" name eth0")
    assert altname.command.startswith("link property add dev eth0 altname nq")
    assert two.rm.way().remote == "10.0.0.1"


def test_a_remote_link_is_a_vxlan_in_an_emulated_network() -> None:
    near, far = machine("10.0.0.1/24"), machine("10.0.0.2/24")
    one = Harness(Emulated, node=near, label="paris", ip="10.255.0.1")
    two = Harness("netns::Switch", node=far, label="sw")
    left, right = pair(RemoteLink, one=one, two=two)
    left.attributes |= {"ip": "10.0.9.1", "ip6": "fd09::1", "deviceName": "eth0"}
    left.deploy()
    right.deploy()
    assert changes(left)[-2:] == [
        "echo 10.0.9.1 paris-eth0 >>/etc/hosts",
        "echo fd09::1 paris-eth0 >>/etc/hosts",
    ]
    assert right.rm.deviceName == f"eth{right.guid}"
    assert changes(right)[-1] == f"ip link set dev eth{right.guid} master switch"
    assert [end.rm.mtu for end in (left, right)] == [1450, 1450]
    right.attributes["ip"] = "10.0.9.2"
    with pytest.raises(InvalidValue, match="a port of sw has no address"):
        right.rm.validate(())
    with pytest.raises(InvalidValue, match="connect it to another netns::RemoteLink, or set"):
        Harness(RemoteLink, node=one).deploy()


@pytest.mark.parametrize(
    ("underlay", "fits"),
    [
        (("10.0.0.{}/24", 1500), 1450),
        (("fd00::{}/64", 1500), 1430),
        (("fd00::{}/64", 9000), 8930),
    ],
)
def test_one_ethernet_has_the_mtu_of_its_narrowest_tunnel(
    underlay: tuple[str, int], fits: int
) -> None:
    """A switch, hosts at it, one of them on another machine: IPv6 takes 20 bytes more than IPv4."""
    text, mtu = underlay
    near, far = (machine(eth1=card(text.format(number), mtu=mtu)) for number in (1, 2))
    for node in (near, far):
        node.deploy()
    switch = Harness("netns::Switch", node=near, label="sw", over=[far])
    host = Harness(Emulated, node=near, label="a")
    link = Harness("netns::Link", ends=[host, switch], host=near.host)
    port = Harness("netns::NodeInterface", node=host, switch=switch, host=near.host)
    ends = pair(RemoteLink, one=switch, two=Harness(Emulated, node=far, label="b"))
    for resource in (*ends, link, port):
        resource.deploy()
    made = [line.split() for line in changes(link) if "type veth" in line]
    sizes = [words[at + 1] for words in made for at, word in enumerate(words) if word == "mtu"]
    assert sizes == [str(fits)] * 4
    assert [end.rm.mtu for end in (*ends, port)] == [fits] * 3


def test_an_ethernet_over_three_machines_has_one_mtu() -> None:
    """Two have IPv4 in common; the third has IPv6 only, whose MTU is that of all links."""
    one = machine("10.0.0.1/24", "fd00::1/64")
    two = machine("10.0.0.2/24", "fd00::2/64")
    three = machine("fd00::3/64")
    for node in (one, two, three):
        node.deploy()
    switch = Harness("netns::Switch", node=one, label="sw", over=[two, three])
    inside = Harness(Emulated, node=two, label="b")
    ends = pair(RemoteLink, one=switch, two=inside)
    for end in ends:
        end.deploy()
    assert "remote 10.0.0.2" in ends[0].rm.kind(None)
    assert [end.rm.mtu for end in ends] == [1430, 1430]
    given = pair(RemoteLink, one=switch, two=inside)
    given[0].attributes["mtu"] = 1300
    for end in given:
        end.deploy()
    assert [end.rm.mtu for end in given] == [1300, 1300]
    with pytest.raises(InvalidValue, match="b is an emulated host"):
        Harness("netns::Switch", node=one, over=[inside]).deploy()


def test_what_an_end_reports_is_not_copied() -> None:
    one, _ = pair(VXLAN, deviceName="data0")
    one.deploy()
    assert one.rm.mtu == 1450
    reported = VXLAN.reported(one.attributes)
    assert "mtu" in reported
    assert "deviceName" not in reported


def test_mtus_of_both_ends_are_equal() -> None:
    one, two = pair(VXLAN, two=machine("10.0.0.2/24", kinds="vxlan"))
    one.attributes["mtu"] = 1200
    two.deploy()
    assert any(line.endswith(" mtu 1200") for line in changes(two))


def test_what_is_no_vxlan() -> None:
    node = machine("10.0.0.1/24")
    with pytest.raises(InvalidValue, match="connect it to another"):
        Harness(VXLAN, node=node).deploy()
    with pytest.raises(InvalidValue, match="set vni"):
        Harness(VXLAN, node=node, remote="10.0.0.9").deploy()
    with pytest.raises(InvalidValue, match="both ends are on one machine"):
        pair(VXLAN, one=node, two=node)[0].deploy()
    same = [machine("10.0.0.1/24"), machine("10.0.0.1/24")]
    with pytest.raises(HostError, match="are on one machine"):
        pair(VXLAN, one=same[0], two=same[1])[0].deploy()


def test_a_foreign_end() -> None:
    end = Harness(VXLAN, node=machine("10.0.0.1/24"), remote="fd00::9", vni=7, port=8472)
    end.deploy()
    assert changes(end)[0].endswith(" type vxlan id 7 remote fd00::9 dstport 8472")
    assert any(line.endswith(" mtu 1430") for line in changes(end))


@pytest.mark.parametrize(
    ("kind", "module"), [("vxlan", "vxlan"), ("gretap", "ip_gre"), ("tun", "tun")]
)
def test_a_kernel_without_the_kind_is_told_before_anything_is_made(kind: str, module: str) -> None:
    node = machine("10.0.0.1/24", kinds="bridge")
    if kind == "vxlan":
        end = pair(VXLAN, one=node)[0]
    else:
        end = tunnel("linux::GRETunnel" if kind == "gretap" else "", Tap, one=node)[0]
    with pytest.raises(HostError, match=f"the kernel of far has no links of kind {kind}") as error:
        end.deploy()
    assert f"modprobe {module} " in error.value.hint
    assert changes(end) == []


# --- Tap and Tun


def test_a_tap_has_neps_name_and_attributes() -> None:
    tap = Harness(
        "LinuxTap",
        node=machine(),
        ip="192.168.1.1",
        prefix="24",
        greKey="37",
        pointopoint="192.168.1.2",
        txqueuelen=50,
        pi=True,
    )
    tap.deploy()
    name = tap.rm.deviceName
    assert name.startswith("tap")
    assert len(name) <= 15
    assert changes(tap) == [
        f"ip tuntap add {name} mode tap pi user user",
        f"ip link set {name} alias nepiq:run.{tap.guid}",
        f"ip link set {name} txqueuelen 50",
        f"ip address add 192.168.1.1 peer 192.168.1.2/24 dev {name}",
        f"ip link set {name} up",
    ]
    tap.release()
    assert [call.verb for call in tap.host.calls][-1] == "unconfigure"
    assert tap.rm.greKey == 37
    for wrong in ("33", "x", -1, True):
        with pytest.raises(InvalidValue, match="prefix cannot be"):
            Harness(Tap, node=machine(), prefix=wrong)


def test_dev_net_tun_is_missing() -> None:
    host = FakeHost()
    host.answer("tuntap add", Result(69, b"", b"ip: open: No such file or directory"))
    host.facts = replace(host.facts, link_kinds=None)
    node = Harness(Node, host=host)
    with pytest.raises(HostError, match=r"/dev/net/tun cannot be opened .*No such file") as error:
        Harness(Tun, node=node).deploy()
    assert "modprobe tun" in error.value.hint


# --- tunnels between two of them


def tunnel(
    rtype: str, cls: Any, *, one: Any = None, two: Any = None, **settings: Any
) -> tuple[Any, Any, Any]:
    first = Harness(cls, node=one or machine("10.0.0.1/24"))
    second = Harness(cls, node=two or machine("10.0.0.2/24"))
    for end in (first, second):
        end._dependencies[0].deploy()
    if not rtype:
        return first, second, None
    middle: Any = Harness(rtype, ends=[first, second], **settings)
    first._peers["tunnel"] = second._peers["tunnel"] = [middle]
    return first, second, middle


def test_gre_between_two_taps_and_two_tuns() -> None:
    for cls, kind, mtu in ((Tap, "gretap", 1458), (Tun, "gre", 1472)):
        one, two, middle = tunnel("linux::GRETunnel", cls)
        one.deploy()
        two.deploy()
        middle.deploy()
        name = one.rm.deviceName
        assert name.startswith(cls.mode)
        assert changes(one)[0] == (
            f"ip link add {name} type {kind} local 10.0.0.1 remote 10.0.0.2 key 1"
        )
        assert f"ip link set {name} mtu {mtu}" in changes(one)


def test_gre_over_ipv6() -> None:
    nodes = [machine(f"fd00::{n}/64", kinds="ip6gretap") for n in (1, 2)]
    one, *_ = tunnel("linux::GRETunnel", Tap, one=nodes[0], two=nodes[1])
    one.deploy()
    assert "type ip6gretap local fd00::1 remote fd00::2 key 1 encaplimit none" in changes(one)[0]


def launched(end: Any) -> dict[str, str]:
    (call,) = [call for call in end.host.calls if call.verb == "supervise"]
    assert call.options["sudo"]
    assert b"TUNSETIFF" in call.stdin
    words = [word.strip("'") for word in call.command.split()]
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_one_end_of_a_udp_tunnel_listens_and_the_other_one_calls_it() -> None:
    one, two, middle = tunnel("linux::UdpTunnel", Tap, bwLimit=125000, txQueueLen=7)
    two.host.files[f"/home/user/.nepiq/run/1/{two.guid}/1/stdout"] = b"port 40123\n"
    two.deploy()
    one.deploy()
    middle.deploy()
    assert two.rm.port == 40123
    listens, calls = launched(two), launched(one)
    assert (listens["local"], listens["remote"], listens["port"]) == ("10.0.0.2", "", "0")
    assert (calls["local"], calls["remote"], calls["port"]) == ("10.0.0.1", "10.0.0.2", "40123")
    assert calls["word"] == listens["word"]
    name = one.rm.deviceName
    assert f"ip link set {name} txqueuelen 7" in changes(one)
    assert any(
        line.startswith(f"tc qdisc add dev {name} root tbf rate 125000bps") for line in changes(one)
    )
    assert f"ip link set {name} mtu 1458" in changes(one)
    one.release()
    assert [call.verb for call in one.host.calls][-2:] == ["clear", "unconfigure"]


def test_no_answer_by_udp() -> None:
    one, two, _ = tunnel("linux::UdpTunnel", Tun)
    two.attributes["port"] = 9
    one.host.answer("python3 -", Result(1, b"", b"no answer from 10.0.0.2\n"))
    with pytest.raises(HostError, match=r"no answer from 10\.0\.0\.2") as error:
        one.deploy()
    assert error.value.hint == "let UDP to port 9 of 10.0.0.2 through the firewalls"


def test_no_python() -> None:
    one, *_ = tunnel("linux::UdpTunnel", Tun)
    one.host.absent.add("python3")
    with pytest.raises(HostError, match="no python3"):
        one.deploy()


def test_what_is_no_tunnel() -> None:
    with pytest.raises(InvalidValue, match="must be PLAIN") as error:
        Harness(UdpTunnel, ends=[], cipher="AES")
    assert "linux::WireGuard" in error.value.hint
    *_, middle = tunnel("linux::UdpTunnel", Tap)
    middle._peers["ends"].pop()
    with pytest.raises(InvalidValue, match="connect it to two interfaces"):
        middle.rm.validate(())
    *_, middle = tunnel("linux::UdpTunnel", Tap)
    middle._peers["ends"][0].attributes["pi"] = True
    with pytest.raises(InvalidValue, match="differ in pi"):
        middle.rm.validate(())
    one, *_ = tunnel("linux::UdpTunnel", Tap, one=Harness(Emulated, node=machine("10.0.0.1/24")))
    with pytest.raises(InvalidValue, match="cannot end in an emulated host"):
        one.deploy()


# --- WireGuard


def test_wireguard_by_the_kernel() -> None:
    nodes = [machine(f"10.0.0.{n}/24", kinds="wireguard") for n in (1, 2)]
    one, two = pair(WireGuard, one=nodes[0], two=nodes[1], ip="192.168.9.1")
    two.attributes.update(publicKey=KEY, port=50124, joined=True)
    one.deploy()
    name = one.rm.deviceName
    lines = changes(one)
    assert lines[:2] == [
        f"ip link add {name} type wireguard",
        f"wg genkey | wg set {name} private-key /dev/stdin",
    ]
    assert f"ip link set {name} mtu 1440" in lines
    (called,) = [call for call in one.host.calls if call.verb == "run"]
    assert called.options["sudo"]
    assert called.command.startswith(
        f"wg set {name} peer {KEY} persistent-keepalive 0 allowed-ips 0.0.0.0/0,::/0 "
        "endpoint 10.0.0.2:50124 && "
    )
    assert (one.rm.publicKey, one.rm.port, one.rm.driver) == (KEY, 50123, "kernel")
    assert "port" in WireGuard.reported(one.attributes)


def test_the_first_end_calls_when_the_second_one_knows_its_key() -> None:
    nodes = [machine(f"fd00::{n}/64", kinds="wireguard") for n in (1, 2)]
    one, two = pair(WireGuard, one=nodes[0], two=nodes[1], keepalive="25s")
    two.host.clock.at(0.5, lambda: one.attributes.update(publicKey=KEY, port=8))
    two.deploy()
    assert two.host.clock() > 0.5
    assert two.host.calls[-1].command == (
        f"wg set {two.rm.deviceName} peer {KEY} persistent-keepalive 25 allowed-ips 0.0.0.0/0,::/0"
    )
    two.attributes["joined"] = None
    one.host.clock.at(0.7, lambda: two.attributes.update(joined=True))
    one.deploy()
    assert one.host.clock() > 0.7
    assert " endpoint [fd00::2]:50123 && " in one.host.calls[-1].command
    assert any(line.endswith(" mtu 1420") for line in changes(one))


def test_an_end_of_wireguard_that_nobody_answers() -> None:
    nodes = [machine(f"10.0.0.{n}/24", kinds="wireguard") for n in (1, 2)]
    one, two = pair(WireGuard, one=nodes[0], two=nodes[1])
    two.attributes.update(publicKey=KEY, port=9, joined=True)
    one.host.answer("latest-handshakes", 99)
    with pytest.raises(HostError, match="does not answer by UDP within 12 s") as error:
        one.deploy()
    assert error.value.hint == "let UDP to port 9 of localhost through the firewalls"


def test_wireguard_by_a_program() -> None:
    one, two = pair(WireGuard)
    two.attributes.update(publicKey=KEY, port=50124, joined=True)
    one.deploy()
    name = one.rm.deviceName
    (call,) = [call for call in one.host.calls if "genkey" in call.command]
    made = call.options["changes"][0]
    assert made.command.endswith(f" wireguard-go {name} 2>/dev/null")
    assert made.undo == f"ip link del {name} 2>/dev/null; rm -f /run/wireguard/{name}.sock"
    assert one.rm.driver == "wireguard-go"


def test_neither_wireguard_nor_its_program() -> None:
    one, _ = pair(WireGuard)
    one.host.absent.add("wireguard-go")
    with pytest.raises(HostError, match="neither in its kernel nor as a program") as error:
        one.deploy()
    assert "package wireguard-go" in error.value.hint
    assert changes(one) == []
    one, _ = pair(WireGuard)
    one.host.absent.add("wg")
    with pytest.raises(HostError, match="no wg"):
        one.deploy()
    assert changes(one) == []


# --- the order of deployments


def described() -> tuple[Description, list[int]]:
    description = Description()
    nodes = [description.add("linux::Node", hostname=name) for name in ("a", "b")]
    return description, nodes


def needs(description: Description, guid: int) -> set[int]:
    return {
        gate.target
        for gate in description.spec(guid).gates
        if gate == Gate("deploy", gate.target, "READY", need=True)
    }


def test_ends_wait_for_the_machine_of_each_other() -> None:
    description, nodes = described()
    ends = [description.add("linux::VXLAN", node=node) for node in nodes]
    description.connect(*ends)
    assert needs(description, ends[0]) == needs(description, ends[1]) == set(nodes)
    description.check()
    assert description.host_of(ends[1]) == nodes[1]


def test_the_end_that_calls_waits_for_the_one_that_listens() -> None:
    description, nodes = described()
    taps = [description.add("linux::Tap", node=node) for node in nodes]
    middle = description.add("linux::UdpTunnel", ends=taps)
    assert needs(description, taps[0]) == {nodes[0], taps[1]}
    assert needs(description, taps[1]) == set(nodes)
    assert needs(description, middle) == set(taps)
    description.check()
    description.condition(taps[1], Action.DEPLOY, taps[0], "READY")
    with pytest.raises(Exception, match="wait for each other"):
        description.check()
