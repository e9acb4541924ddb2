"""Case 41: an interface of a machine, and the network that it belongs to."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import Any

import pytest
from tests.conformance.conftest import Make

from nepiq.controller import ExperimentController

pytestmark = [pytest.mark.needs("redis-server", "ip"), pytest.mark.timeout(60)]


def described(ec: ExperimentController) -> int:
    node = ec.register_resource("linux::Node")
    interface = ec.register_resource("LinuxInterface")
    channel = ec.register_resource("linux::Channel")
    ec.register_connection(interface, node)
    ec.register_connection(interface, channel)
    return interface


def shown(name: str) -> dict[str, Any] | None:
    """The interface as ip shows it; None if other tests have removed theirs meanwhile."""
    done = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True)
    found: dict[str, dict[str, Any]] = {it["ifname"]: it for it in json.loads(done.stdout)}
    return found.get(name)


def test_case_41_an_interface_is_found(make: Make) -> None:
    found = None
    for _ in range(3):
        ec = make()
        interface = described(ec)
        ec.deploy()
        assert ec.wait_deployed(timeout=30), ec.failures
        found = shown(ec.get(interface, "deviceName"))
        if found is not None:
            break
    assert found is not None
    assert "UP" in found["flags"]
    assert "LOOPBACK" not in found["flags"]
    four = [it for it in found["addr_info"] if it["family"] == "inet"]
    assert ec.get(interface, "ip4") == four[0]["local"]
    mask = ipaddress.ip_network(f"0.0.0.0/{four[0]['prefixlen']}").netmask
    assert ec.get(interface, "mask4") == str(mask)
    assert (ec.get(interface, "mtu"), ec.get(interface, "up")) == (found["mtu"], True)
    assert ec.get(interface, "mac") == found["address"]
