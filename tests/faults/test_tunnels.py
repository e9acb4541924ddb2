"""Tunnels whose worker is killed: made all the same, or removed without Redis."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.lab import Lab
from tests.faults.test_cleaning import clean, listed
from tests.testbed import Host, Testbed
from tests.testbed.host import Process

pytestmark = [
    pytest.mark.needs("redis-server", "ip", "wg", "wireguard-go"),
    pytest.mark.timeout(180),
]

#: Interfaces of another user of the host, who has such names too.
DECOYS = "ip tuntap add tap0 mode tap; ip link add nqdecoy type bridge; ip link set nqdecoy up"


def links(host: Host) -> set[str]:
    return {line.split()[0] for line in host.run("ip -br link").stdout.splitlines()}


def programs(host: Host, *words: str) -> list[Process]:
    words = words or ("python3 - ", "wireguard-go ")
    return [it for it in host.processes() if it.args.startswith(words)]


def test_another_worker_goes_on_with_what_is_half_made(testbed: Testbed, tmp_path: Path) -> None:
    """An end that listens is not launched again, and a key that is known stays."""
    hosts = testbed.hosts[:2]
    before = [links(host) for host in hosts]
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("killed") as ec:
        (doomed,) = lab.start_workers(1, NEPIQ_FAULT="acted:right=kill")
        nodes = lab.nodes(ec, hosts)
        taps, guards = (
            [
                ec.register_resource(rtype, label=label, ip=f"{net}.{n}", connectedTo=node)
                for n, (node, label) in enumerate(zip(nodes, labels, strict=True), 1)
            ]
            for rtype, net, labels in (
                ("linux::Tap", "10.68.1", ("left", "right")),
                ("linux::WireGuard", "10.68.2", ("one", "two")),
            )
        )
        ec.register_resource("linux::UdpTunnel", connectedTo=taps)
        ec.register_connection(*guards)
        pings = [
            ec.register_resource(
                "linux::Application",
                command=f"ping -n -c 2 -i 0.2 -W 2 10.68.{net}.2",
                connectedTo=nodes[0],
            )
            for net in (1, 2)
        ]
        ec.deploy()
        doomed.ended(60.0)
        launched = programs(hosts[1], "python3 - ")
        assert len(launched) == 1
        lab.start_workers(1)
        assert ec.wait_finished(pings, timeout=90), [str(it) for it in ec.failures]
        for ping in pings:
            assert " 0% packet loss" in ec.trace(ping, "stdout")
        assert programs(hosts[1], "python3 - ") == launched
        ec.release()
        assert ec.failures == []
        assert [links(host) for host in hosts] == before
        lab.expect_nothing(ec.run_id, *hosts)


def test_clean_removes_tunnels_without_redis(testbed: Testbed, tmp_path: Path) -> None:
    hosts = testbed.hosts[:2]
    for host in hosts:
        host.run(DECOYS, user="root")
    before = [links(host) for host in hosts]
    with Lab(tmp_path, testbed) as lab:
        (worker,) = lab.start_workers(1)
        ec = lab.stand.experiment("lost")
        nodes = lab.nodes(ec, hosts)
        inside = [ec.register_resource("netns::Node", connectedTo=node) for node in nodes]
        for rtype, places in (
            ("linux::VXLAN", nodes),
            ("linux::WireGuard", nodes),
            ("linux::WireGuard", inside),
        ):
            ec.register_connection(*(ec.register_resource(rtype, connectedTo=it) for it in places))
        taps = [ec.register_resource("linux::Tap", connectedTo=node) for node in nodes]
        ec.register_resource("linux::UdpTunnel", connectedTo=taps)
        ec.deploy()
        assert ec.wait_deployed(timeout=60), ec.failures
        for host, links_before in zip(hosts, before, strict=True):
            assert len(links(host) - links_before) == 3
            assert len(programs(host)) == 3
        ec.detach()
        worker.signal(signal.SIGKILL)
        worker.ended()
        lab.stand.backend().redis.flushall()
        lab.start_workers(1)
        for host in hosts:
            done = clean(lab.stand, host.name, "--yes", "--json")
            assert done.code == 0, done.err
            assert listed(done)[ec.run_id]["removed"]
        assert [links(host) for host in hosts] == before
        assert [programs(host) for host in hosts] == [[], []]
        assert [host.run("ip netns list", user="root").stdout for host in hosts] == ["", ""]
        assert [host.run("ls /run/wireguard", user="root").stdout for host in hosts] == ["", ""]
