"""An impairment of the interface by which a worker reaches the host, as a user with sudo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.stand import Stand
from tests.testbed import Testbed

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "nft", "ping"),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def stand(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    with Stand(folder, NEPIQ_SSH_CONFIG=str(shared_testbed.ssh_config)) as made:
        made.start_worker()
        yield made


def test_the_host_stays_reachable(stand: Stand, testbed: Testbed) -> None:
    near, far = testbed.hosts[:2]
    before = near.run("ip -br link").stdout
    with stand.experiment("impaired") as ec:
        node = ec.register_resource("linux::Node", hostname=near.name)
        impairment = ec.register_resource(
            "linux::Impairment",
            connectedTo=node,
            interface="eth0",
            direction="out",
            delay="40ms",
        )
        ping = ec.register_resource(
            "linux::Ping", connectedTo=node, target=far.address, count=5, interval=0.2
        )
        ec.deploy()
        assert ec.wait_finished(ping, timeout=60)
        assert ec.get(impairment, "driver") in ("netem", "relay")
        assert 40 <= ec.get(ping, "rttMin") < 60
        run_id = ec.run_id
    assert near.bearers(run_id) == []
    assert near.run("ip -br link").stdout == before
    assert near.run("sudo nft list tables").stdout == ""
