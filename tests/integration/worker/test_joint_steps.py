"""Joint steps: configuration of one host by many resources."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.stand import Stand

from nepiq.controller import ExperimentController
from nepiq.controller.model import device_name, namespace_name

pytestmark = [pytest.mark.needs("redis-server", "ip"), pytest.mark.timeout(120)]


@pytest.fixture
def ec(need: Need, stand: Stand) -> Iterator[ExperimentController]:
    need("root", os.geteuid() == 0, "configuration is made as root")
    stand.start_worker()
    ec = stand.experiment("joint")
    ec.register_resource("linux::Node", label="here")
    yield ec
    ec.shutdown()


def spaces(ec: ExperimentController) -> list[str]:
    mark = namespace_name(ec.run_id, 0).rpartition("-")[0]
    return sorted(path.name for path in Path("/run/netns").glob(f"{mark}-*"))


def links(ec: ExperimentController) -> list[str]:
    mark = device_name(ec.run_id, 0)[:8]
    return sorted(path.name for path in Path("/sys/class/net").glob(f"{mark}*"))


def test_many_are_made_and_the_release_of_the_host_undoes_them(ec: ExperimentController) -> None:
    nodes = [ec.register_resource("netns::Node", connectedTo="here") for _ in range(150)]
    pairs = [
        ec.register_resource("netns::Link", ends=[nodes[0], other], ip1=f"10.9.{n}.1/30")
        for n, other in enumerate(nodes[1:40])
    ]
    ec.deploy()
    assert ec.wait_deployed([*nodes, *pairs], timeout=100)
    assert len(spaces(ec)) == 150
    shown = subprocess.run(
        ["ip", "-n", ec.get(nodes[0], "namespace"), "-br", "address"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "10.9.38.1/30" in shown
    # A partial release acts at once.
    ec.release(pairs[:2])
    ec.release(nodes[100:])
    assert len(spaces(ec)) == 100
    shown = subprocess.run(
        ["ip", "-n", ec.get(nodes[0], "namespace"), "-br", "address"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "10.9.0.1/30" not in shown
    assert "10.9.2.1/30" in shown
    ec.shutdown()
    assert spaces(ec) == []
    assert list(ec.failures) == []


def test_one_that_is_refused_fails_alone(ec: ExperimentController) -> None:
    bridges = [
        ec.register_resource("linux::Bridge", connectedTo="here", critical=n != 7)
        for n in range(20)
    ]
    ec.set(bridges[7], "deviceName", "lo")
    ec.deploy()
    assert ec.wait_deployed(bridges, timeout=60)
    (failure,) = ec.failures
    assert failure.guid == bridges[7]
    assert "File exists" in failure.message
    assert len(links(ec)) == 19
    ec.shutdown()
    assert links(ec) == []


def test_a_live_attribute(ec: ExperimentController) -> None:
    bridge = ec.register_resource("linux::Bridge", connectedTo="here")
    ec.deploy()
    assert ec.wait_deployed([bridge], timeout=60)
    mtu = Path(f"/sys/class/net/{ec.get(bridge, 'deviceName')}/mtu")
    ec.set(bridge, "mtu", 1400)
    assert mtu.read_text() == "1400\n"
    ec.set(bridge, "up", False)
    assert mtu.with_name("operstate").read_text() == "down\n"
