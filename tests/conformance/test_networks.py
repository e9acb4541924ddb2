"""Case 41: an interface of a machine, and the network that it belongs to."""

from __future__ import annotations

import ipaddress
import json
import subprocess

import pytest

from nepiq.controller import ExperimentController

pytestmark = [pytest.mark.needs("redis-server", "ip"), pytest.mark.timeout(60)]


def test_case_41_an_interface_is_found(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    interface = ec.register_resource("LinuxInterface")
    channel = ec.register_resource("linux::Channel")
    ec.register_connection(interface, node)
    ec.register_connection(interface, channel)
    ec.deploy()
    assert ec.wait_deployed(timeout=30), ec.failures
    name = ec.get(interface, "deviceName")
    shown = subprocess.run(
        ["ip", "-j", "address", "show", "dev", name], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(shown.stdout)
    assert "UP" in found["flags"]
    assert "LOOPBACK" not in found["flags"]
    four = [it for it in found["addr_info"] if it["family"] == "inet"]
    assert ec.get(interface, "ip4") == four[0]["local"]
    mask = ipaddress.ip_network(f"0.0.0.0/{four[0]['prefixlen']}").netmask
    assert ec.get(interface, "mask4") == str(mask)
    assert (ec.get(interface, "mtu"), ec.get(interface, "up")) == (found["mtu"], True)
    assert ec.get(interface, "mac") == found["address"]
