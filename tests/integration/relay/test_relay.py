"""The relay: what it does to the packets of a link, and what is left of it."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from tests.conftest import Need
from tests.integration.relay.link import ADDRESS, ADDRESS6, Link, Relay, ip

from nepiq.controller.resources.linux.network.effect import Effect

pytestmark = [pytest.mark.needs("ip", "nft", "ping"), pytest.mark.xdist_group("relay")]

#: The greatest difference between a delay and what is asked for, in seconds.
CLOSE = 0.002


@pytest.fixture(scope="module")
def link(need: Need) -> Iterator[Link]:
    need("root", os.geteuid() == 0)
    made = Link()
    yield made
    made.close()


@pytest.fixture
def relay(link: Link, tmp_path: Path, need: Need) -> Iterator[Relay]:
    made = Relay(tmp_path)
    if not made.greeting:
        need("a kernel that queues what a bridge forwards", "", made.close()[2])
    for end in "ab":
        answer = made.ask({"add": end, "netns": link.path(end), "interface": "eth0"})
        assert "error" not in answer[0], answer
    yield made
    assert made.close()[::2] == (0, "")
    assert sorted(link.devices()) == ["eth0", "eth0", "lo", "lo"]
    assert link.rules() == ""


def both(**parameters: float) -> list[dict[str, Any]]:
    return [{"change": end, **parameters} for end in "ab"]


def test_delays_of_all_kinds_of_packets(link: Link, relay: Relay) -> None:
    """Least delay within 2 ms: ICMP, IPv6, fragments, large MTU, several lengths."""
    bare = min(link.ping("-c", "20", "-i", "0.02"))
    for delay, address, size in (
        (0.005, ADDRESS, 56),
        (0.025, ADDRESS, 8900),
        (0.025, ADDRESS, 20_000),  # fragments
        (0.025, ADDRESS6, 20_000),
        (0.1, ADDRESS6, 56),
    ):
        relay.ask(*both(delay=delay))
        times = link.ping("-c", "20", "-i", "0.02", "-s", str(size), address=address)
        assert len(times) == 20
        # A busy machine may hold up half of them: the median is that of all, below.
        assert -CLOSE / 4 < (min(times) - bare) / 2 - delay < CLOSE, (delay, size, times)
    figures = relay.figures("a")
    assert figures["packets"] >= 4 * 20 + 2 * 20 * 3
    assert figures["lost"] == figures["overflow"] == figures["held"] == 0
    assert 0 <= figures["p50"] < CLOSE


def test_half_the_delay_while_packets_are_held(link: Link, relay: Relay) -> None:
    """Packets that are held keep the former delay; later ones may pass them."""
    relay.ask(*both(delay=2))
    pings = subprocess.Popen(
        link.command("a", "ping", "-n", "-c", "1", ADDRESS), stdout=subprocess.PIPE, text=True
    )
    relay.await_figures("a", lambda figures: figures["held"] >= 1)
    relay.ask(*both(delay=0.02))
    assert 0.04 <= median(link.ping("-c", "5", "-i", "0.02")) < 1
    assert float(re.findall(r"time=([\d.]+) ms", pings.communicate()[0])[0]) >= 2000
    assert relay.figures("a")["reordered"] >= 1


def test_removed_ends_let_pass_what_they_hold(link: Link, relay: Relay) -> None:
    relay.ask({"change": "a", "delay": 3000})
    pings = subprocess.Popen(
        link.command("a", "ping", "-n", "-c", "3", "-i", "0.01", "-W", "60", ADDRESS),
        stdout=subprocess.PIPE,
        text=True,
    )
    relay.await_figures("a", lambda figures: figures["held"] >= 3)
    relay.ask({"remove": "a"})
    assert "3 received" in pings.communicate(timeout=60)[0]
    assert median(link.ping("-c", "5", "-i", "0.01")) < 0.5
    assert relay.ask({"stats": "a"})[0]["error"] == "there is no end 'a'"


@pytest.mark.parametrize("loss", [1, 10])
def test_losses_within_the_binomial_interval(link: Link, relay: Relay, loss: int) -> None:
    """20 000 datagrams: the loss is within the interval of 99 %."""
    relay.ask({"change": "a", "delay": 0.01, "loss": loss, "limit": 30_000, "seed": 7})
    before, sent = link.datagrams(), 20_000
    script = (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for _ in range({sent}): s.sendto(b'x' * 100, ('{ADDRESS}', 9))\n"
    )
    # The port is closed: unconnected sockets do not receive that.
    link.run("a", "python3", "-c", script)
    figures = relay.await_figures("a", lambda now: not now["held"] and now["packets"] >= sent)
    arrived = link.datagrams() - before
    assert figures["overflow"] == 0
    assert sent - arrived <= figures["lost"] <= sent - arrived + 10  # others: neighbour discovery
    share = loss / 100
    assert abs(sent - arrived - sent * share) < 2.576 * math.sqrt(sent * share * (1 - share))


def test_overflow_is_counted(link: Link, relay: Relay) -> None:
    relay.ask({"change": "a", "delay": 1, "limit": 10})
    script = (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for _ in range(200): s.sendto(b'x', ('{ADDRESS}', 9))\n"
    )
    before = link.datagrams()
    link.run("a", "python3", "-c", script)
    relay.await_figures("a", lambda figures: not figures["held"])
    arrived = link.datagrams() - before
    # Some of the ten places may be held by frames of the kernel, such as reports of MLD.
    assert 1 <= arrived < 200
    assert relay.figures("a")["overflow"] >= 200 - arrived


def test_reordering_duplicates_and_jitter(link: Link, relay: Relay) -> None:
    relay.ask({"change": "a", "delay": 0.02, "duplicate": 20, "seed": 3})
    times = link.ping("-c", "100", "-i", "0.005")
    figures = relay.figures("a")
    assert figures["duplicated"] >= 5
    # The ping ends with its hundredth answer; copies of the last ones may come after that.
    assert figures["duplicated"] - 5 <= len(times) - 100 <= figures["duplicated"]
    assert len(times) > 100
    relay.ask({"change": "a", "duplicate": 0, "reorder": 20})
    times = link.ping("-c", "100", "-i", "0.005")
    assert len(times) == 100
    assert min(times) < 0.02 <= max(times)
    assert relay.figures("a")["reordered"] > 0
    relay.ask({"change": "a", "reorder": 0, "jitter": 0.01})
    times = link.ping("-c", "100", "-i", "0.03")
    assert len(times) == 100
    assert 0.01 <= min(times) < 0.015
    assert max(times) >= 0.025


#: Prints the most bits per second that arrive in two seconds, once a flow is there. A bucket that
#: is too large shows in each window; other work can only take from a flow, so that the first
#: window in which the expected rate comes is the last of at most five.
METER = """
import sys, time
after, expected = int(sys.argv[1]), float(sys.argv[2])
def look():
    with open('/proc/net/dev') as table:
        line = next(line for line in table if 'eth0:' in line)
    return time.monotonic(), int(line.split()[1])
begin = look()
while look()[1] < begin[1] + after:
    pass
rate = 0.0
for _ in range(5):
    one = look()
    time.sleep(2)  # the length of the measurement
    two = look()
    rate = max(rate, (two[1] - one[1]) * 8 / (two[0] - one[0]))
    if rate > 0.95 * expected:
        break
print(rate)
"""


@pytest.mark.needs("iperf3", "tc")
@pytest.mark.parametrize("rate", [1e6, 20e6, 200e6])
def test_the_rate_of_the_bucket_before_the_relay(link: Link, relay: Relay, rate: float) -> None:
    """Within 5 % of what is set, with the headers of Ethernet."""
    via = relay.figures("a")["via"]
    shape = Effect(rate=rate).tbf.split()
    link.run("a", "tc", "qdisc", "replace", "dev", via, "root", "tbf", *shape)
    assert arriving(link, 60_000, rate) / rate == pytest.approx(1, abs=0.05)


def arriving(link: Link, after: int, expected: float) -> float:
    """Return the bits per second of a flow of TCP, after that many bytes."""
    server = subprocess.Popen(
        link.command("b", "iperf3", "-s", "-1", "--forceflush"), stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    while "listening" not in server.stdout.readline():
        pass
    meter_command = link.command("b", sys.executable, "-c", METER, str(after), str(expected))
    meter = subprocess.Popen(meter_command, stdout=subprocess.PIPE, text=True)
    flow = link.command("a", "iperf3", "-c", ADDRESS, "-t", "60")
    with subprocess.Popen(flow, stdout=subprocess.DEVNULL) as client:
        measured = float(meter.communicate(timeout=80)[0])
        client.terminate()
    server.communicate(timeout=30)
    return measured


@pytest.mark.needs("iperf3", "tc")
def test_tcp_fills_a_long_pipe(link: Link, relay: Relay) -> None:
    """50 Mbit/s x 80 ms: nine tenths of it, without a loss."""
    via = relay.figures("a")["via"]
    shape = ["tbf", "rate", "50mbit", "burst", "32k", "limit", "1m"]
    link.run("a", "tc", "qdisc", "replace", "dev", via, "root", *shape)
    relay.ask(*both(delay=0.04))
    assert arriving(link, 10_000_000, 50e6) > 0.9 * 50e6
    figures = relay.figures("a")
    assert figures["overflow"] == figures["lost"] == 0
    qdisc = json.loads(link.run("a", "tc", "-s", "-j", "qdisc", "show", "dev", via))[0]
    assert qdisc["drops"] == 0


def test_a_killed_relay_leaves_nothing(link: Link, tmp_path: Path, relay: Relay) -> None:
    """Its rules, interfaces and namespace end with it, and traffic passes as before."""
    relay.ask(*both(delay=0.2))
    assert len(link.devices()) == 6
    assert link.rules()
    relay.process.kill()
    relay.process.communicate()
    # The kernel removes the namespace of the relay a little later.
    while len(link.devices()) > 4:
        pass
    assert median(link.ping("-c", "5", "-i", "0.02")) < 0.2
    relay.process = Relay(tmp_path).process  # ended by the fixture


def test_requests_that_cannot_be_carried_out(link: Link, relay: Relay) -> None:
    path = link.path("a")
    ip(f"-n {link.name}a tuntap add dev tun9 mode tun")
    try:
        answers = relay.ask(
            {"add": "a", "netns": path, "interface": "eth0"},
            {"add": "x", "netns": path, "interface": "eth0"},
            {"add": "x", "netns": path, "interface": "eth7"},
            {"add": "x", "netns": path, "interface": "tun9"},
            {"add": "x", "netns": "/run/netns/none", "interface": "eth0"},
            {"change": "a", "loss": 101},
            {"change": "a", "color": 1},
            {"remove": "y"},
            {"jump": 1},
        )
    finally:
        ip(f"-n {link.name}a link del tun9")
    assert [answer["error"] for answer in answers] == [
        "there is an end 'a' already",
        f"interface 'eth0' in {path} is impaired already",
        f"there is no interface 'eth7' in {path}",
        "interface 'tun9' has no frames of Ethernet",
        "/run/netns/none: No such file or directory",
        "loss must be a number from 0 to 100, not 101",
        "unknown parameter 'color'; there are delay, jitter, loss, burst, reorder, duplicate,"
        " limit, seed",
        "there is no end 'y'",
        "unknown command {'jump': 1}",
    ]
    assert "error" in relay.ask("no command")[0]  # type: ignore[arg-type]
    assert [end["name"] for end in relay.ask({"stats": ""})[0]] == ["a", "b"]
    assert len(link.devices()) == 6


def test_an_end_whose_interface_or_namespace_is_removed(link: Link, relay: Relay) -> None:
    """The relay gives it up: packets pass, and the namespace can go."""
    relay.ask(*both(delay=0.3))
    ip(f"-n {link.name}a link del {relay.figures('a')['via']}")
    while [end["name"] for end in relay.ask({"stats": ""})[0]] != ["b"]:
        pass
    assert 0.3 <= min(link.ping("-c", "5", "-i", "0.1")) < 0.6
    ip(f"netns add {link.name}c")
    ip(f"link add name eth1 netns {link.name}a type veth peer name eth1 netns {link.name}c")
    path = link.path("c")
    assert relay.ask({"add": "c", "netns": path, "interface": "eth1"})[0]["name"] == "c"
    ip(f"netns del {link.name}c")
    while "eth1" in link.devices():  # it ends with its peer, and that with the namespace
        pass
    assert [end["name"] for end in relay.ask({"stats": ""})[0]] == ["b"]


def test_other_interfaces_are_left_alone(link: Link, relay: Relay) -> None:
    """A second link of the same namespaces, and rules of another user, keep as they are."""
    relay.ask(*both(delay=1))
    a, b = f"{link.name}a", f"{link.name}b"
    ip(f"link add name eth1 netns {a} type veth peer name eth1 netns {b}")
    try:
        for number, space in enumerate((a, b), 1):
            ip(f"-n {space} addr add 10.78.0.{number}/24 dev eth1")
            ip(f"-n {space} link set eth1 up")
        link.run("a", "nft", "add table inet others")
        assert median(link.ping("-c", "5", "-i", "0.01", address="10.78.0.2")) < 0.5
        link.run("a", "nft", "flush ruleset")  # the tables of the relay have an owner
        assert link.ping("-c", "1")[0] >= 2
    finally:
        ip(f"-n {a} link del eth1")
