"""Tunnels between two hosts: what travels, how much of it, and what is left afterwards."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from tests.e2e.network.features import note, note_made
from tests.faults.lab import Lab
from tests.stand import until

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "ip", "ping", "iperf3"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("tunnels"),
]


def links(lab: Lab) -> list[str]:
    """The interfaces of both hosts."""
    shown = [host.run("ip -br link", user="root").stdout for host in lab.bed.hosts[:2]]
    return sorted(line.split()[0] for text in shown for line in text.splitlines())


def in_order(ec: ExperimentController, apps: list[int]) -> None:
    """Let each start when the one before it has ended."""
    for before, after in pairwise(apps):
        ec.register_condition(after, ResourceAction.START, before, ResourceState.FINISHED)


def measured(
    ec: ExperimentController, hosts: list[int], path: str, address: str, mtu: int
) -> list[int]:
    """Pings of the largest packet and of one more byte, and a measurement."""
    pings = [
        ec.register_resource(
            "linux::Application",
            label=f"ping-{path}-{size}",
            command=f"ping -n -M do -c 3 -i 0.2 -W 2 -s {size} {address}",
            okExitCodes="any",
            connectedTo=hosts[0],
        )
        for size in (56, mtu - 28)
    ]
    server = ec.register_resource("linux::Iperf3Server", connectedTo=hosts[1], critical=False)
    client = ec.register_resource(
        "linux::Iperf3Client",
        label=f"iperf-{path}",
        connectedTo=hosts[0],
        time="1s",
        target=address,
    )
    ec.register_connection(client, server)
    return [*pings, client]


def ends(ec: ExperimentController, rtype: str, hosts: list[int], net: str) -> list[int]:
    return [
        ec.register_resource(rtype, ip=f"{net}.{n}", connectedTo=host)
        for n, host in enumerate(hosts, 1)
    ]


@pytest.mark.needs("wg", "wireguard-go")
def test_three_tunnels_beside_the_bare_link(lab: Lab) -> None:
    """Without loss, with packets of the greatest size, with figures, and without a trace."""
    before = links(lab)
    with lab.stand.experiment("tunnels") as ec:
        hosts = lab.nodes(ec, lab.bed.hosts[:2])
        made = {"bare": (lab.bed.hosts[1].address, 1500, [])}
        for path, rtype, net, mtu in (
            ("vxlan", "linux::VXLAN", "10.66.1", 1450),
            ("wireguard", "linux::WireGuard", "10.66.2", 1440),
        ):
            two = ends(ec, rtype, hosts, net)
            ec.register_connection(*two)
            made[path] = (f"{net}.2", mtu, two)
        for path, rtype, net, mtu in (
            ("tap", "linux::Tap", "10.66.3", 1458),
            ("tun", "linux::Tun", "10.66.4", 1472),
        ):
            two = ends(ec, rtype, hosts, net)
            middle = ec.register_resource("linux::UdpTunnel", connectedTo=two)
            made[path] = (f"{net}.2", mtu, [*two, middle])
        apps = {
            path: measured(ec, hosts, path, address, mtu)
            for path, (address, mtu, _) in made.items()
        }
        in_order(ec, [app for some in apps.values() for app in some])
        ec.deploy()
        ok = ec.wait_finished([app for some in apps.values() for app in some], timeout=120)
        assert ok, ec.failures
        rates = {}
        for path, (_, mtu, two) in made.items():
            for ping in apps[path][:2]:
                assert "3 packets transmitted, 3 received, 0% packet loss" in ec.trace(
                    ping, "stdout"
                ), path
            for end in two[:2]:
                assert ec.get(end, "mtu") == mtu
                assert ec.state(end) is ResourceState.STARTED
            rates[path] = ec.get(apps[path][2], "bitsPerSecond")
        print({path: f"{rate / 1e6:.0f} Mbit/s" for path, rate in rates.items()})
        assert min(rates.values()) > 5e6
        ec.release()
        assert [str(it) for it in ec.failures] == []
    assert links(lab) == before
    lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])
    kinds = ("Tap", "Tun", "UdpTunnel", "VXLAN", "WireGuard")
    note_made(*(f"linux::{kind}" for kind in kinds))


@pytest.mark.parametrize("rtype", ["linux::Tap", "linux::Tun"])
def test_case_42_two_taps_and_a_udp_tunnel(lab: Lab, rtype: str) -> None:
    """As NEPI's scripts say it: values are text, and nobody waits for the tunnel."""
    with lab.stand.experiment("case-42") as ec:
        nodes = lab.nodes(ec, lab.bed.hosts[:2])
        taps = []
        for number, node in enumerate(nodes, 1):
            tap = ec.register_resource(rtype)
            ec.set(tap, "ip", f"192.168.1.{number}")
            ec.set(tap, "prefix", "24")
            ec.set(tap, "pointopoint", f"192.168.1.{3 - number}")
            ec.register_connection(tap, node)
            taps.append(tap)
        ec.set(taps[1], "critical", False)
        tunnel = ec.register_resource("linux::UdpTunnel")
        for tap in taps:
            ec.register_connection(tap, tunnel)
        app = ec.register_resource("linux::Application")
        ec.set(app, "command", "ping -c3 192.168.1.2")
        ec.register_connection(app, nodes[0])
        ec.deploy()
        assert ec.wait_finished(app, timeout=60), [str(f) for f in ec.failures]
        assert "3 packets transmitted, 3 received, 0% packet loss" in ec.trace(app, "stdout")
        assert ec.get(taps[0], "deviceName").startswith(rtype[-3:].lower())
        # Whoever ends the program of an end learns that the tunnel is broken.
        lab.bed.hosts[1].run("pkill -f '^python3 - device=t'", user="root")
        until(lambda: ec.state(taps[1]) is ResourceState.FAILED, 20.0, "it did not fail")
    lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])


def emulated(lab: Lab, exp_id: str, net: str) -> tuple[ExperimentController, list[int]]:
    """An emulated host on each of two hosts, and two tunnels between them."""
    ec = lab.stand.experiment(exp_id)
    hosts = lab.nodes(ec, lab.bed.hosts[:2])
    inside = [
        ec.register_resource("netns::Node", label=f"n{n}", connectedTo=hosts[n]) for n in (0, 1)
    ]
    for rtype, name, third in (("linux::VXLAN", "eth0", 1), ("linux::WireGuard", "wg0", 2)):
        two = [
            ec.register_resource(rtype, deviceName=name, ip=f"{net}.{third}.{n}", connectedTo=node)
            for n, node in enumerate(inside, 1)
        ]
        ec.register_connection(*two)
    pings = [
        ec.register_resource(
            "linux::Application",
            command=f"ip -br link; ping -n -M do -c 2 -i 0.2 -W 2 -s {size} {net}.{third}.2",
            connectedTo=inside[0],
        )
        for size, third in ((1422, 1), (1412, 2))
    ]
    return ec, pings


@pytest.mark.needs("wg", "wireguard-go")
def test_two_runs_with_the_same_names_in_emulated_hosts(lab: Lab) -> None:
    before = links(lab)
    runs = [emulated(lab, f"run-{n}", "10.67") for n in (1, 2)]
    with runs[0][0] as one, runs[1][0] as two:
        one.deploy()
        two.deploy()
        for ec, pings in runs:
            assert ec.wait_finished(pings, timeout=60), ec.failures
            for ping in pings:
                text = ec.trace(ping, "stdout")
                assert "2 packets transmitted, 2 received, 0% packet loss" in text
                assert {re.split("[ @]", line)[0] for line in text.splitlines()[:3]} == {
                    "lo",
                    "eth0",
                    "wg0",
                }
        one.release()
        assert one.failures == []
        two.release()
        assert two.failures == []
    assert links(lab) == before
    for ec, _ in runs:
        lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])


#: What makes a host lack something, until it is booted: no room for a socket in /run, no TUN.
FULL = "mkdir -p /run/wireguard; mount -t tmpfs -o nr_inodes=1 none /run/wireguard"
NO_TUN = "mount -t tmpfs none /dev/net"


@pytest.mark.needs("wg", "wireguard-go")
def test_what_a_host_lacks_is_said_before_anything_is_made(lab: Lab) -> None:
    full, without = lab.bed.hosts[2:4]
    full.run(FULL, user="root")
    without.run(NO_TUN, user="root")
    before = full.run("ip -br link").stdout
    with lab.stand.experiment("lacking") as ec:
        hosts = lab.nodes(ec, [full, without])
        ec.deploy(hosts)
        assert ec.wait_deployed(hosts, timeout=60)
        usual = {"critical": False}
        taps = [ec.register_resource("linux::Tap", connectedTo=node, **usual) for node in hosts]
        ec.register_resource("linux::GRETunnel", connectedTo=taps, **usual)
        tap = ec.register_resource("linux::Tap", connectedTo=hosts[1], **usual)
        guards = [
            ec.register_resource("linux::WireGuard", connectedTo=node, **usual) for node in hosts
        ]
        ec.register_connection(*guards)
        began = time.monotonic()
        ec.deploy()
        lacking = {*taps, tap, *guards}
        until(lambda: lacking <= {it.guid for it in ec.failures}, 20.0, "they did not fail")
        assert time.monotonic() - began < 5.0
        found = {failure.guid: failure for failure in ec.failures}
        for guid in taps:
            assert found[guid].message.endswith(" has no links of kind gretap")
            assert "modprobe ip_gre " in found[guid].hint
        note("linux::GRETunnel", f"refused: {found[taps[0]].message}")
        assert "/dev/net/tun cannot be opened on that host: No such file" in found[tap].message
        assert "pass the device" in found[tap].hint
        assert "No space left on device" in found[guards[0]].message
        assert "make room on that host" in found[guards[0]].hint
        assert "/dev/net/tun does not exist" in found[guards[1]].message
        assert full.run("ip -br link").stdout == before
        ec.release()
