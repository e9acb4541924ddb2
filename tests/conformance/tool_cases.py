"""Attributes of the tools, each with a value that the real program accepts on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.net import free_port

HERE = "127.0.0.1"

#: The type of the server of a client.
SERVERS = {
    "Iperf3Client": "Iperf3Server",
    "UdpTest": "Iperf3Server",
    "NetcatSender": "NetcatReceiver",
    "HttpLoad": "HttpServer",
}

#: The attributes that cannot be tested on any host, or are tested elsewhere: why, or where.
OTHERS: dict[str, dict[str, str]] = {
    "Iperf3Server": {
        "rsaPrivateKeyPath": "needs users with passwords, which iperf3 takes from its environment",
        "authorizedUsersPath": "the same",
        "timeSkewThreshold": "the same",
    },
    "LinkStat": {"interval": "e2e/network/test_emulated.py"},
    "UdpTest": {"s": "test_tool_figures.py", "p": "test_tool_figures.py"},
    "Traceroute": {"asLookup": "needs a registry on the internet"},
    "NPing": {
        "echoClient": "needs a server on the internet or of its own",
        "echoPort": "the same",
        "noCrypto": "the same",
    },
}


@dataclass(frozen=True)
class Case:
    """A tool that runs once.

    Attributes:
        kind: its type without ``linux::``.
        settings: its attributes. ``{samples}`` in a text is a folder with files for the tools.
        state: the state that it ends in.
        server: what a client is connected to, if it has a server of its own.
        complaint: a part of its stderr.
    """

    kind: str
    settings: dict[str, Any]
    state: str = "FINISHED"
    server: dict[str, Any] | None = None
    complaint: str = ""

    @property
    def rtype(self) -> str:
        """The type."""
        return f"linux::{self.kind}"


def refused(case: Case, complaint: str) -> Case:
    """A case that this machine refuses, after the program has accepted its arguments."""
    return replace(case, state="FAILED", complaint=complaint)


def ping(**settings: Any) -> Case:
    return Case("Ping", {"target": HERE, "count": 1, **settings})


def traceroute(**settings: Any) -> Case:
    return Case("Traceroute", {"target": HERE, "maxHops": 2, "queries": 1, **settings})


def mtr(**settings: Any) -> Case:
    return Case("Mtr", {"target": HERE, "reportCycles": 1, "interval": 0.2, **settings})


def nping(**settings: Any) -> Case:
    return Case("NPing", {"target": HERE, "c": 1, **settings})


def printed(**settings: Any) -> Case:
    """tcpdump that prints packets of a file."""
    return Case("Tcpdump", {"r": "{samples}/sample.pcap", "w": False, **settings})


def captured(**settings: Any) -> Case:
    """tcpdump that captures one packet of the loopback interface."""
    return Case("Tcpdump", {"i": "lo", "c": 1, **settings})


def client(server: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case("Iperf3Client", {"time": 1, **settings}, server=server or {})


def udp(**settings: Any) -> Case:
    return Case("UdpTest", {"t": 1, **settings}, server={})


def sender(server: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case("NetcatSender", {"size": 1000, **settings}, server=server or {})


def load(server: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case("HttpLoad", {"requests": 2, **settings}, server=server or {})


CASES = [
    ping(interval=0.2, deadline=5, timeout=1, packetSize=100, ttl=9, numeric=True, ipv4=True),
    ping(printTimestamp=True, verbose=True, outstanding=True, audible=True, adaptive=True),
    ping(quiet=True, flood=True, preload=2, pattern="ff00", tos="0x10", identifier=99),
    ping(mark=7, hint="do", debug=True, sticky=True, sendBuff=5000, fullLatency=True),
    ping(broadcast=True, noLoopback=True, address=HERE, routeBypass=True),
    ping(connectSocket=True),
    ping(recordRoute=True),
    ping(timestamp="tsonly"),
    ping(target="::1", ipv6=True, flowLabel=5),
    ping(target="::1", nodeInfo="name", deadline=1),
    traceroute(useIP=True, ipv4=True, firstTtl=1, simQueries=2, wait="1,2,3", sendWait=0.01),
    traceroute(icmp=True, interface="lo", tos=16, dontFragment=True, packetLength=100),
    traceroute(tcp=True, port=80, sourcePort=5555, mark=7),
    traceroute(udp=True, debug=True, extensions=True, source=HERE),
    traceroute(udpLite=True),
    traceroute(protocol=17, bypass=True),
    traceroute(module="tcp", moduleOptions="syn,ack"),
    traceroute(mtu=True),
    traceroute(back=True),
    traceroute(gateways=HERE),
    refused(traceroute(dccp=True), "not supported"),
    traceroute(target="::1", ipv6=True, flowLabel=6),
    mtr(noDns=True, ipv4=True, firstTtl=1, maxTtl=3, maxUnknown=2, packetSize=80, bitPattern=7),
    mtr(address=HERE, interface="lo", graceTime=0.3, tos=16, mark=7, mpls=True),
    mtr(udp=True, port=33500, localPort=2222),
    mtr(tcp=True, port=80, probeTimeout=1),
    mtr(noDns=False, showIps=True),
    mtr(asLookup=True, ipInfo=1),
    mtr(target="::1", ipv6=True),
    nping(icmp=True, delay="50ms", ttl=9, tos=16, id=7, df=True, icmpType="echo", icmpCode="0"),
    nping(icmp=True, icmpId=5, icmpSeq=6, data="cafe", rate=20, e="lo", hideSent=True),
    nping(icmp=True, icmpType="redirect", icmpRedirectAddr=HERE, noCapture=True),
    nping(icmp=True, icmpType="12", icmpParamPointer=3, noCapture=True),
    nping(
        icmp=True,
        icmpType="9",
        icmpAdvertLifetime=9,
        icmpAdvertEntry="127.0.0.1,3",
        noCapture=True,
    ),
    nping(
        icmp=True,
        icmpType="timestamp",
        icmpOrigTime="1",
        icmpRecvTime="2",
        icmpTransTime="3",
        noCapture=True,
    ),
    nping(tcp=True, p=9, sourcePort=5000, seq=1, flags="syn", ack=2, win=500, dataString="hi"),
    nping(udp=True, p=9, badsum=True, badsumIp=True, mf=True, evil=True, dataLength=20),
    nping(tcpConnect=True, p=9, unprivileged=True, sudo=False, v=1, d=0),
    nping(icmp=True, privileged=True, sendIp=True, ipOptions="R", mtu=64, bpfFilter="icmp"),
    nping(udp=True, p=9, traceroute=True, sourceIp=HERE),
    nping(
        udp=True,
        p=9,
        e="lo",
        sendEth=True,
        destMac="00:00:00:00:00:00",
        sourceMac="00:00:00:00:00:00",
        etherType="0x0800",
    ),
    nping(tcp=True, p=9, target="::1", ipv6=True),
    refused(
        nping(tcp=True, target="::1", ipv6=True, hopLimit=9, trafficClass=1, flow=5),
        "source and destination MAC address",
    ),
    nping(
        arp=True,
        e="{device}",
        target="192.0.2.7",
        arpType="ARP",
        arpSenderMac="02:00:00:00:00:01",
        arpSenderIp="192.0.2.8",
        arpTargetMac="02:00:00:00:00:02",
        arpTargetIp="192.0.2.7",
        noCapture=True,
    ),
    captured(B=4096, s=100, p=True, Q="in", j="host", U=True, immediateMode=True),
    captured(timeStampPrecision="nano", y="EN10MB", Z="root", expression="icmp or icmp6"),
    captured(C=1, W=2, z="true"),
    captured(G=60, W=1, print=True, l=True, f=True),
    refused(captured(I=True), "monitor mode"),
    printed(n=True, N=True, K=True, S=True, A=True, b=True, e=True, H=True, number=True),
    printed(x=True, q=True, t=True, u=True, v=True),
    printed(xx=True, tt=True, vv=True, T="rtp"),
    printed(X=True, ttt=True, vvv=True),
    printed(XX=True, tttt=True, M="secret", E="0x12345678@127.0.0.1 des3-cbc:hello"),
    printed(ttttt=True, F="{samples}/filter"),
    printed(countOnly=True),
    Case("Tcpdump", {"V": "{samples}/names", "w": False}),
    Case("Tcpdump", {"i": "lo", "d": True, "O": True, "expression": "icmp", "w": False}),
    Case("Tcpdump", {"i": "lo", "dd": True, "expression": "icmp"}),
    Case("Tcpdump", {"i": "lo", "ddd": True, "expression": "icmp"}),
    Case("Tcpdump", {"i": "lo", "L": True}),
    Case("Tcpdump", {"i": "lo", "J": True}),
    Case("Tcpdump", {"D": True}),
    client(
        {"interval": 1, "affinity": "0", "idleTimeout": 30, "rcvTimeout": 9000, "ipv4": True},
        interval=0.5,
        omit=0,
        parallel=2,
        ipv4=True,
        affinity="0",
        connectTimeout=3000,
        sndTimeout=9000,
        title="test",
        extraData="more",
        bind=HERE,
        window="64K",
        length="8K",
        congestion="reno",
    ),
    client({"verbose": True, "bitrateLimit": "10G"}, bitrate="50M", verbose=True, noDelay=True),
    client({"bind": HERE, "bindDevice": "lo"}, bytes="1M", time=None, zerocopy=True),
    client({"port": free_port()}, blockCount="10", time=None, reverse=True, rcvTimeout=9000),
    client(tos="16", time=None, bytes="1M"),
    client(dscp="10", time=None, bytes="1M"),
    client(udp=True, udpCounters64bit=True, repeatingPayload=True, dontFragment=True),
    client(bidir=True, serverOutput=True, pacingTimer=1000, fqRate="50M", clientPort=free_port()),
    client({"ipv6": True}, target="::1", ipv6=True, bindDevice="lo", mss=1000, flowLabel=7),
    refused(Case("Iperf3Client", {"target": HERE, "port": 9}), "refused"),
    refused(client(sctp=True, nstreams=2, xbind=HERE), "not supported"),
    refused(client(username="me", rsaPublicKeyPath="{samples}/filter"), "password"),
    client(file="{samples}/sample.pcap", time=None, bytes="100"),
    udp(b=100_000, l=500, T="2M", q="1"),
    udp(i=True, udp=True),
    udp(m=5000, t=None),
    sender({"ipv4": True, "receiveBuffer": 9000, "wait": 5}, ipv4=True, tos="0x10", ttl=9),
    sender(
        {"ipv6": True}, target="::1", ipv6=True, sendBuffer=9000, connectTimeout=5, lineInterval=1
    ),
    sender({"bind": HERE}, source=HERE, checksum=True),
    sender({"udp": True, "wait": 30}, udp=True, sourcePort=free_port()),
    sender({"file": "copy", "checksum": True}, file="{samples}/filter", size=None),
    refused(Case("NetcatSender", {"target": HERE, "port": 9, "size": 1}), "refused"),
    load(
        concurrency=2,
        responseTimeout=9,
        keepAlive=True,
        keepGoing=True,
        variableLength=True,
        quiet=True,
    ),
    load({"directory": "{samples}"}, path="/filter"),
    load(timeLimit=5, head=True, headers=["X-A: b", "X-C: d"], cookies="a=b", auth="u:p"),
    load(method="OPTIONS", verbosity=2, noPercentiles=True, noEstimators=True, noSni=True),
    load(postFile="{samples}/filter", contentType="text/x-test", address=HERE, windowSize=9000),
    load(putFile="{samples}/filter", samplesFile="samples.tsv", quantilesFile="other.csv"),
    load(protocol="TLS1.2", ciphers="HIGH", proxyAuth="u:p"),
    load(proxy="127.0.0.1:1"),
    Case("HttpLoad", {"url": "http://127.0.0.1:1/x", "requests": 1}),
    Case("HttpLoad", {"target": HERE, "port": 1, "path": "/x", "requests": 1}),
    Case("FlowStat", {"interface": "lo", "interval": 0.1, "count": 2}),
    refused(load(certificate="{samples}/filter"), "certificate"),
]
