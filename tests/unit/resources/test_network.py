"""Types of networks: their changes, on a fake host."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.e2e.network.features import NEEDS, PAGE

from nepiq.controller.errors import HostError, InvalidValue, NotAllowed
from nepiq.controller.model import Change, Context, Deadline, Result, device_name
from nepiq.controller.resources import CATALOGUE
from nepiq.controller.resources.linux.network.found import Found, routes_of
from nepiq.controller.resources.linux.network.impairment import Impairment
from nepiq.controller.resources.linux.network.kernel import module_of
from nepiq.controller.resources.linux.network.packet_filter import Forwards, NftRules, Ports
from nepiq.controller.resources.linux.network.values import (
    InterfaceName,
    Network,
    PrefixLength,
    Rate,
    Table,
)
from nepiq.controller.testing import FakeHost, Harness

SHOWN = json.dumps([{"ifname": "x0", "mtu": 1500, "address": "02:00:00:00:00:09"}])


@pytest.fixture
def node() -> Harness[Any]:
    made = Harness("linux::Node")
    made.host.facts = replace(made.host.facts, link_kinds=("bridge", "macvlan", "veth", "vlan"))
    made.host.answer("link add", SHOWN)
    return made


def changes(host: FakeHost) -> list[Change]:
    """The changes that were made last."""
    call = next(call for call in reversed(host.calls) if call.verb == "configure")
    made: list[Change] = call.options["changes"]
    return made


def lines(host: FakeHost) -> list[tuple[str, str]]:
    return [(change.command, change.undo) for change in changes(host)]


def name(of: Harness[Any]) -> str:
    return device_name("run", of.guid)


def interface(node: Harness[Any], label: str = "eth1") -> Harness[Any]:
    """An interface that the node has."""
    node.host.answer("ip -j -d address", shown(label))
    return Harness("linux::Interface", node=node, deviceName=label)


def shown(*names: str, **more: Any) -> str:
    """The answer of a host with such interfaces, to all that is looked at."""
    return "\n".join(
        ['"10.0.0.9 4000 10.0.0.1 22"', json.dumps([link(it, **more) for it in names]), "[]", "[]"]
    )


def link(name: str, **more: Any) -> dict[str, Any]:
    number = int(name.strip("abcdefghijklmnopqrstuvwxyz") or 0)
    return {
        "ifindex": 10 + number,
        "ifname": name,
        "flags": ["BROADCAST", "UP"],
        "mtu": 1500,
        "operstate": "UP",
        "link_type": "ether",
        "address": f"02:00:00:00:00:{number:02}",
        "addr_info": [{"family": "inet", "local": f"10.0.{number}.1", "prefixlen": 24}],
        **more,
    }


class TestStacked:
    def test_a_vlan(self, node: Harness[Any]) -> None:
        vlan = Harness("linux::Vlan", node=node, over=interface(node), vlan=7, ip="10.7.0.1")
        vlan.deploy()
        it = name(vlan)
        assert lines(node.host)[0] == (
            f"link add link eth1 {it} type vlan protocol 802.1Q id 7",
            f"link del {it}",
        )
        assert (f"address add 10.7.0.1/24 dev {it}", "") in lines(node.host)

    def test_a_macvlan_in_an_emulated_host(self, node: Harness[Any]) -> None:
        inside = Harness("netns::Node", node=node)
        card = interface(node)
        macvlan = Harness("linux::Macvlan", node=inside, over=card, deviceName="eth0", up=False)
        macvlan.deploy()
        space = inside.attributes["namespace"]
        assert changes(node.host) == [
            Change(
                f"link add link eth1 name eth0 netns {space} type macvlan mode bridge", netns=""
            ),
            Change("", "link del eth0"),
        ]

    @pytest.mark.parametrize("settings", [{}, {"parent": "eth1", "over": True}])
    def test_one_parent(self, node: Harness[Any], settings: dict[str, Any]) -> None:
        if "over" in settings:
            settings["over"] = interface(node)
        with pytest.raises(InvalidValue, match="give it parent="):
            Harness("linux::Macvlan", node=node, **settings).deploy()

    def test_a_kernel_without_the_kind(self, node: Harness[Any]) -> None:
        """chaos-mesh 1389: it "ran" and did nothing"""
        node.host.facts = replace(node.host.facts, link_kinds=("bridge",))
        for kind, module, settings in (
            ("vlan", "8021q", {"vlan": 7}),
            ("macvlan", "macvlan", {}),
        ):
            made = Harness(f"linux::{kind.title()}", node=node, parent="eth1", **settings)
            with pytest.raises(HostError, match=f"fake has no links of kind {kind}") as caught:
                made.deploy()
            assert f"modprobe {module} (package linux-modules-extra" in caught.value.hint
        assert not [call for call in node.host.calls if call.verb == "configure"]
        node.host.facts = replace(node.host.facts, link_kinds=None)
        Harness("linux::Vlan", node=node, parent="eth1", vlan=7).deploy()


class TestBridge:
    def test_ports_are_set_free_with_it(self, node: Harness[Any]) -> None:
        bridge = Harness("linux::Bridge", node=node, ports=[interface(node)])
        bridge.deploy()
        it = name(bridge)
        assert lines(node.host)[:2] == [
            (f"link add {it} type bridge stp_state 0", f"link del {it}"),
            (f"link set eth1 master {it}", ""),
        ]

    def test_ports_elsewhere(self, node: Harness[Any]) -> None:
        bridge = Harness("linux::Bridge", node=Harness("linux::Node"), ports=[interface(node)])
        with pytest.raises(InvalidValue, match=r"its port interface-\d+ is on node-"):
            bridge.deploy()


class TestAddress:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            ({"ip": "10.0.0.5"}, "10.0.0.5/24 dev eth0"),
            ({"ip": "10.0.0.5", "prefix": "255.255.0.0"}, "10.0.0.5/16 dev eth0"),
            ({"ip": "FD00::5"}, "fd00::5/64 dev eth0"),
        ],
    )
    def test_by_name(self, node: Harness[Any], settings: dict[str, Any], line: str) -> None:
        Harness("linux::Address", node=node, device="eth0", **settings).deploy()
        made = changes(node.host)
        nodad = " nodad" if "::" in line else ""
        assert made[0].command == f"address add {line}{nodad}"
        assert f"address del {line}" in made[-1].undo
        # Of an interface that others may use, the addresses of others stay.
        assert ("promote_secondaries" in made[-1].undo) == (not nodad)

    def test_of_a_resource(self, node: Harness[Any]) -> None:
        bridge = Harness("linux::Bridge", node=node)
        Harness("linux::Address", interface=bridge, ip="10.0.0.5").deploy()
        assert lines(node.host)[0][0] == "address add 10.0.0.5/24 dev x0"

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "give it device="),
            ({"device": "eth0", "prefix": 64}, "prefix 64 is too long"),
        ],
    )
    def test_refused(self, node: Harness[Any], settings: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidValue, match=message):
            Harness("linux::Address", node=node, ip="10.0.0.5", **settings).deploy()

    def test_nowhere(self) -> None:
        with pytest.raises(InvalidValue, match="connect it to an interface or to a node"):
            Harness("linux::Address", ip="10.0.0.5", device="eth0").deploy()


class TestRoute:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            (
                {"network": "10.2.0.0", "prefix": "24", "nexthop": "10.0.0.2"},
                "10.2.0.0/24 via 10.0.0.2",
            ),
            ({"network": "10.2.0.0/24", "device": "eth0"}, "10.2.0.0/24 dev eth0"),
            ({"network": "10.2.0.7", "device": "eth0"}, "10.2.0.7/32 dev eth0"),
            ({"network": "default", "nexthop": "fd00::2"}, "::/0 via fd00::2"),
            (
                {"network": "default", "nexthop": "10.0.0.2", "metric": 5, "table": 100},
                "0.0.0.0/0 via 10.0.0.2 metric 5 table 100",
            ),
        ],
    )
    def test_it_bears_our_mark(
        self, node: Harness[Any], settings: dict[str, Any], line: str
    ) -> None:
        Harness("linux::Route", node=node, **settings).deploy()
        assert lines(node.host) == [(f"route add {line} proto 113", f"route del {line} proto 113")]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"network": "10.2.0.0/24"}, "give it nexthop= or device="),
            ({"network": "10.2.0.0/24", "prefix": 24, "device": "e"}, "give the prefix in network"),
            ({"network": "10.2.0.1", "prefix": 24, "device": "e"}, "network and prefix: must be"),
            ({"network": "10.2.0.0/24", "nexthop": "fd00::1"}, "cannot be by way of fd00::1"),
        ],
    )
    def test_refused(self, node: Harness[Any], settings: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidValue, match=message):
            Harness("linux::Route", node=node, **settings).deploy()

    def test_rules(self, node: Harness[Any]) -> None:
        for settings, line in (
            ({"source": "10.2.0.0/24"}, "from 10.2.0.0/24 priority 9 lookup 100"),
            ({"ipv6": True, "mark": 7}, "from ::/0 fwmark 7 priority 9 lookup 100"),
            (
                {"source": "default", "destination": "fd00::/64", "incoming": "eth0"},
                "from ::/0 to fd00::/64 iif eth0 priority 9 lookup 100",
            ),
        ):
            Harness("linux::Rule", node=node, priority=9, table=100, **settings).deploy()
            assert lines(node.host) == [
                (f"rule add {line} protocol 113", f"rule del {line} protocol 113")
            ]
        both = {"source": "10.2.0.0/24", "destination": "fd00::/64"}
        with pytest.raises(InvalidValue, match="do not go together"):
            Harness("linux::Rule", node=node, priority=9, table=100, **both).deploy()


class TestFirewall:
    def test_rules_in_a_table_of_its_own(self, node: Harness[Any]) -> None:
        wall = Harness(
            "linux::Firewall",
            node=node,
            policy="drop",
            verdict="accept",
            port="80,443",
            source="10.0.0.0/8",
            rules=["udp dport 53 accept", ""],
        )
        wall.deploy()
        table = f"inet {name(wall)}"
        assert {change.tool for change in changes(node.host)} == {"nft"}
        add = f"add rule {table} input"
        chain = f"add chain {table} input {{ type filter hook input priority 0 ; policy"
        described = f"{add} ip saddr 10.0.0.0/8 tcp dport {{ 80, 443 }} counter accept"
        assert lines(node.host)[0] == (f"create table {table}", f"delete table {table}")
        assert [change.command for change in changes(node.host)[1:]] == [
            f"{chain} drop ; }}",
            f'{add} iifname "lo" accept',
            f"{add} ct state established,related accept",
            f"{add} tcp dport 22 accept",
            f"{add} icmpv6 type {{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, "
            "nd-neighbor-advert } accept",
            described,
            f"{add} udp dport 53 accept",
        ]
        wall.set("policy", "accept")
        assert [change.command for change in changes(node.host)] == [
            f"{chain} accept ; }}",
            f"flush chain {table} input",
            described,
            f"{add} udp dport 53 accept",
        ]
        assert node.host.calls[-1].options["anew"] is False

    @pytest.mark.parametrize(
        ("hook", "ssh"),
        [
            ("prerouting", "tcp dport 22 accept"),
            ("output", "tcp sport 22 accept"),
            ("postrouting", "tcp sport 22 accept"),
            ("forward", None),
        ],
    )
    def test_a_machine_stays_within_reach(
        self, node: Harness[Any], hook: str, ssh: str | None
    ) -> None:
        Harness("linux::Firewall", node=node, policy="drop", hook=hook).deploy()
        ends = [change.command.partition(f" {hook} ")[2] for change in changes(node.host)[2:]]
        kept = [end for end in ends if end.endswith("accept")]
        assert (ssh in kept, len(kept)) == ((True, 4) if ssh else (False, 0))

    def test_one_that_does_nothing_is_refused(self, node: Harness[Any]) -> None:
        with pytest.raises(InvalidValue, match="lets everything through"):
            Harness("linux::Firewall", node=node).deploy()

    def test_a_host_without_nft(self, node: Harness[Any]) -> None:
        node.host.absent.add("nft")
        for it in (
            Harness("linux::Firewall", node=node, policy="drop"),
            Harness("linux::Nat", node=node, device="eth0"),
        ):
            with pytest.raises(HostError, match="fake lacks the program nft") as caught:
                it.deploy()
            assert "package nftables" in caught.value.hint


class TestNat:
    def test_masquerade_and_ports(self, node: Harness[Any]) -> None:
        nat = Harness(
            "linux::Nat",
            node=node,
            device="eth0",
            source="10.1.0.0/24",
            forwards="80:10.1.0.2:8080",
        )
        nat.deploy()
        table = f"ip {name(nat)}"
        rule = "fib daddr type local tcp dport 80 dnat to 10.1.0.2:8080"
        commands = [change.command for change in changes(node.host)]
        assert commands[0] == "net.ipv4.ip_forward=1"
        assert (
            f'add rule {table} postrouting ip saddr 10.1.0.0/24 oifname "eth0" masquerade'
            in commands
        )
        assert f"add rule {table} prerouting {rule}" in commands
        assert f"add rule {table} output {rule}" in commands

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "give it source="),
            ({"source": "fd00::/64"}, "not a network of IPv4"),
            ({"masquerade": False}, "it does nothing"),
        ],
    )
    def test_refused(self, node: Harness[Any], settings: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidValue, match=message):
            Harness("linux::Nat", node=node, **settings).deploy()


class TestSysctl:
    def test_it_is_set_and_changed(self, node: Harness[Any]) -> None:
        it = Harness("linux::Sysctl", node=node, key="net.ipv4.tcp_rmem", value="4096 8192 65536")
        it.deploy()
        assert changes(node.host) == [Change("net.ipv4.tcp_rmem=4096 8192 65536", tool="sysctl")]
        it.set("value", 7)
        assert changes(node.host) == [Change("net.ipv4.tcp_rmem=7", tool="sysctl")]

    def test_settings_of_the_machine(self, node: Harness[Any]) -> None:
        inside = Harness("netns::Node", node=node)
        with pytest.raises(InvalidValue, match=r"vm\.swappiness is a setting of the whole machine"):
            Harness("linux::Sysctl", node=inside, key="vm.swappiness", value=1).deploy()


class TestInterface:
    def test_what_is_reported_is_no_part_of_a_description(self, node: Harness[Any]) -> None:
        it = interface(node)
        it.deploy()
        assert it.attributes["mask4"] == "255.255.255.0"
        names = it.cls.reported(it.attributes)
        assert set(names) == {"filled", "former", "ip4", "mac", "mask4", "mtu", "up"}
        bridge = Harness("linux::Bridge", node=node, mtu=1500)
        bridge.deploy()
        assert set(bridge.cls.reported(bridge.attributes)) == {"deviceName", "filled", "mac"}

    def test_the_choice(self, node: Harness[Any]) -> None:
        """Neither the loopback, nor what carries our connection, nor what is part of something."""
        links = [
            link("lo", flags=["UP", "LOOPBACK"], operstate="UNKNOWN"),
            link("eth0", addr_info=[{"local": "10.0.0.1", "prefixlen": 24}]),
            link("eth1", master="br0"),
            link("eth2", flags=["BROADCAST"], operstate="DOWN"),
            link("docker0", linkinfo={"info_kind": "bridge"}),
            link("eth3", ifalias="nepiq:run.1"),
            link("eth4", addr_info=[]),
            link("eth7", addr_info=[], linkinfo={"info_kind": "veth"}),
            link("eth5", linkinfo={"info_kind": "veth"}),
            link("eth6"),
        ]
        chosen = []
        for _ in range(4):
            answer = ["10.0.0.9 4000 10.0.0.1 22", links, [], []]
            node.host.answer("ip -j -d address", "\n".join(map(json.dumps, answer)))
            it = Harness("linux::Interface", node=node)
            it.deploy()
            chosen.append(it.attributes["deviceName"])
            links = [known for known in links if known["ifname"] != chosen[-1]]
        assert chosen == ["eth6", "eth5", "eth4", "eth0"]
        answer[1] = links
        node.host.answer("ip -j -d address", "\n".join(map(json.dumps, answer)))
        with pytest.raises(HostError, match="no interface of fake is up but the loopb") as caught:
            Harness("linux::Interface", node=node).deploy()
        assert "it has lo, eth1, " in caught.value.hint

    def test_an_attempt_after_a_crash_begins_with_what_was(self, node: Harness[Any]) -> None:
        it = Harness("linux::Interface", node=node, deviceName="eth1", mtu=1400)
        node.host.answer("ip -j -d address", shown("eth1"))
        node.host.answer("link set", json.dumps([link("eth1", mtu=1400)]))
        node.deploy()
        manager, mark, before = it.rm, name(it), len(node.host.calls)
        host, log = node.host, logging.getLogger()
        manager.do_deploy(Context(host, manager.peers, 2, Deadline.after(9.0), log))
        verbs = [call.verb for call in node.host.calls[before:]]
        assert verbs == ["unconfigure", "run", "configure"]
        assert lines(node.host) == [
            (
                f"link property add dev eth1 altname {mark}",
                f"link property del dev {mark} altname {mark}",
            ),
            (f"link set {mark} mtu 1400", f"link set {mark} mtu 1500"),
        ]
        assert manager.mtu == 1400

    def test_an_old_ip(self, node: Harness[Any]) -> None:
        node.host.answer("ip -j -d address", '""\n')
        with pytest.raises(HostError, match="cannot show interfaces as JSON") as caught:
            Harness("linux::Interface", node=node).deploy()
        assert "iproute2, 4.13 or newer" in caught.value.hint
        node.host.answer("link add", "1: x0: <UP>")
        with pytest.raises(HostError, match="ip shows '1: x0") as caught:
            Harness("linux::Bridge", node=node).deploy()
        assert "iproute2" in caught.value.hint

    def test_moving_is_for_emulated_hosts(self, node: Harness[Any]) -> None:
        with pytest.raises(InvalidValue, match="fromMachine is for interfaces of emulated hosts"):
            Harness("linux::Interface", node=node, fromMachine=True, deviceName="eth1").deploy()
        inside = Harness("netns::Node", node=node)
        with pytest.raises(InvalidValue, match="give it deviceName= or mac="):
            Harness("linux::Interface", node=inside, fromMachine=True).deploy()

    def test_a_machine_that_cannot_be_entered(self, node: Harness[Any]) -> None:
        said = b"nsenter: cannot open /proc/1/ns/net: Permission denied"
        node.host.answer("nsenter", Result(1, b"", said))
        inside = Harness("netns::Node", host=node.host, node=node)
        card = Harness(
            "linux::Interface", host=node.host, node=inside, fromMachine=True, deviceName="eth1"
        )
        with pytest.raises(HostError, match=r"cannot be entered: nsenter: .* denied") as caught:
            card.deploy()
        assert "SYS_PTRACE" in caught.value.hint

    def test_our_own_stays(self, node: Harness[Any]) -> None:
        node.host.answer("ip -j -d address", shown("eth0"))
        with pytest.raises(HostError, match="eth0 cannot be set down: fake is reached by it"):
            Harness("linux::Interface", node=node, up=False).deploy()

    def test_reading(self) -> None:
        found = Found.read(
            link("eth1", addr_info=[{"local": "fe80::1", "prefixlen": 64, "scope": "link"}])
        )
        assert found.up
        assert found.address(4) is None
        assert not found.addresses[0].lasting


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        # mininet 1117, 1133: the kernel has at most 15 characters
        (InterfaceName, "a-name-of-16-cha"),
        (InterfaceName, ""),
        (InterfaceName, "-x"),
        (InterfaceName, "a b"),
        (PrefixLength, 129),
        (PrefixLength, "255.0.255.0"),
        (PrefixLength, True),
        (PrefixLength, -1),
        (Network, "10.0.0.1/24"),
        (Table, 0),
        (Table, "other"),
        (Table, 1 << 32),
        (Ports, 0),
        (Ports, "80-70"),
        (Ports, "http"),
        (Ports, True),
        (NftRules, ["accept\ndrop"]),
        (NftRules, 4),
        (Forwards, "80:10.0.0.1"),
        (Forwards, "99999:10.0.0.1:80"),
        (Forwards, ["sctp:80:10.0.0.1:80"]),
        (Rate, "10 bananas"),
    ],
)
def test_values_that_are_refused(kind: Any, value: Any) -> None:
    with pytest.raises(InvalidValue):
        kind.parse(value)


def test_values() -> None:
    assert PrefixLength.parse("255.255.255.128") == 25
    assert PrefixLength.parse("0") == 0
    assert PrefixLength.parse("0.0.0.0") == 0
    assert PrefixLength.parse(24).mask == "255.255.255.0"
    assert Forwards.parse("80:10.0.0.1:81; udp:53:10.0.0.2:53").written() == [
        "tcp:80:10.0.0.1:81",
        "udp:53:10.0.0.2:53",
    ]
    assert Forwards.parse(Forwards.parse("80:10.0.0.1:81").written())[0].target == 81
    assert NftRules.parse("# mine\ntcp dport 80 accept\n\n") == ("tcp dport 80 accept",)
    assert Ports.parse(80) == "80"


def test_a_name_that_is_too_long_is_refused_where_it_is_given(node: Harness[Any]) -> None:
    """mininet 1117, 1133: it failed much later, or was cut off"""
    with pytest.raises(InvalidValue, match="at most 15 characters"):
        Harness("linux::Bridge", node=node, deviceName="a-name-of-16-cha")


def test_the_mtu_of_a_stack_is_given(node: Harness[Any]) -> None:
    it = Harness("linux::Macvlan", node=node, parent="eth1", mtu=1400)
    it.deploy()
    assert (f"link set {name(it)} mtu 1400", "") in lines(node.host)
    it.set("mtu", 1300)
    assert lines(node.host) == [("link set x0 mtu 1300", "")]
    with pytest.raises(NotAllowed, match="only be set before deployment"):
        it.set("ip", "10.0.0.1")


def test_the_page_has_a_row_for_each_type_and_what_it_needs() -> None:
    places = ("linux.network.", "netns.")
    types = {rtype for rtype, place in CATALOGUE.items() if place.startswith(places)}
    assert types - {"netns::Application"} == {what for what in NEEDS if " " not in what}
    text = PAGE.read_text() + PAGE.with_name("emulation.md").read_text()
    for rtype, need in NEEDS.items():
        if rtype in types:
            assert text.count(f"`{rtype}`") >= 2, "a row is not enough: say what it does"
        if need == "nf_tables":
            assert f"| `{rtype}` | `{need}` | `apt install nftables` |" in text
        elif need and rtype in types:
            assert f"| `{rtype}` | `{need}` | `modprobe {module_of(need)}` |" in text
    drivers = [what.partition(" ")[2] for what in NEEDS if " " in what]
    assert drivers == [name for name in Impairment.attributes["driver"].allowed or () if name]


def test_routes_are_read_as_they_are_written(node: Harness[Any]) -> None:
    node.deploy()
    text = (
        "default via 10.0.0.1 proto dhcp metric 100 \n"
        "10.0.0.0/24 proto kernel scope link src 10.0.0.5 \n"
        "10.3.0.0/16 via 10.0.0.2 linkdown \n"
        "10.4.0.0/16 proto 113 scope link \n"
        "fd09::/64 proto ra metric 100 expires 1787sec pref medium\n"
        "fd10::/64 via fd00::2 table 7 metric 1024 expires 9sec pref medium\n"
    )
    node.host.answer("route show table all", text)
    log = logging.getLogger()
    context = Context(node.host, {}, 1, Deadline.after(9.0), log)
    kept = [
        "default via 10.0.0.1 proto dhcp metric 100",
        "10.3.0.0/16 via 10.0.0.2",
        "fd10::/64 via fd00::2 table 7 metric 1024 pref medium",
    ]
    assert routes_of(context, "eth0") == kept
    kept.insert(2, "10.4.0.0/16 proto 113 scope link")
    assert routes_of(context, "eth0", ours=True) == kept
