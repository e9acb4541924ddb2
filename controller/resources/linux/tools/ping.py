"""linux::Ping: measures loss and round-trip times by ICMP echo requests."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ....model import Attribute, Duration, ExitCodes, Figure, Flag, Life, Outputs, StopSignal
from .options import Option, Program, Target
from .tool import Tool

_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+)(?: packets)? received(.*)")
_DUPLICATES = re.compile(r"\+?(\d+) duplicates")
_ERRORS = re.compile(r"\+(\d+) errors")
_LOSS = re.compile(r"([\d.]+)% packet loss")
_REPLY = re.compile(r"time[=<]([\d.]+) ms")
_TIMES = re.compile(r"min/avg/max(?:/mdev)? = ([\d.]+)/([\d.]+)/([\d.]+)(?:/([\d.]+))? ms")

# Tells a missing reply from an error, for which busybox exits with 1 too, and iputils with 2.
_BELOW_A_SHELL = (
    "trap : INT; {call}; code=$?; "
    "[ $code != 1 ] || grep -q 'packets transmitted' stdout || code=2; exit $code"
)
# Costs no process: test(1) is part of the shell.
_IS_BUSYBOX = "[ {path} -ef /bin/busybox ]"

# Summaries are at the end, after a line for each reply.
_SUMMARY = 2000


class Ping(Tool, rtype="linux::Ping", aliases=("LinuxPing",)):
    """Measures loss and round-trip times to a machine by ping(8), of iputils or of busybox.

    It is FINISHED when ping has ended, also if no reply came: that is a loss of 100 %. It is FAILED
    for an unknown machine or an option that ping refuses. A stop ends it by SIGINT, so that the
    figures of what was sent are there. Without ``count`` or ``deadline`` it runs until the stop.

    busybox knows the options ``count interval ttl address packetSize timeout deadline quiet pattern
    adaptive ipv4 ipv6``.
    """

    program = Program("ping", package="iputils-ping", version="-V")
    okExitCodes = Attribute(
        ExitCodes,
        "0,1",
        help="Exit codes of success; ping exits with 1 if replies are missing.",
        flags=Flag.DESIGN,
    )
    stopSignal = Attribute(
        StopSignal,
        "INT",
        help="The signal that requests its end; ping prints its figures at INT.",
        flags=Flag.DESIGN,
    )
    target = Attribute(Target, help="The machine to ping.", flags=Flag.DESIGN, required=True)

    count = Option(int, "-c", help="Number of packets to send.", range=(1, None))
    interval = Option(Duration, "-i", help="Time between two packets; ping's default is 1s.")
    deadline = Option(Duration, "-w", help="Time after which ping ends in any case.")
    timeout = Option(Duration, "-W", help="Time to wait for a reply; no time limit of ping itself.")
    packetSize = Option(int, "-s", help="Data bytes in a packet.", range=(0, 65507))
    ttl = Option(int, "-t", help="Time to live of the packets.", range=(1, 255))
    address = Option(Target, "-I", help="Source address, or interface to send from.")
    ipv4 = Option(bool, "-4", help="Use IPv4 only.")
    ipv6 = Option(bool, "-6", help="Use IPv6 only.")
    numeric = Option(bool, "-n", help="Do not look up names for addresses.")
    printTimestamp = Option(bool, "-D", help="Print the time before each line, since the epoch.")
    quiet = Option(bool, "-q", help="Print the summary only.")
    verbose = Option(bool, "-v", help="Print other ICMP packets too.")
    outstanding = Option(bool, "-O", help="Print a line for each reply that is late.")
    adaptive = Option(bool, "-A", help="Send the next packet when a reply comes.")
    flood = Option(bool, "-f", help="Send as fast as replies come, or 100 a second.")
    preload = Option(int, "-l", help="Packets to send before the first reply.", range=(1, 65536))
    pattern = Option(str, "-p", help="Bytes that fill the packets, up to 16, in hexadecimal.")
    tos = Option(str, "-Q", help="Type of service, decimal or hexadecimal.")
    mark = Option(int, "-m", help="Mark of the packets for filters of the host; needs root.")
    hint = Option(
        str, "-M", help="Path MTU discovery.", allowed=("", "do", "dont", "want", "probe")
    )
    recordRoute = Option(bool, "-R", help="Record the route in the packets (IPv4).")
    timestamp = Option(
        str,
        "-T",
        help="IP timestamps: tsonly, tsandaddr, or tsprespec and addresses.",
    )
    routeBypass = Option(bool, "-r", help="Send to a neighbour, past the routing table.")
    sendBuff = Option(int, "-S", help="Size of the send buffer, in bytes.", range=(1, None))
    fullLatency = Option(bool, "-U", help="Measure the latency from user to user.")
    audible = Option(bool, "-a", help="Ring the bell for each reply.")
    broadcast = Option(bool, "-b", help="Allow a broadcast address.")
    sticky = Option(bool, "-B", help="Keep the source address of the first packet.")
    connectSocket = Option(bool, "-C", help="Connect the socket (iputils of 2022 or newer).")
    debug = Option(bool, "-d", help="Set SO_DEBUG on the socket; needs root.")
    identifier = Option(int, "-e", help="Identifier of the packets.", range=(0, 65535))
    flowLabel = Option(int, "-F", help="Flow label (IPv6).", range=(0, 0xFFFFF))
    noLoopback = Option(bool, "-L", help="Do not receive own multicast packets.")
    nodeInfo = Option(str, "-N", help="Node information to query (IPv6), such as name.")

    transmitted = Figure(int, help="Packets sent.")
    received = Figure(int, help="Replies received.")
    duplicates = Figure(int, help="Replies received more than once.")
    errors = Figure(int, help="ICMP errors received (iputils only).")
    loss = Figure(float, unit="%", help="Packets without a reply.")
    rttMin = Figure(float, unit="ms", help="Least round-trip time.")
    rttAvg = Figure(float, unit="ms", help="Mean round-trip time.")
    rttMax = Figure(float, unit="ms", help="Greatest round-trip time.")
    rttMdev = Figure(float, unit="ms", help="Mean deviation of it (iputils only).")

    @property
    def life(self) -> Life:
        """Its life, which ``deadline`` limits: ``timeout`` is an option of ping."""
        return replace(super().life, timeout=0.0)

    def operands(self) -> list[str]:
        """Return the target."""
        return [self.target]

    def wrapped(self, call: str) -> str:
        """Return the text for sh that runs ping, below a shell if it is that of busybox."""
        below, name = _BELOW_A_SHELL.format(call=call), self.program[0]
        if name == "busybox":
            return below
        paths = [name] if "/" in name else [f"/bin/{name}", f"/usr/bin/{name}"]
        tests = " || ".join(_IS_BUSYBOX.format(path=shlex.quote(path)) for path in paths)
        return f"if {tests}; then {below}; fi; {super().wrapped(call)}"

    def readings(self, line: str) -> Mapping[int, Mapping[str, Any]]:
        """Return the round-trip time of a reply."""
        reply = _REPLY.search(line)
        return {self.guid: {"rtt": f"{reply[1]} ms"}} if reply else {}

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return what the summary has; nothing if there is none."""
        text = outputs.text(last=_SUMMARY)
        counts = _COUNTS.search(text)
        if counts is None:
            return {}
        sent, received, rest = int(counts[1]), int(counts[2]), counts[3]
        duplicates, problems, loss = (p.search(rest) for p in (_DUPLICATES, _ERRORS, _LOSS))
        figures: dict[str, Any] = {
            "transmitted": sent,
            "received": received,
            "duplicates": int(duplicates[1]) if duplicates else 0,
            "errors": int(problems[1]) if problems else 0,
            "loss": float(loss[1]) if loss else None,
        }
        times = _TIMES.search(text)
        if times is not None:
            names = ("rttMin", "rttAvg", "rttMax", "rttMdev")
            figures |= {
                name: float(time)
                for name, time in zip(names, times.groups(), strict=True)
                if time is not None
            }
        return figures
