"""Measuring tools: their commands, and the figures of what programs print."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.description.shared_work import Leaders
from nepiq.controller.errors import HostError, InvalidValue, NotAllowed
from nepiq.controller.model import Attribute, Exit, Figure, Flag, Outputs, State, registry
from nepiq.controller.resources import CATALOGUE
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.linux.tools import Option, Program, Tool
from nepiq.controller.testing import Harness

TOOLS = [
    cls for rtype in CATALOGUE if issubclass(cls := registry.find(rtype), Tool) and cls is not Tool
]


def tool(rtype: str, node: Harness[Any] | None = None, **settings: Any) -> Harness[Any]:
    return Harness(f"linux::{rtype}", node=node or Harness(Node), **settings)


def figures(rtype: str, stdout: str = "", stderr: str = "", **settings: Any) -> dict[str, Any]:
    cls = registry.find(f"linux::{rtype}")
    outputs = {"stdout": stdout.encode(), "stderr": stderr.encode()}
    rm = cls.load(guid=1, attributes=settings)
    return dict(rm.figures(Outputs(Exit(0, "FINISHED", outputs=outputs), _nothing)))


def _nothing(path: str, last: int) -> bytes:
    raise AssertionError(f"{path} was read from the host")


def call(harness: Harness[Any]) -> str:
    return str(harness.rm.call())


# --- options


def test_options_become_arguments() -> None:
    ping = tool("Ping", target="a.example", count=3, interval="200ms", quiet=True, ttl="5")
    assert call(ping) == "ping -c 3 -i 0.2 -t 5 -q a.example"
    assert call(tool("Ping", target="::1", quiet=False)) == "ping ::1"
    assert call(tool("Traceroute", target="b", sourcePort=7, packetLength=99)) == (
        "traceroute --sport=7 b 99"
    )
    assert call(tool("NPing", target="b", v=2, tcp=True)) == "nping --tcp -v2 b"
    assert call(tool("HttpLoad", url="http://x/", headers=["A: b", "C: d"])) == (
        "ab -r -H 'A: b' -H 'C: d' -q http://x/"
    )


def test_clients_name_their_server() -> None:
    assert call(tool("Iperf3Client", target="a")) == "iperf3 -c a -J"
    assert call(tool("Iperf3Client", target="a", port=7)) == "iperf3 -c a -J -p 7"
    assert call(tool("NetcatSender", target="a", port=7, size=1)) == "nc -v -N a 7"
    assert call(tool("HttpLoad", target="::1", port=7, path="x")) == "ab -r -q 'http://[::1]:7/x'"
    assert call(tool("HttpLoad", target="a")) == "ab -r -q http://a/"
    node = Harness("linux::Node")
    server = Harness("linux::HttpServer", node=node, port=8)
    connected = Harness("linux::HttpLoad", node=node, server=server)
    server.deploy()
    server.start()
    assert call(connected) == "ab -r -q http://127.0.0.1:8/"


def test_further_arguments_and_another_program() -> None:
    ping = tool("Ping", target="a", program="busybox ping", extra="-x 'a b'")
    assert call(ping) == "busybox ping -x 'a b' a"


@pytest.mark.needs("busybox", "ping")
def test_the_ping_of_busybox_is_known_by_its_file(tmp_path: Path) -> None:
    link = tmp_path / "ping"
    link.symlink_to("/bin/busybox")
    for program, code in ((str(link), 2), ("busybox ping", 2), ("ping", 2)):
        ping = tool("Ping", target="nowhere.invalid", count=1, program=program)
        text = f"exec >stdout; {ping.rm.wrapped(ping.rm.call())}"
        done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == code, (program, done.stderr)
    assert " exec ping " in tool("Ping", target="a").rm.wrapped("ping a")
    assert "exec" not in tool("Ping", target="a", program="busybox ping").rm.wrapped("ping a")


@pytest.mark.parametrize(
    ("rtype", "settings"),
    [
        ("Ping", {"target": "-f"}),
        ("Ping", {"target": "a b"}),
        ("Ping", {"count": 0}),
        ("Ping", {"count": "many"}),
        ("Ping", {"hint": "perhaps"}),
        ("Ping", {"program": ""}),
        ("Ping", {"extra": "'"}),
        ("Tcpdump", {"w": "../x"}),
        ("UdpTest", {"q": "7"}),
    ],
)
def test_values_that_are_refused(rtype: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        Description().add(f"linux::{rtype}", **settings)


def test_figures_cannot_be_set() -> None:
    with pytest.raises(NotAllowed):
        Description().add("linux::Ping", loss=0.0)


@pytest.mark.parametrize("cls", TOOLS, ids=lambda cls: cls.rtype)
def test_each_type_is_complete(cls: type[Tool]) -> None:
    assert cls.__doc__
    assert isinstance(cls.attributes["program"], Program)
    switches = [item.switch for item in vars(cls).values() if isinstance(item, Option)]
    assert len(switches) == len(set(switches))
    for attribute in vars(cls).values():
        if isinstance(attribute, Attribute) and not isinstance(attribute, Figure):
            assert attribute.flags & (Flag.DESIGN | Flag.NO_WRITE)


@pytest.mark.parametrize(
    ("rtype", "settings", "problem"),
    [
        ("Iperf3Client", {}, "no server"),
        ("HttpLoad", {}, "no server"),
        ("NetcatSender", {"size": 1}, "no receiver"),
        ("NetcatSender", {"target": "a", "port": 1}, "file or size"),
        ("UdpTest", {}, "no server"),
    ],
)
def test_what_does_not_go_together(rtype: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem):
        tool(rtype, **settings).deploy()


# --- deployment


def test_a_program_that_is_missing_is_installed() -> None:
    ping = tool("Ping", target="a", count=1)
    ping.host.absent.add("ping")
    ping.host.answer("dpkg-query", "apt-get\niputils-ping\n")
    ping.host.answer("apt-get -q", lambda _: ping.host.absent.clear())
    ping.deploy()
    assert any("install iputils-ping" in command for command in ping.host.commands)
    assert ping.state is State.READY


def test_the_version_of_a_program_is_a_fact() -> None:
    ping = tool("Ping", target="a", count=1)
    ping.host.versions["ping"] = "ping from iputils 20221126"
    ping.deploy()
    assert ping.attributes["programVersion"] == "ping from iputils 20221126"
    assert Flag.FACT in type(ping.rm).attributes["programVersion"].flags
    other = tool("Ping", target="a", program="/opt/ping")
    other.host.versions["/opt/ping"] = "never asked for"
    other.deploy()
    assert "programVersion" not in other.attributes


def test_a_program_that_cannot_be_installed() -> None:
    ping = tool("Ping", target="a", count=1)
    ping.host.absent.add("ping")
    ping.host.answer("dpkg-query", "apt-get\niputils-ping\n")
    ping.host.answer("apt-get -q", HostError("lab may not use sudo"))
    with pytest.raises(HostError, match=r"lacks ping.* iputils-ping cannot be installed.*sudo"):
        ping.deploy()


def test_a_program_of_the_user_is_not_installed() -> None:
    ping = tool("Ping", target="a", program="/opt/ping")
    ping.host.absent.add("/opt/ping")
    with pytest.raises(HostError, match="lacks the program '/opt/ping'"):
        ping.deploy()
    assert ping.host.commands == []


def test_one_tool_looks_for_the_program_for_all_on_its_host() -> None:
    description = Description()
    nodes = [description.add("linux::Node") for _ in range(2)]

    def ping(node: int, **settings: Any) -> int:
        return description.add("linux::Ping", target="a", node=node, **settings)

    first, second, far = ping(nodes[0]), ping(nodes[0]), ping(nodes[1])
    other, own = ping(nodes[0], program="busybox ping"), ping(nodes[0], command="true")
    leaders = Leaders(description)
    leaders.propose([first, second, far, other, own])
    found = {guid: leaders.of(guid) for guid in (first, second, far, other, own)}
    assert found == {first: first, second: first, far: far, other: other, own: None}
    spec = description.spec(second, leader=first)
    assert "deploy" in spec.idle
    assert ("deploy", first, "READY", 0.0, False) in spec.gates
    spec = description.spec(first, leader=first)
    assert "deploy" not in spec.idle
    assert spec.attributes["prepares"] is True

    leaders.propose([second])  # the others were not uploaded after all
    assert leaders.of(second) == second
    leaders.confirm([second])
    leaders.propose([first])
    assert leaders.of(first) == second


def test_early_start_is_adopted() -> None:
    ping = tool("Ping", target="a", earlyStart=True)
    ping.deploy()
    assert [call.verb for call in ping.host.calls].count("supervise") == 1
    ping.clock.advance(3)
    ping.start()
    assert ping.milestones[State.STARTED] == 0.0


def test_a_server_reports_its_port_and_a_client_finds_it() -> None:
    node = Harness(Node)
    server = tool("Iperf3Server", node)
    server.host.answer("iperf3 -s", lambda _: server.host.write("port", b"20123\n"))
    client = tool("Iperf3Client", node, server=server)
    server.deploy()
    server.host.files["/home/user/.nepiq/run/1/%d/1/port" % server.guid] = b"20123\n"  # noqa: UP031
    server.start()
    assert server.rm.listeningPort == 20123
    assert call(client) == "iperf3 -c 127.0.0.1 -J -p 20123"
    elsewhere = tool("Iperf3Client", Harness(Node, hostname="b"), server=server)
    assert call(elsewhere) == "iperf3 -c 10.0.0.1 -J -p 20123"


# --- figures


def test_figures_of_ping() -> None:
    text = (
        "5 packets transmitted, 4 received, +2 duplicates, +1 errors, 20% packet loss, time 4ms\n"
        "rtt min/avg/max/mdev = 0.026/0.041/0.052/0.010 ms, pipe 2\n"
    )
    assert figures("Ping", text) == {
        "transmitted": 5,
        "received": 4,
        "duplicates": 2,
        "errors": 1,
        "loss": 20.0,
        "rttMin": 0.026,
        "rttAvg": 0.041,
        "rttMax": 0.052,
        "rttMdev": 0.01,
    }
    busybox = (
        "3 packets transmitted, 3 packets received, 1 duplicates, 0% packet loss\n"
        "round-trip min/avg/max = 0.059/0.104/0.130 ms\n"
    )
    found = figures("Ping", busybox)
    assert (found["duplicates"], found["rttMax"], "rttMdev" in found) == (1, 0.13, False)
    assert figures("Ping", "ping: unknown host\n") == {}


def test_figures_of_traceroute() -> None:
    text = (
        "traceroute to c (10.0.2.9), 30 hops max, 60 byte packets\n"
        " 1  r1 (10.0.0.1)  0.5 ms  0.4 ms r2 (10.0.0.2)  0.3 ms\n"
        " 2  * * *\n"
        " 3  c (10.0.2.9)  1.5 ms !X  1.25 ms  1.75 ms\n"
    )
    found = {"hops": 3, "reached": True, "route": "10.0.0.1 * 10.0.2.9", "rtt": 1.25}
    assert figures("Traceroute", text) == found
    plain = "traceroute to ::2 (::2), 30 hops max, 80 byte packets\n 1  fe80::1  0.5 ms\n 2  *\n"
    assert figures("Traceroute", plain)["reached"] is False
    begun = text + "traceroute to c (10.0.2.9), 30 hops max, 60 byte packets\n 1  r1 (10.0.0.1)"
    assert figures("Traceroute", begun, continuous=True) == found


def read_line_by_line(rm: Any, text: str) -> list[dict[int, dict[str, Any]]]:
    return [dict(values) for values in map(rm.readings, text.splitlines()) if values]


def test_readings_of_traceroute() -> None:
    rm = registry.find("linux::Traceroute").load(guid=7)
    head = "traceroute to c (10.0.2.9), 30 hops max, 60 byte packets\n"
    whole = head + " 1  10.0.0.1  0.5 ms\n 2  *\n 3  10.0.2.9  1.5 ms\n"
    cut = head + " 1  10.0.0.1  0.5 ms\n 2  *\n"
    found = [{7: {"route": "10.0.0.1 * 10.0.2.9"}}, {7: {"route": "10.0.0.1 *"}}]
    # A route is known at the line of its target, or else where the next one begins.
    assert read_line_by_line(rm, whole) == found[:1]
    assert read_line_by_line(rm, "noise\n" + cut + whole)[-2:] == [found[1], found[0]]


def test_readings_of_ping() -> None:
    rm = registry.find("linux::Ping").load(guid=7)
    text = (
        "PING a (10.0.0.1) 56(84) bytes of data.\n64 bytes from a: icmp_seq=1 ttl=64 time=0.5 ms\n"
    )
    assert read_line_by_line(rm, text) == [{7: {"rtt": "0.5 ms"}}]


SAMPLES = (
    "time,a-b.sent,a-b.received,b-c.sent,b-c.received\n"
    "100.0,1000,0,50,70\n"
    "102.0,3000,500,,\n"  # its interface was not there
    "broken\n"
    "103.0,3000,500,60,70\n"
    "103.5,3000,500,160,70\n"
)


def test_links_are_sampled() -> None:
    links = [
        registry.find("netns::Link").load(guid=guid, label=label)
        for guid, label in ((3, "a-b"), (4, "b-c"))
    ]
    rm = registry.find("linux::LinkStat").load(guid=7, peers={"links": links})
    assert read_line_by_line(rm, SAMPLES) == [
        {3: {"out": 8000.0, "in": 2000.0}},
        {3: {"out": 0.0, "in": 0.0}, 4: {"out": 1600.0, "in": 0.0}},
    ]
    assert figures("LinkStat", SAMPLES) == {"samples": 4, "peak": 8000.0, "busiest": "a-b"}
    assert figures("LinkStat", SAMPLES[:60]) == {"samples": 1}
    assert figures("LinkStat") == {"samples": 0}


def test_figures_of_mtr() -> None:
    hub = '{"count": %d, "host": "%s", "Loss%%": %s, "Snt": 4, "Avg": 2, "Best": 1, "Wrst": 3, '
    hubs = [(1, "10.0.0.1", 0), (2, "???", 100), (3, "c (10.0.2.9)", 25)]
    items = ",\n".join(hub % item + '"StDev": 0.5}' for item in hubs)
    report = f'{{\n"report": {{"hubs": [{items}]}}\n}}\n'
    assert figures("Mtr", "20250101000000\n" + report + '{\n"report"') == {
        "hops": 3,
        "route": "10.0.0.1 * c",
        "loss": 25.0,
        "sent": 4,
        "rttMin": 1.0,
        "rttAvg": 2.0,
        "rttMax": 3.0,
        "rttStdev": 0.5,
    }


def test_figures_of_nping() -> None:
    text = (
        "Max rtt: 2.5ms | Min rtt: 0.5ms | Avg rtt: 1.5ms\n"
        "Raw packets sent: 4 (112B) | Rcvd: 3 (84B) | Lost: 1 (25.00%)\n"
    )
    assert figures("NPing", text) == {
        "sent": 4,
        "received": 3,
        "loss": 25.0,
        "rttMin": 0.5,
        "rttAvg": 1.5,
        "rttMax": 2.5,
    }
    connections = "TCP connection attempts: 2 | Successful connections: 0 | Failed: 2 (100.00%)\n"
    assert figures("NPing", connections) == {"sent": 2, "received": 0, "loss": 100.0}


def test_figures_of_tcpdump() -> None:
    text = "1 packet captured\n3 packets received by filter\n2 packets dropped by kernel\n"
    assert figures("Tcpdump", stderr=text) == {"captured": 1, "received": 3, "dropped": 2}


def test_figures_of_iperf3_with_text_around_the_report() -> None:
    end = (
        '"sum_sent":\t{"bits_per_second": 9.5, "retransmits": 3},'
        '"sum_received":\t{"bits_per_second": 8.5, "bytes": 100, "seconds": 2},'
        '"streams":\t[{"sender":\t{"mean_rtt": 2000}}]'
    )
    report = f'{{\n\t"intervals":\t[],\n\t"end":\t{{{end}}},\n\t"title":\t"x"\n}}\n'
    found = figures("Iperf3Client", f"warning\n{report}iperf3: interrupt\n")
    assert found["bitsPerSecond"] == 8.5
    assert (found["sentBitsPerSecond"], found["retransmits"], found["rttAvg"]) == (9.5, 3, 2.0)
    assert figures("Iperf3Client", "no report")["bitsPerSecond"] is None
    assert figures("Iperf3Client", '{\n\t"end":\t{\n\t},\n\t"error":\t"x"\n}')["lost"] is None
