"""Tunnels of a run whose worker was killed and whose Redis is gone; those of others stay."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.lab import Lab
from tests.faults.test_cleaning import clean, listed
from tests.testbed import Host, Testbed

pytestmark = [
    pytest.mark.needs("redis-server", "ip", "wg", "wireguard-go"),
    pytest.mark.timeout(180),
]

#: Interfaces of another user of the host, who has such names too.
DECOYS = "ip tuntap add tap0 mode tap; ip link add nqdecoy type bridge; ip link set nqdecoy up"


def links(host: Host) -> set[str]:
    return {line.split()[0] for line in host.run("ip -br link").stdout.splitlines()}


def programs(host: Host) -> list[str]:
    words = ("python3 - ", "wireguard-go ")
    return [it.args for it in host.processes() if it.args.startswith(words)]


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
        lab.stand.stack().redis.flushall()
        lab.start_workers(1)
        for host in hosts:
            done = clean(lab.stand, host.name, "--yes", "--json")
            assert done.code == 0, done.err
            assert listed(done)[ec.run_id]["removed"]
        assert [links(host) for host in hosts] == before
        assert [programs(host) for host in hosts] == [[], []]
        assert [host.run("ip netns list", user="root").stdout for host in hosts] == ["", ""]
        assert [host.run("ls /run/wireguard", user="root").stdout for host in hosts] == ["", ""]
