"""The shaper against a fake host: no machine, no Redis, no worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from acme_shaper import TrafficShaper

from nepiq.controller.errors import CommandError, HostError, InvalidValue, NotAllowed
from nepiq.controller.model import State
from nepiq.controller.testing import FakeHost, Harness

DEVICE = "/sys/class/net/eth0"


@pytest.fixture
def host() -> FakeHost:
    host = FakeHost()
    host.files = {f"{DEVICE}/operstate": b"up\n", f"{DEVICE}/mtu": b"1500\n"}
    host.answer("readlink", "../../../bus/virtio/drivers/virtio_net\n")
    return host


@pytest.fixture
def shaper(host: FakeHost) -> Harness[TrafficShaper]:
    node = Harness("linux::Node", host=host)
    return Harness(TrafficShaper, interface="eth0", delay="20ms", loss=0.5, node=node)


def test_life(shaper: Harness[TrafficShaper]) -> None:
    shaper.host.answer("tc -s", "Sent 1200 bytes")
    shaper.deploy()
    shaper.start()
    assert "tc qdisc replace dev eth0 root netem delay 20000us loss 0.5%" in shaper.host.commands
    shaper.stop()
    assert shaper.state is State.STOPPED
    assert shaper.host.read("statistics.txt") == b"Sent 1200 bytes"
    shaper.release()
    assert shaper.host.commands[-1] == "tc qdisc delete dev eth0 root"


def test_reports_the_driver(shaper: Harness[TrafficShaper]) -> None:
    shaper.deploy()
    assert shaper.rm.driver == "virtio_net"
    with pytest.raises(NotAllowed):
        shaper.set("driver", "other")


def test_waits_for_the_interface(shaper: Harness[TrafficShaper]) -> None:
    operstate = f"{DEVICE}/operstate"
    shaper.host.files[operstate] = b"down\n"
    shaper.clock.at(2.5, lambda: shaper.host.files.update({operstate: b"up\n"}))
    shaper.deploy()
    assert shaper.milestones[State.READY] == 3.0


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda host: host.answer("command -v tc", 127), "tc is not installed"),
        (lambda host: host.files.clear(), "no interface eth0"),
    ],
)
def test_says_what_is_missing(
    shaper: Harness[TrafficShaper], prepare: Callable[[FakeHost], None], problem: str
) -> None:
    prepare(shaper.host)
    with pytest.raises(HostError, match=problem):
        shaper.deploy()
    assert shaper.state is State.FAILED


def test_changes_while_running(shaper: Harness[TrafficShaper]) -> None:
    shaper.deploy()
    shaper.set("rate", "10mbit")
    assert not [command for command in shaper.host.commands if " change " in command]
    shaper.start()
    shaper.host.answer("tc qdisc show", "qdisc netem 8001: root")
    shaper.set("delay", "1s")
    changed = "tc qdisc change dev eth0 root netem delay 1000000us loss 0.5% rate 10mbit"
    assert shaper.host.commands[-1] == changed
    assert shaper.rm.delay == 1.0


def test_tries_again_twice(shaper: Harness[TrafficShaper]) -> None:
    shaper.deploy()
    shaper.host.answer("tc qdisc replace", 2, 2, 0)
    shaper.start()
    assert shaper.milestones[State.STARTED] == 3.0  # after 1 and 2 seconds


def test_gives_up(shaper: Harness[TrafficShaper]) -> None:
    shaper.deploy()
    shaper.host.answer("tc qdisc replace", 2)
    with pytest.raises(CommandError):
        shaper.start()


@pytest.mark.parametrize(
    "settings", [{"loss": 101}, {"delay": "soon"}, {"rate": "fast"}, {"interface": "a b"}]
)
def test_refuses_nonsense(settings: dict[str, Any]) -> None:
    node = Harness("linux::Node")
    with pytest.raises(InvalidValue):
        Harness(TrafficShaper, node=node, **{"interface": "eth0", **settings})
