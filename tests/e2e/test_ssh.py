"""Experiments on hosts that a worker reaches over SSH."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand import Stand, until
from tests.testbed import Testbed
from tests.trees import seen

pytestmark = [pytest.mark.needs("redis-server", "ssh-keygen"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def stand(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A worker that knows the shared hosts by its ssh_config."""
    folder = tmp_path_factory.mktemp("stand")
    with Stand(folder, NEPIQ_SSH_CONFIG=str(shared_testbed.ssh_config)) as made:
        made.start_worker()
        yield made


def test_an_experiment(stand: Stand, testbed: Testbed) -> None:
    with stand.experiment("ssh") as ec:
        places = [testbed.hosts[0], testbed.private[0]]
        nodes = [ec.register_resource("linux::Node", hostname=host.name) for host in places]
        apps = [
            ec.register_resource("linux::Application", connectedTo=node, command="hostname")
            for node in nodes
        ]
        ec.deploy()
        assert ec.wait_finished(apps, timeout=60)
        assert [ec.trace(app, "stdout") for app in apps] == [f"{host.name}\n" for host in places]
        keys = [f"{host.address} {ec.get(n, 'serverKey')}" for n, host in zip(nodes, places)]  # noqa: B905
        assert keys == [host.known_hosts_line for host in places]
        for node, host in zip(nodes, places, strict=True):
            assert ec.get(node, "kernel") == os.uname().release
            card = ec.get(node, "interfaces")["eth0"]
            assert (card["state"], card["addresses"]) == ("up", [f"{host.address}/24"])
            assert ec.get(node, "memory") > 1 << 20
            assert "pfifo" in ec.get(node, "qdiscs").split() or ec.get(node, "qdiscs") == "unknown"
            # The hosts have the clock of this machine, which Redis has, too.
            assert abs(ec.get(node, "clockOffset")) <= ec.get(node, "clockError") + 0.1
        run_id = ec.run_id
    assert [host.bearers(run_id) for host in places] == [[], []]


def test_failures(stand: Stand, testbed: Testbed, tmp_path: Path) -> None:
    address = testbed.hosts[1].address
    nodes = {
        "refused": (
            {"port": 4},
            "HostUnreachable",
            "connection refused",
            "nothing listens on port 4",
        ),
        "locked": (
            {"identity": str(tmp_path / "no key")},
            "LoginRefused",
            f"the key {tmp_path}/no key on worker machine here does not exist",
            "a path on the worker machine",
        ),
        "another": (
            {"serverKey": testbed.hosts[2].known_hosts_line.split(" ", 1)[1]},
            "HostKeyError",
            f"lab@{address} (host-2) has another key than is known for it",
            "correct serverKey",
        ),
    }
    with stand.experiment("ssh-failures") as ec:
        for label, (attributes, *_) in nodes.items():
            node = {"hostname": "host-2", "critical": False, **attributes}
            ec.register_resource("linux::Node", label=label, **node)
        ec.deploy()
        until(lambda: len(ec.failures) == len(nodes), 30.0, "the nodes did not fail")
        found = {failure.label: failure for failure in ec.failures}
        for label, (_, kind, message, hint) in nodes.items():
            failure = found[label]
            assert failure.kind == kind
            assert message in failure.message
            assert hint in failure.hint
            assert label in failure.where
            assert "deploy, attempt 1" in failure.where
        assert "from worker machine here" in found["refused"].message


def test_two_thousand_small_files_there_and_back(
    stand: Stand, testbed: Testbed, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for number in range(2000):
        file = source / f"dir {number % 20}" / f"file {number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * 100)
    hosts = testbed.hosts[:2]
    with stand.experiment("trees") as ec:
        nodes = [ec.register_resource("linux::Node", hostname=host.name) for host in hosts]
        ec.deploy()
        assert ec.wait_deployed(timeout=60)
        ec.upload(nodes, source)
        ec.download(nodes[0], "source", tmp_path / "back")
    assert seen(tmp_path / "back") == seen(source)
