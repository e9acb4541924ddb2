"""Emulated hosts, switches and links on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab
from tests.e2e.network.features import NEEDS, note_made
from tests.stand import until

from nepiq.controller import EmulatedNetwork, ExperimentController, Topology, emulate

pytestmark = pytest.mark.needs("redis-server", "ip", "ping", "tcpdump", "traceroute")


@pytest.fixture(autouse=True)
def root(need: Need) -> None:
    need("root", os.geteuid() == 0, "emulated hosts are made as root")


class Emulated:
    """An experiment on this machine with emulated hosts."""

    def __init__(self, ec: ExperimentController) -> None:
        self.ec = ec
        self.here = ec.register_resource("linux::Node", label="here")

    def host(self, label: str, rtype: str = "netns::Node", **attributes: object) -> int:
        return self.ec.register_resource(rtype, label=label, node="here", **attributes)

    def link(self, one: str, two: str, **attributes: object) -> int:
        return self.ec.register_resource("netns::Link", ends=[one, two], **attributes)

    def deploy(self) -> None:
        self.ec.deploy()
        assert self.ec.wait_deployed(timeout=60), self.ec.failures

    def run(self, host: str, command: str, **attributes: object) -> str:
        """Run a command in a host, and return what it has written."""
        app = self.ec.register_resource(
            "netns::Application", node=host, command=command, **attributes
        )
        self.ec.deploy([app])
        assert self.ec.wait_finished([app], timeout=60), (
            self.ec.failures,
            self.ec.trace(app, "stderr"),
        )
        return self.ec.trace(app, "stdout").strip()

    def space(self, label: str) -> str:
        return str(self.ec.get(label, "namespace"))


@pytest.fixture
def emulated(installation: Installation) -> Iterator[Emulated]:
    lab = Lab(installation)
    yield Emulated(lab.experiment("emulated"))
    for ec in lab.made:
        ec.shutdown()


def test_a_network_from_a_file_with_routes_and_a_capture_netlab_1086(
    emulated: Emulated, tmp_path: Path
) -> None:
    """Hosts reach each other across routers by name; a capture runs on a named link."""
    file = tmp_path / "square.yaml"
    file.write_text(
        """
        nodes: {sw: {kind: switch}}
        links:
        - endpoints: ['client:up', 'r1:down']
        - endpoints: [r1, r2]
        - endpoints: [r2, r3]
        - endpoints: [r1, r3]
        - endpoints: ['r3:lan', sw]
          mtu: 1400
        - endpoints: [sw, server]
          mtu: 1400
        - endpoints: [sw, other]
          mtu: 1400
        """
    )
    network = emulate(emulated.ec, file, on=emulated.here)
    emulated.ec.register_resource(
        "linux::Tcpdump",
        node=network.nodes["r3"],
        label="capture",
        i="lan",
        sudo=True,
        c=2,
        expression="icmp",
    )
    emulated.ec.register_resource(
        "linux::Ping",
        node=network.nodes["client"],
        label="ping",
        target="server",
        count=3,
        interval="200ms",
    )
    emulated.ec.register_condition("ping", "START", "capture", "STARTED")
    emulated.ec.deploy()
    assert emulated.ec.wait_finished(["ping", "capture"], timeout=60), emulated.ec.failures
    assert emulated.ec.get("ping", "loss") == 0
    route = emulated.run("client", "ip route show default")
    assert route.split()[1:3] == ["via", "10.0.0.2"]
    assert "10.0.0.2" in emulated.run("client", "traceroute -n -q 1 -w 2 other")
    told = emulated.run("client", "ping -c1 -W2 -M do -s 1400 other", okExitCodes="any")
    assert "mtu = 1400" in told


def test_a_namespace_is_ready_before_it_is_used_frr_22262(emulated: Emulated) -> None:
    """Programs that start at once find their interface up, with its address, and reach the other.

    The kernel reports the operational state of an interface (operstate) some time after it carries
    packets, so that this is not looked at.
    """
    labels = [f"n{number}" for number in range(6)]
    for label in labels:
        emulated.host(label)
    for number, (one, two) in enumerate(pairwise(labels)):
        emulated.link(one, two, name1="right", ip1=f"10.0.{number}.1/30", ip2=f"10.0.{number}.2/30")
    daemons = [
        emulated.ec.register_resource(
            "netns::Application",
            node=label,
            command=f"ip -o address show up dev right; exec ping -c1 -W3 10.0.{number}.2",
        )
        for number, label in enumerate(labels[:-1])
    ]
    emulated.ec.deploy()
    assert emulated.ec.wait_finished(daemons, timeout=60), emulated.ec.failures
    for number, daemon in enumerate(daemons):
        shown = emulated.ec.trace(daemon, "stdout")
        assert f"10.0.{number}.1/30" in shown
        assert " 0% packet loss" in shown


def test_delays_of_the_topology_are_imposed(need: Need, emulated: Emulated) -> None:
    """A round trip over a link lasts twice its delay longer than over one without."""
    need("python3 of the host", shutil.which("python3"), "the relay is written in Python")
    network = emulate(
        emulated.ec,
        {"links": [["a", "b"], {"endpoints": ["b", "c"], "latency": "20ms"}]},
        on=emulated.here,
    )
    pings = [
        emulated.ec.register_resource(
            "linux::Ping", node=network.nodes["b"], target=target, count=5, interval="200ms"
        )
        for target in ("a", "c")
    ]
    emulated.ec.deploy()
    assert emulated.ec.wait_finished(pings, timeout=60), emulated.ec.failures
    near, far = (float(emulated.ec.get(ping, "rttMin")) for ping in pings)
    assert 39 <= far - near <= 60
    assert "delay 20 ms" in network_applied(emulated.ec, network)


def network_applied(ec: ExperimentController, network: EmulatedNetwork) -> str:
    ((impairment,),) = network.impairments.values()
    return str(ec.get(impairment, "applied"))


def test_a_large_topology_mininet_42_576(emulated: Emulated) -> None:
    """A tree of a hundred hosts: the farthest reach each other. Its time is printed, not judged."""
    began = time.monotonic()
    network = emulate(emulated.ec, Topology.tree(100, 4), on=emulated.here)
    described = time.monotonic()
    emulated.deploy()
    deployed = time.monotonic()
    shown = emulated.run("n99", "ping -c1 -W5 n50; ip -br link")
    assert " 0% packet loss" in shown
    emulated.ec.release()
    gone = time.monotonic()
    times = (described - began, deployed - described, gone - deployed)
    print("100 hosts: described, deployed, released in {:.2f}, {:.2f}, {:.2f} s".format(*times))
    assert len(network.nodes) == 100


def test_the_script_in_nepis_words(installation: Installation) -> None:
    script = Path(__file__).parents[3] / "examples" / "nepi" / "l_emulated_network.py"
    done = installation.start(sys.executable, script).ended()
    assert done.code == 0, done.err
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.out


def test_hosts_routers_and_a_switch(emulated: Emulated) -> None:
    """Hosts at a switch and behind a router, with names, a larger MTU and both IP versions."""
    for label in ("alpha", "beta", "delta"):
        emulated.host(label)
    emulated.host("gamma", ip="10.255.0.3")
    emulated.host("router", forward=True)
    emulated.host("sw", "netns::Switch")
    emulated.link("alpha", "sw", name1="eth0", ip1="10.0.1.1/24 fd00:1::1/64", mtu=9000)
    emulated.link("beta", "sw", name1="eth0", ip1="10.0.1.2/24", mtu=9000)
    emulated.link("router", "sw", name1="lan", ip1="10.0.1.254/24 fd00:1::fe/64", mtu=9000)
    wide = emulated.link(
        "router",
        "gamma",
        name1="wan",
        ip1="10.0.2.254/30 fd00:2::fe/64",
        ip2="10.0.2.253/30 fd00:2::fd/64",
        mac2="02:00:00:00:00:07",
    )
    port = emulated.ec.register_resource("netns::NodeInterface", node="delta", switch="sw")
    for kind, ip in (("IPv4Address", "10.0.1.7"), ("IPv6Address", "fd00:1::7")):
        emulated.ec.register_resource(f"netns::{kind}", interface=port, ip=ip)
    for host in ("alpha", "beta"):
        emulated.ec.register_resource(
            "netns::Route", node=host, network="default", nexthop="10.0.1.254"
        )
    emulated.ec.register_resource(
        "netns::Routes",
        node="gamma",
        routes=["10.0.1.0/24 via 10.0.2.254", "default via fd00:2::fe"],
    )
    emulated.ec.register_resource(
        "netns::Routes", node="alpha", routes="fd00:2::/64 via fd00:1::fe"
    )
    emulated.ec.register_resource(
        "netns::Routes", node="router", routes="10.255.0.3/32 via 10.0.2.253"
    )
    emulated.deploy()
    assert emulated.run("alpha", "hostname; id -un").splitlines() == ["alpha", "root"]
    assert " 0% packet loss" in emulated.run("alpha", "ping -c2 -i0.05 -M do -s 8900 beta")
    assert " 0% packet loss" in emulated.run("beta", "ping -c2 -i0.05 gamma")
    assert " 0% packet loss" in emulated.run("alpha", "ping -c2 -i0.05 -6 fd00:1::fe")
    assert "10.255.0.3" in emulated.run("alpha", "getent hosts gamma")
    shown = emulated.run("gamma", f"ip -o link show eth{wide}")
    assert "02:00:00:00:00:07" in shown
    # The file of the machine is what it was, and a command in a host does not see another's view.
    assert "gamma" not in Path("/etc/hosts").read_text()
    emulated.ec.set(wide, "up", False)
    assert "state DOWN" in emulated.run("gamma", f"ip -o link show eth{wide}")
    assert emulated.run("router", "ip route show proto 114") == ""
    emulated.ec.set(wide, "up", True)
    assert " 0% packet loss" in emulated.run("beta", "ping -c2 -i0.05 gamma")
    assert " 0% packet loss" in emulated.run("alpha", "ping -c2 -i0.05 fd00:2::fd")
    assert " 0% packet loss" in emulated.run("alpha", "ping -c2 -i0.05 fd00:1::7")
    spaces = [emulated.space(label) for label in ("alpha", "gamma", "sw", "router")]
    emulated.ec.release()
    assert not [space for space in spaces if Path("/run/netns", space).exists()]
    made = {emulated.ec.get_resource(guid).rtype for guid in emulated.ec.resources}
    note_made(*made & set(NEEDS))


def test_private_directories_mininet_957(emulated: Emulated, tmp_path: Path) -> None:
    """Daemons with files at fixed places run side by side; the machine's files are untouched."""
    shared = tmp_path / "run"
    shared.mkdir()
    (shared / "foreign").touch()
    for label in ("one", "two"):
        emulated.host(label, privateDirs=[str(shared)])
    emulated.deploy()
    for label in ("one", "two"):
        emulated.run(label, f"hostname >>{shared}/daemon.pid")
    assert emulated.run("two", f"cat {shared}/daemon.pid; ls {shared}").split() == [
        "two",
        "daemon.pid",
    ]
    assert [path.name for path in shared.iterdir()] == ["foreign"]


def test_a_missing_private_directory_is_told(emulated: Emulated) -> None:
    emulated.host("one", privateDirs="/nowhere/at/all")
    emulated.ec.deploy()
    assert not emulated.ec.wait_deployed(timeout=60)
    (failure,) = [item for item in emulated.ec.failures if "one" in str(item)]
    assert "there is no directory /nowhere/at/all" in str(failure)


def test_a_pid_namespace(emulated: Emulated) -> None:
    emulated.host("alone", pidNamespace=True)
    emulated.deploy()
    server = emulated.ec.register_resource(
        "netns::Application", node="alone", command="exec sleep 987", label="server"
    )
    emulated.ec.deploy([server])
    emulated.ec.wait_started([server])
    seen: list[str] = []

    def begun() -> bool:
        """Whether its shell, which counts as started, has become the command."""
        seen.append(emulated.run("alone", "ps -e -o args="))
        return "sleep 987" in seen[-1]

    until(begun, 20.0, "the command is not seen")
    shown = seen[-1]
    assert "redis-server" not in shown
    assert 4 <= len(shown.splitlines()) <= 8, shown
    emulated.ec.release()
    assert (
        "sleep 86400"
        not in subprocess.run(
            ["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
    )


def test_the_load_of_links_is_sampled(emulated: Emulated) -> None:
    emulated.host("left")
    emulated.host("right")
    quiet, busy = (
        emulated.link("left", "right", ip1=f"10.9.{n}.1/24", ip2=f"10.9.{n}.2/24", label=label)
        for n, label in ((1, "quiet"), (2, "busy"))
    )
    sampler = emulated.ec.register_resource(
        "linux::LinkStat", node="here", links=[quiet, busy], interval=0.1, sudo=True
    )
    emulated.ec.deploy()
    emulated.ec.wait_started([sampler])
    emulated.run("left", "exec ping -q -c 20 -i 0.01 -s 1000 10.9.2.2", sudo=True)

    def sent() -> int:
        row = emulated.ec.trace(sampler, "stdout").splitlines()[-1].split(",")
        return int(row[3]) if len(row) == 5 and row[3].isdecimal() else 0

    # 20 packets with headers of ICMP, IP and Ethernet.
    until(lambda: sent() >= 20 * (1000 + 8 + 20 + 14), 20.0, "no sample has the pings")
    emulated.ec.stop(sampler)
    emulated.ec.wait([sampler], "STOPPED", timeout=30)
    figures = {name: emulated.ec.get(sampler, name) for name in ("samples", "busiest", "peak")}
    assert figures["busiest"] == "busy"
    assert figures["samples"] > 2
    assert figures["peak"] > 8 * 1000
