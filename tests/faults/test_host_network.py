"""The network of a host after a crash: cleaned without Redis, and what is not ours untouched."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.e2e.network.looks import differences, scan
from tests.faults.lab import Lab
from tests.faults.test_cleaning import clean
from tests.testbed import Testbed

pytestmark = [pytest.mark.needs("redis-server", "ip", "nft"), pytest.mark.timeout(180)]

#: What others have on the host: a card, a bridge, a route, a table, a setting.
DECOYS = """
ip link add data0 type veth peer name data1
ip link add spare0 type veth peer name spare1
ip address add 10.6.0.1/24 dev spare0
ip link set spare0 up
ip link set data0 up
ip link set data1 up
ip address add 10.8.0.1/24 dev data0
ip route add 10.9.0.0/16 via 10.8.0.2
ip link add nqother type bridge
ip netns add nq-other
nft add table inet other
sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.log_martians=1
"""


def test_all_that_a_dead_run_made_is_undone(testbed: Testbed, tmp_path: Path) -> None:
    """mininet 877 and CORE 500 removed what others had; mininet 1174 left its own."""
    with Lab(tmp_path, testbed) as lab:
        stand, host = lab.stand, lab.host
        host.run(DECOYS, user="root")
        before = scan(host)
        (worker,) = lab.start_workers(1)
        lost = stand.experiment("lost")
        (node,) = lab.nodes(lost, [host])
        for rtype, settings in {
            "Interface": {"deviceName": "data0", "mtu": 1300, "ip4": "10.8.0.9"},
            "Bridge": {"deviceName": "lab-br", "ip": "10.70.0.1"},
            "Address": {"device": "data1", "ip": "10.71.0.1"},
            "Route": {"network": "10.72.0.0/16", "device": "data0"},
            "Rule": {"source": "10.72.0.0/16", "table": 72, "priority": 72},
            "Nat": {"source": "10.70.0.0/24"},
            "Firewall": {"policy": "drop"},
            "Sysctl": {"key": "net.ipv4.conf.all.log_martians", "value": 0},
        }.items():
            label = "card" if rtype == "Interface" else rtype.lower()
            lost.register_resource(f"linux::{rtype}", label=label, connectedTo=node, **settings)
        inside = lost.register_resource("netns::Node", label="inside", connectedTo=node)
        lost.register_resource(
            "linux::Interface", connectedTo=inside, deviceName="spare0", fromMachine=True
        )
        lost.deploy()
        assert lost.wait_deployed(timeout=60), lost.failures
        lost.set("card", "up", False)
        assert len(differences(before, scan(host))) > 20
        lost.detach()
        worker.signal(signal.SIGKILL)
        worker.ended()
        stand.backend().redis.flushall()
        address = f"lab@{host.address}:{host.port}"
        done = clean(stand, address, "--yes", "--identity", host.key)
        assert done.code == 0, done.err
        assert differences(before, scan(host)) == []
