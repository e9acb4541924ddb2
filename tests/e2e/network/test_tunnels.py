"""Tunnels between two hosts: what travels, how much of it, and what is left afterwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.faults.lab import Lab

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
def test_three_tunnels_beside_the_bare_link(lab: Lab, record_property: object) -> None:
    """Without loss, with packets of the greatest size, with figures, and without a trace."""
    before = links(lab)
    with lab.stand.experiment("tunnels") as ec:
        hosts = lab.nodes(ec, lab.bed.hosts[:2])
        made = {"bare": (lab.bed.hosts[1].address, 1500, [])}
        for path, rtype, net, mtu in (
            ("vxlan", "linux::VXLAN", "10.77.1", 1450),
            ("wireguard", "linux::WireGuard", "10.77.2", 1440),
        ):
            two = ends(ec, rtype, hosts, net)
            ec.register_connection(*two)
            made[path] = (f"{net}.2", mtu, two)
        for path, rtype, net, mtu in (
            ("tap", "linux::Tap", "10.77.3", 1458),
            ("tun", "linux::Tun", "10.77.4", 1472),
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
        assert ec.failures == []
    assert links(lab) == before
    lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])
