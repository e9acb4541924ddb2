"""What a host lacks for its network to be changed, told at the deployment."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.network.features import NEEDS, note, note_made
from tests.e2e.network.looks import differences, scan
from tests.stand import Stand, until
from tests.testbed import Testbed

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "ip", "busybox"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("host-network"),
]

#: An ip(8) of before 2018.
OLD_IP = """#!/bin/sh
case " $* " in *' -j '*) echo 'Option "-j" is unknown, try "ip -help".' >&2; exit 255 ;; esac
exec "${0%/*}/../../run/ip" "$@"
"""


def refused(stand: Stand, host: str, **types: dict[str, Any]) -> dict[str, Any]:
    """Deploy resources on a node; what failed, by label."""
    with stand.experiment("lacks", quiet=True) as ec:
        node = types.pop("node", {})
        ec.register_resource("linux::Node", label="here", hostname=host, **node)
        ec.deploy()
        assert ec.wait_deployed(timeout=60), ec.failures
        guids = []
        for label, settings in types.items():
            rtype = f"linux::{label.split('_')[0]}"
            guids.append(
                ec.register_resource(
                    rtype, label=label, connectedTo="here", critical=False, **settings
                )
            )
        ec.deploy(guids)
        until(
            lambda: all(str(ec.state(it)) in ("READY", "STARTED", "FAILED") for it in guids),
            30.0,
            "they were not deployed",
        )
        return {failure.label: failure for failure in ec.failures}


def test_kinds_of_links_of_the_kernel(stand: Stand, testbed: Testbed) -> None:
    """chaos-mesh 1389: on a kernel without the kind, it "ran" and did nothing"""
    host = testbed.hosts[2]
    before = scan(host)
    types = {"Vlan": {"parent": "eth0", "vlan": 7}, "Macvlan": {"parent": "eth0"}, "Bridge": {}}
    errors = refused(stand, host.name, **types)
    assert "Bridge" not in errors
    for label in types:
        if label in errors:
            kind = NEEDS[f"linux::{label}"]
            assert f"has no links of kind {kind}" in errors[label].message
            assert "modprobe" in errors[label].hint
            note(f"linux::{label}", f"refused: {errors[label].message}")
        else:
            note_made(f"linux::{label}")
    assert differences(before, scan(host)) == []


def test_a_user_who_may_not_be_root(stand: Stand, testbed: Testbed) -> None:
    errors = refused(
        stand, testbed.hosts[2].name, node={"username": "guest"}, Bridge={}, Interface={"mtu": 1400}
    )
    for label in ("Bridge", "Interface"):
        assert "sudo" in errors[label].message
        assert errors[label].hint


def test_other_programs_than_iproute2(stand: Stand, testbed: Testbed) -> None:
    host = testbed.hosts[3]
    host.run(
        "cp /bin/ip /run/ip; cat >/run/old; chmod 755 /run/old; mount --bind /run/old /bin/ip",
        user="root",
        text=OLD_IP,
    )
    errors = refused(stand, host.name, Bridge={}, Interface={})
    assert "cannot show interfaces as JSON" in errors["Interface"].message
    for label in ("Bridge", "Interface"):
        assert "iproute2" in errors[label].hint
    busybox = '#!/bin/sh\nexec busybox ip "$@"\n'
    host.run("cat >/run/old", user="root", text=busybox)
    errors = refused(stand, host.name, Bridge={}, Interface={})
    for label in ("Bridge", "Interface"):
        assert "iproute2" in errors[label].hint
    host.run("umount /bin/ip; rm /run/old /run/ip", user="root")
