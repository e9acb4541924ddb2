"""An emulated network over two machines that are reached by SSH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.network.features import note_made
from tests.faults.lab import Lab
from tests.testbed import Testbed

from nepiq.controller import emulate

pytestmark = [
    pytest.mark.needs("redis-server", "ip", "ping"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("emulated-far"),
]


@pytest.fixture(scope="module")
def bed(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("far"), shared_testbed) as made:
        made.start_workers(1)
        yield made
    shared_testbed.reset()


def _shown(lab: Lab) -> list[list[str]]:
    """Interfaces and namespaces of both machines."""
    return [
        sorted(
            line.split()[0]
            for line in host.run("ip -br link; ip netns list", user="root").stdout.splitlines()
        )
        for host in lab.bed.hosts[:2]
    ]


def test_links_between_machines_are_vxlan_by_themselves_mininet_1067(bed: Lab) -> None:
    """A ring and a switch over two machines: names, both IP versions, the largest packet."""
    before = _shown(bed)
    topology = {
        "nodes": {
            **{f"r{number}": {"on": number // 2} for number in range(4)},
            "sw": {"kind": "switch", "on": 0},
            "a": {"on": 0, "privateDirs": "/tmp", "pidNamespace": True},
            "b": {"on": 1},
        },
        "links": [*([f"r{n}", f"r{(n + 1) % 4}"] for n in range(4)), ["sw", "a"], ["sw", "b"]],
    }
    with bed.stand.experiment("far") as ec:
        hosts = bed.nodes(ec, bed.bed.hosts[:2])
        network = emulate(ec, topology, on=hosts, ipv6="fd00:1::/48")
        assert [network.machines[f"r{n}"] for n in range(4)] == [*hosts[:1] * 2, *hosts[1:] * 2]
        far = [ends for ends in network.links.values() if len(ends) == 2]
        assert len(far) == 3
        # 1422 bytes and 28 of headers are what fits in 1500 bytes with VXLAN; IPv6 has 48.
        pings = [
            ec.register_resource(
                "netns::Application",
                node=network.nodes[source],
                command=f"exec ping -{version} -c2 -i0.2 -W2 -M do -s {size} {target}",
            )
            for version, size, targets in (
                (4, 1422, (("r0", "r2"), ("r3", "r1"), ("a", "10.0.0.18"))),
                (6, 1402, (("r0", "r2"), ("r3", "r1"), ("a", "fd00:1:0:4::2"))),
            )
            for source, target in targets
        ]
        views = [
            ec.register_resource(
                "netns::Application",
                node=network.nodes["a"],
                command="id -un; hostname; getent ahosts r2; touch /tmp/own; ls -l /tmp; ps -e; "
                "cat /sys/class/net/eth0/mtu",
                sudo=sudo,
            )
            for sudo in (False, True)
        ]
        large = ec.register_resource(
            "netns::Application",
            node=network.nodes["r0"],
            command="exec ping -4 -c1 -W2 -M do -s 1423 r2",
            okExitCodes="any",
        )
        ec.deploy()
        assert ec.wait_finished([*pings, *views, large], timeout=90), ec.failures
        for ping in pings:
            assert " 0% packet loss" in ec.trace(ping, "stdout")
        for user, view in zip(("lab", "root"), views, strict=True):
            shown = ec.trace(view, "stdout")
            assert shown.splitlines()[:2] == [user, "a"]
            assert shown.splitlines()[-1] == "1450"
            assert "10.255.0.3" in shown
            assert "fd00:1:0:ffff::3" in shown
            assert " own" in shown
            assert "sshd" not in shown
        assert not [path.name for path in bed.host.inside("/tmp").glob("own")]
        text = ec.trace(large, "stdout") + ec.trace(large, "stderr")
        assert "mtu = 1450" in text or "mtu=1450" in text
        assert [ec.get(guid, "mtu") for guid in far[0]] == [1450, 1450]
        ec.release()
    assert _shown(bed) == before
    note_made("linux::netns::Emulation", "netns::RemoteLink")
    bed.expect_nothing(ec.run_id, *bed.bed.hosts[:2])
