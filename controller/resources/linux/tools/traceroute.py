"""linux::Traceroute: finds the routers on the way to a machine."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....model import Attribute, Figure, Flag, Outputs
from .options import Option, Program, Target
from .tool import RepeatedTool

_HEAD = re.compile(r"^traceroute to \S+ \((\S+)\)", re.MULTILINE)
_HOP = re.compile(r"^ *(\d+) +(.*)$", re.MULTILINE)
_ADDRESS = re.compile(
    r"\(([0-9a-fA-F.:]+)(?:%\w+)?\)|(?:^|\s)((?:\d+\.){3}\d+|[0-9a-fA-F]*:[0-9a-fA-F:]+)(?=\s)"
)
_TIME = re.compile(r"([\d.]+) ms")


class Traceroute(RepeatedTool, rtype="linux::Traceroute", aliases=("LinuxTraceroute",)):
    """Finds the routers on the way to a machine by traceroute(8), of Debian or of busybox.

    It is FINISHED also if the machine was not reached. With ``continuous`` the figures are those of
    the last route.

    busybox knows the options ``ipv4 ipv6 dontFragment firstTtl interface maxHops useIP port tos
    wait queries bypass source sendWait`` and ``packetLength``; its ``sendWait`` is in milliseconds.
    """

    program = Program("traceroute", package="traceroute", version="--version")
    target = Attribute(
        Target, help="The machine to find the way to.", flags=Flag.DESIGN, required=True
    )
    packetLength = Attribute(int, help="Bytes in a packet.", range=(0, 65000), flags=Flag.DESIGN)

    useIP = Option(bool, "-n", help="Print addresses only, and look up no names.")
    ipv4 = Option(bool, "-4", help="Use IPv4.")
    ipv6 = Option(bool, "-6", help="Use IPv6.")
    icmp = Option(bool, "-I", help="Send ICMP echo requests; needs root.")
    tcp = Option(bool, "-T", help="Send TCP SYN; needs root.")
    udp = Option(bool, "-U", help="Send UDP to one port.")
    udpLite = Option(bool, "-UL", help="Send UDP-Lite; needs root.")
    dccp = Option(bool, "-D", help="Send DCCP requests; needs root and a kernel with DCCP.")
    protocol = Option(int, "-P", help="Send packets of an IP protocol; needs root.", range=(0, 255))
    module = Option(str, "-M", help="Method by its name, such as tcp.")
    moduleOptions = Option(str, "-O", help="Options of the method, comma-separated.")
    port = Option(int, "-p", help="Destination port, the first one for UDP.", range=(1, 65535))
    sourcePort = Option(int, "--sport", joint="=", help="Source port.", range=(1, 65535))
    source = Option(Target, "-s", help="Source address.")
    interface = Option(Target, "-i", help="Interface to send from.")
    gateways = Option(str, "-g", help="Routers to pass through, comma-separated.")
    firstTtl = Option(int, "-f", help="First hop to ask.", range=(1, 255))
    maxHops = Option(int, "-m", help="Last hop to ask.", range=(1, 255))
    queries = Option(int, "-q", help="Packets for each hop.", range=(1, 10))
    simQueries = Option(int, "-N", help="Packets on the way at one time.", range=(1, None))
    wait = Option(str, "-w", help="Time to wait for an answer, in seconds, as MAX,HERE,NEAR.")
    sendWait = Option(float, "-z", help="Least time between two packets; over 10: milliseconds.")
    tos = Option(int, "-t", help="Type of service.", range=(0, 255))
    flowLabel = Option(int, "-l", help="Flow label (IPv6).", range=(0, 0xFFFFF))
    dontFragment = Option(bool, "-F", help="Forbid fragments.")
    bypass = Option(bool, "-r", help="Send to a neighbour, past the routing table.")
    extensions = Option(bool, "-e", help="Print extensions of ICMP, such as MPLS.")
    asLookup = Option(bool, "-A", help="Look up the autonomous system of each address.")
    mtu = Option(bool, "--mtu", help="Find the MTU on the way.")
    back = Option(bool, "--back", help="Print the number of hops of the way back.")
    mark = Option(int, "--fwmark", joint="=", help="Mark for filters of the host; needs root.")
    debug = Option(bool, "-d", help="Set SO_DEBUG on the socket; needs root.")

    hops = Figure(int, help="Hops to the machine, or to the last router that answered.")
    reached = Figure(bool, help="Whether the machine answered.")
    route = Figure(str, help="Addresses hop by hop, space-separated; * for no answer.")
    rtt = Figure(float, unit="ms", help="Least round-trip time to the last hop that answered.")

    def operands(self) -> list[str]:
        """Return the target, and the length of packets."""
        length = [] if self.packetLength is None else [str(self.packetLength)]
        return [self.target, *length]

    def readings(self, line: str) -> Mapping[int, Mapping[str, Any]]:
        """Return a route that is complete, at the line of its target or of the next route."""
        head = _HEAD.match(line)
        lines: list[str] = getattr(self, "_lines", [])
        self._lines = [line] if head else [*lines, line]
        first = _HEAD.match(lines[0]) if lines else None
        if first is None:
            return {}
        route = _route(first[1], "\n".join(lines[1:] if head else self._lines[1:]))
        return {self.guid: {"route": route["route"]}} if head or route["reached"] else {}

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the last complete route."""
        text = outputs.text()
        heads = list(_HEAD.finditer(text))
        if not heads:
            return {}
        head = heads[-2] if len(heads) > 1 and self.continuous else heads[-1]
        end = heads[-1].start() if head is not heads[-1] else len(text)
        return _route(head[1], text[head.end() : end])


def _route(target: str, text: str) -> dict[str, Any]:
    hops: list[str] = []
    last, rtt = 0, None
    for number, line in _HOP.findall(text):
        # Several routers may answer for a hop, and busybox takes answers to other programs for its.
        addresses = [one or other for one, other in _ADDRESS.findall(line)]
        hops.append(target if target in addresses else (addresses or ["*"])[0])
        if addresses:
            last, rtt = int(number), min(map(float, _TIME.findall(line)), default=None)
    reached = bool(hops) and target in hops
    return {"hops": last, "reached": reached, "route": " ".join(hops), "rtt": rtt}
