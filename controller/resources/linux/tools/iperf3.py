"""linux::Iperf3Server and linux::Iperf3Client: measure the throughput between two machines."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from ....model import (
    Attribute,
    Connection,
    Duration,
    Figure,
    Flag,
    Outputs,
    Readiness,
    Trace,
)
from .options import Option, Program, Target
from .servers import Client, Server

# Writes the sums of iperf3's intervals as CSV, and its error, which is part of the JSON, to stderr.
# With -J some versions of iperf3 exit with 0 after an error.
_INTERVALS = r"""
BEGIN {
    n = split("start end seconds bytes bits_per_second retransmits jitter_ms lost_packets " \
        "packets lost_percent omitted sender", keys, " ")
    print "start,end,seconds,bytes,bitsPerSecond,retransmits,jitterMs,lost,packets,lossPercent," \
        "omitted,sender"
}
/^\t"intervals":/ { within = 1 }
/^\t"end":/ { within = 0 }
/^\t"error":/ { sub(/^\t"error":\t"/, ""); sub(/",?$/, ""); failed = 1
    print "iperf3: " $0 >"/dev/stderr" }
within && /"sum[a-z_]*":\t\{/ { summing = 1; split("", sum); next }
summing && /}/ {
    line = sum[keys[1]]
    for (i = 2; i <= n; i++) line = line "," sum[keys[i]]
    print line
    summing = 0
}
summing { gsub(/[\t", ]/, ""); split($0, pair, ":"); sum[pair[1]] = pair[2] }
END { exit failed }
"""


class Iperf3Server(Server, rtype="linux::Iperf3Server"):
    """A server of iperf3(1) for one test, on a port of its own.

    It is STARTED when it listens and FINISHED after the test of one client.
    """

    program = Program("iperf3", package="iperf3", version="--version")
    startedWhen = Attribute(
        Readiness,
        "output:Server listening",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )

    interval = Option(Duration, "-i", help="Time between two lines of its report.")
    affinity = Option(str, "-A", help="Processors to run on, as N or N,M.")
    bindDevice = Option(Target, "--bind-dev", help="Interface to listen on; needs root.")
    idleTimeout = Option(
        int, "--idle-timeout", help="Seconds without a client after which it begins anew."
    )
    bitrateLimit = Option(str, "--server-bitrate-limit", help="Greatest rate, in bits a second.")
    rcvTimeout = Option(int, "--rcv-timeout", help="Idle milliseconds of a receiver.")
    ipv4 = Option(bool, "-4", help="Use IPv4 only.")
    ipv6 = Option(bool, "-6", help="Use IPv6 only.")
    verbose = Option(bool, "-V", help="Print more.")
    rsaPrivateKeyPath = Option(
        str, "--rsa-private-key-path", help="File on the host with the key that opens passwords."
    )
    authorizedUsersPath = Option(
        str, "--authorized-users-path", help="File on the host with the users."
    )
    timeSkewThreshold = Option(
        int, "--time-skew-threshold", help="Difference of clocks allowed, in seconds."
    )

    def call(self) -> str:
        """Return the call of iperf3, whose port is a variable of the shell."""
        bound = ["-B", self.bind] if self.bind else []
        words = [
            *self.program,
            "-s",
            "-1",
            "--forceflush",
            *bound,
            *self.option_words(),
            *self.extra,
        ]
        return f'{shlex.join(words)} -p "$port"'


class Iperf3Client(Client, rtype="linux::Iperf3Client"):
    """A test of TCP, UDP or SCTP with a server of iperf3(1).

    Connect it to a linux::Iperf3Server: it starts once that listens, and finds its port. Or set
    ``target`` and ``port`` of a server that is not part of the experiment.

    The trace ``stdout`` is the report in JSON; text before or after it does no harm. The trace
    ``intervals`` has the rate of each interval as a table.
    """

    program = Program("iperf3", package="iperf3", version="--version")

    time = Option(Duration, "-t", help="Length of the test; iperf3's default is 10s.")
    bytes = Option(str, "-n", help="Bytes to send instead, as 10M.")
    blockCount = Option(str, "-k", help="Blocks to send instead.")
    interval = Option(Duration, "-i", help="Length of an interval; iperf3's default is 1s.")
    omit = Option(int, "-O", help="Seconds at the beginning that do not count.", range=(0, 60))
    udp = Option(bool, "-u", help="Use UDP.")
    sctp = Option(bool, "--sctp", help="Use SCTP.")
    bitrate = Option(str, "-b", help="Rate to send at, as 10M; 0: no limit; UDP's default is 1M.")
    reverse = Option(bool, "-R", help="Let the server send.")
    bidir = Option(bool, "--bidir", help="Let both send.")
    parallel = Option(int, "-P", help="Number of streams.", range=(1, 128))
    length = Option(str, "-l", help="Bytes of a block or datagram, as 128K.")
    window = Option(str, "-w", help="Size of the socket's buffers, as 1M.")
    congestion = Option(str, "-C", help="Congestion control of TCP, such as cubic.")
    mss = Option(int, "-M", help="Largest segment of TCP.", range=(88, 65535))
    noDelay = Option(bool, "-N", help="Send small segments at once.")
    pacingTimer = Option(int, "--pacing-timer", help="Period of pacing, in microseconds.")
    fqRate = Option(str, "--fq-rate", help="Rate of pacing by the kernel, in bits a second.")
    ipv4 = Option(bool, "-4", help="Use IPv4 only.")
    ipv6 = Option(bool, "-6", help="Use IPv6 only.")
    tos = Option(str, "-S", help="Type of service.")
    dscp = Option(str, "--dscp", help="Differentiated services code point.")
    flowLabel = Option(int, "-L", help="Flow label (IPv6).", range=(0, 0xFFFFF))
    zerocopy = Option(bool, "-Z", help="Send without copying.")
    bind = Option(Target, "-B", help="Source address.")
    bindDevice = Option(Target, "--bind-dev", help="Interface to send from; needs root.")
    clientPort = Option(int, "--cport", help="Source port.", range=(1, 65535))
    affinity = Option(str, "-A", help="Processors to run on, as N or N,M.")
    connectTimeout = Option(int, "--connect-timeout", help="Milliseconds to wait for the server.")
    rcvTimeout = Option(int, "--rcv-timeout", help="Idle milliseconds of a receiver.")
    sndTimeout = Option(int, "--snd-timeout", help="Milliseconds for data without acknowledgement.")
    file = Option(str, "-F", help="File on the host to send.")
    nstreams = Option(int, "--nstreams", help="Number of SCTP streams.", range=(1, None))
    xbind = Option(str, "-X", help="Addresses of an SCTP association.")
    title = Option(str, "-T", help="Text for the report.")
    extraData = Option(str, "--extra-data", help="Text for the report of both sides.")
    serverOutput = Option(bool, "--get-server-output", help="Add the report of the server.")
    udpCounters64bit = Option(bool, "--udp-counters-64bit", help="Count datagrams in 64 bits.")
    repeatingPayload = Option(bool, "--repeating-payload", help="Send a pattern, not random data.")
    dontFragment = Option(bool, "--dont-fragment", help="Forbid fragments (UDP over IPv4).")
    verbose = Option(bool, "-V", help="Report more.")
    username = Option(str, "--username", help="User for a server that wants one.")
    rsaPublicKeyPath = Option(
        str, "--rsa-public-key-path", help="File on the host with the key for the password."
    )

    bitsPerSecond = Figure(float, unit="bit/s", help="Rate at the receiver.")
    sentBitsPerSecond = Figure(float, unit="bit/s", help="Rate at the sender.")
    bytesReceived = Figure(int, unit="B", help="Bytes at the receiver.")
    seconds = Figure(float, unit="s", help="Length of the test.")
    retransmits = Figure(int, help="Segments of TCP that were sent again.")
    rttAvg = Figure(float, unit="ms", help="Mean round-trip time of TCP, over the streams.")
    jitter = Figure(float, unit="ms", help="Jitter of UDP.")
    lost = Figure(int, help="Datagrams of UDP that were lost.")
    packets = Figure(int, help="Datagrams of UDP.")
    loss = Figure(float, unit="%", help="Datagrams of UDP that were lost.")
    reverseBitsPerSecond = Figure(float, unit="bit/s", help="With bidir: rate of the other way.")
    cpuLocal = Figure(float, unit="%", help="Processor time here, of one processor.")
    cpuRemote = Figure(float, unit="%", help="Processor time at the server, of one processor.")

    intervals = Trace(help="Rates by interval, as CSV.", file="intervals.csv")

    server = Connection(
        Iperf3Server, waits=False, follows=True, help="The server, on any host; it starts before."
    )

    def call(self) -> str:
        """Return the call of iperf3 with the address of the server."""
        target, port = self.endpoint()
        words = [*self.program, "-c", target, "-J", *self.option_words(), *self.extra]
        return shlex.join([*words, *(["-p", str(port)] if port else [])])

    def wrapped(self, call: str) -> str:
        """Return the text for sh that runs the test, and then writes the table."""
        table = f"awk {shlex.quote(_INTERVALS)} stdout >intervals.csv"
        return f"trap : TERM\n{call}\ncode=$?\n{table} || [ $code != 0 ] || code=1\nexit $code"

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return what the end of the report has."""
        end = _end(outputs.text())
        received = end.get("sum_received") or end.get("sum") or {}
        sent = end.get("sum_sent") or end.get("sum") or {}
        datagrams = end.get("sum") or {}
        cpu = end.get("cpu_utilization_percent", {})
        rtts = [s["sender"]["mean_rtt"] for s in end.get("streams", []) if _has_rtt(s)]
        figures = {
            "bitsPerSecond": received.get("bits_per_second"),
            "sentBitsPerSecond": sent.get("bits_per_second"),
            "bytesReceived": received.get("bytes"),
            "seconds": received.get("seconds"),
            "retransmits": sent.get("retransmits"),
            "rttAvg": sum(rtts) / len(rtts) / 1000 if rtts else None,
            "jitter": datagrams.get("jitter_ms"),
            "lost": datagrams.get("lost_packets"),
            "packets": datagrams.get("packets"),
            "loss": datagrams.get("lost_percent"),
            "cpuLocal": cpu.get("host_total"),
            "cpuRemote": cpu.get("remote_total"),
        }
        other = end.get("sum_received_bidir_reverse") or end.get("sum_bidir_reverse") or {}
        figures["reverseBitsPerSecond"] = other.get("bits_per_second")
        return figures


def _has_rtt(stream: Mapping[str, Any]) -> bool:
    return bool(stream.get("sender", {}).get("mean_rtt"))


def _end(text: str) -> dict[str, Any]:
    """Return the object ``end`` of a report, of which the beginning may be missing."""
    found = text.rfind('\n\t"end":')
    start = text.find("{", found) if found >= 0 else -1
    if start < 0:
        return {}
    end, _ = json.JSONDecoder().raw_decode(text, start)
    return end if isinstance(end, dict) else {}
