"""The types of NEPI that have no counterpart of the same name: why, and what to use instead.

``docs/nepi.md`` has a row for each type of NEPI. A name that is registered never gets here, so an
entry has no effect once its type exists.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Absence(NamedTuple):
    """The reason why a type of NEPI is absent.

    Attributes:
        reason: the reason, a clause that completes an error.
        instead: the replacement, an imperative.
    """

    reason: str
    instead: str


_CCNX = "CCNx 0.8 is no longer available"
_PLANETLAB = "PlanetLab was shut down in 2020"
_OMF = "testbeds no longer offer OMF 5.4 and 6"
_DCE = "Direct Code Execution does not work with today's ns-3"
_TEST = "a class of ns-3's own tests"
_BASE = "a base class of NEPI, not meant for experiments"

_NODE = "use linux::Node for a host, linux::Pool to choose from several"
_APPLICATION = "linux::Application"
_TAP_LINK = "use linux::ns3::TapLink, which joins a TAP interface to an ns3::FdNetDevice"

#: What programs of NDN do today what those of CCNx did.
_NDN_PROGRAMS = {
    "CCNApplication": "NDN's nfd and ndn-tools",
    "CCNCat": "NDN's ndncatchunks",
    "CCNContent": "NDN's ndnputchunks",
    "CCND": "NDN's forwarder nfd",
    "CCNPeek": "NDN's ndnpeek",
    "CCNPing": "NDN's ndnping",
    "CCNPingServer": "NDN's ndnpingserver",
    "CCNPoke": "NDN's ndnpoke",
    "CCNR": "NDN's repository, ndn-python-repo",
    "FIBEntry": "NDN's nfdc route add",
}

#: Base classes of ns-3's types in NEPI, and a type to use.
_CONCRETE = {
    "Application": "ns3::UdpEchoClient",
    "ArpL3Protocol": "ns3::ArpL3Protocol",
    "Channel": "ns3::CsmaChannel",
    "ErrorModel": "ns3::RateErrorModel",
    "ErrorRateModel": "ns3::NistErrorRateModel",
    "FdNetDevice": "ns3::FdNetDevice",
    "Icmpv4L4Protocol": "ns3::Icmpv4L4Protocol",
    "Ipv4L3Protocol": "ns3::Ipv4L3Protocol",
    "MobilityModel": "ns3::ConstantPositionMobilityModel",
    "NetDevice": "ns3::CsmaNetDevice",
    "Node": "ns3::Node",
    "Object": "ns3::Node",
    "PropagationDelayModel": "ns3::ConstantSpeedPropagationDelayModel",
    "Queue": "ns3::DropTailQueue",
    "WifiChannel": "ns3::YansWifiChannel",
    "WifiMac": "ns3::AdhocWifiMac",
    "WifiNetDevice": "ns3::WifiNetDevice",
    "WifiPhy": "ns3::YansWifiPhy",
    "WifiRemoteStationManager": "ns3::ArfWifiManager",
}

#: Every type of NEPI 6.1.2 that is absent.
ABSENT = {
    **{
        f"linux::{name}": Absence(_CCNX, f"run {it} as a {_APPLICATION}")
        for name, it in _NDN_PROGRAMS.items()
    },
    **{f"abstract::ns3::{name}": Absence(_BASE, f"use {it}") for name, it in _CONCRETE.items()},
    "abstract::linux::Tunnel": Absence(_BASE, "use linux::UdpTunnel"),
    "abstract::netns::Object": Absence(_BASE, "use netns::Node"),
    "abstract::ns3::CCNDceApplication": Absence(_BASE, f"use {_APPLICATION}"),
    "abstract::ns3::DceApplication": Absence(_BASE, f"use {_APPLICATION}"),
    "abstract::omf::Resource": Absence(_BASE, _NODE),
    "asbtract::netns::NodeInterface": Absence(_BASE, "use netns::NodeInterface"),
    "linux::ns3::FdUdpTunnel": Absence("it is not available", _TAP_LINK),
    **{
        f"linux::ns3::dce::{name}": Absence(
            _DCE, "run the program as a linux::Application behind a linux::ns3::TapLink"
        )
        for name in ("Application", *_NDN_PROGRAMS)
        if name not in {"CCNContent", "CCNPing", "CCNPingServer"}
    },
    "linux::ns3::dce::Ping": Absence(_DCE, "use ns3::Ping"),
    "ns3::BinaryErrorSixlowModel": Absence(_TEST, "use ns3::BinaryErrorModel"),
    "ns3::EmuNetDevice": Absence("ns-3 has removed it", "use ns3::FdNetDevice"),
    "ns3::ErrorChannelSixlow": Absence(_TEST, "use ns3::ErrorChannel"),
    "ns3::ErrorNetDevice": Absence(_TEST, "use ns3::SimpleNetDevice with an ns3::RateErrorModel"),
    "ns3::LteSimpleNetDevice": Absence(_TEST, "use ns3::SimpleNetDevice"),
    "ns3::OcbWifiMac": Absence("ns-3 has removed the module wave", "use ns3::AdhocWifiMac"),
    "ns3::Ping6": Absence(
        "ns-3 has removed it", "use ns3::Ping, whose Destination may be an IPv6 address"
    ),
    "ns3::PipeChannel": Absence(
        "it joined two simulations of one host by a pipe",
        "use one linux::ns3::Simulation with an ns3::PointToPointChannel",
    ),
    "ns3::PointToPointRemoteChannel": Absence(
        "simulations distributed by MPI are not supported", "use ns3::PointToPointChannel"
    ),
    "ns3::PropagationLossModel": Absence(
        "an abstract class of ns-3", "use one of its kinds, as ns3::FriisPropagationLossModel"
    ),
    "omf::Application": Absence(_OMF, f"use {_APPLICATION}"),
    "omf::Channel": Absence(_OMF, "set the channel by iw(8) in a linux::Application"),
    "omf::Node": Absence(_OMF, _NODE),
    "omf::WifiInterface": Absence(_OMF, "configure it by iw(8) and ip(8) in a linux::Application"),
    "planetlab::Node": Absence(_PLANETLAB, _NODE),
    "planetlab::OVSPort": Absence(_PLANETLAB, "run ovs-vsctl add-port in a linux::Application"),
    "planetlab::OVSSwitch": Absence(_PLANETLAB, "run ovs-vsctl add-br in a linux::Application"),
    "planetlab::Tap": Absence(_PLANETLAB, "use linux::Tap"),
    "planetlab::Tun": Absence(_PLANETLAB, "use linux::Tun"),
    "planetlab::Vroute": Absence(_PLANETLAB, "run ip route replace in a linux::Application"),
    "planetlab::ns3::FdUdpTunnel": Absence(_PLANETLAB, _TAP_LINK),
    "planetlab::ns3::TunTapFdLink": Absence(_PLANETLAB, _TAP_LINK),
    "planetlab::sfa::Node": Absence(_PLANETLAB, _NODE),
    "wilabt::sfa::Node": Absence(
        "nepiq does not reserve nodes by SFA", "reserve it by the testbed's tools; use linux::Node"
    ),
}

#: Prefixes of the names before NEPI 6, such as ``LinuxCCND``.
_FORMER = re.compile(r"(Linux|OMF|Planetlab|Wilabt)(Sfa)?(\w+)", re.ASCII)


def absence(rtype: object) -> Absence | None:
    """Return why a type of NEPI is absent, by one of its names; None for any other value."""
    if not isinstance(rtype, str):
        return None
    former = _FORMER.fullmatch(rtype)
    if former is not None:
        family, sfa, name = former.groups()
        rtype = f"{family.lower()}::{'sfa::' if sfa else ''}{name}"
    return ABSENT.get(rtype)
