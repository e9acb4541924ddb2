"""The catalogue of built-in resource types and their classes.

The locations are listed here so that the use of one type does not import the others.
"""

from __future__ import annotations

#: rtype → ``module:Class``, relative to this package.
CATALOGUE = {
    "linux::Address": "linux.network.address:Address",
    "linux::Application": "linux.application:Application",
    "linux::Bridge": "linux.network.bridge:Bridge",
    "linux::Channel": "linux.network.channel:Channel",
    "linux::Firewall": "linux.network.firewall:Firewall",
    "linux::FlowStat": "linux.tools.flowstat:FlowStat",
    "linux::GRETunnel": "linux.network.tunnel:GRETunnel",
    "linux::HttpLoad": "linux.tools.http:HttpLoad",
    "linux::HttpServer": "linux.tools.http:HttpServer",
    "linux::Impairment": "linux.network.impairment:Impairment",
    "linux::Interface": "linux.network.interface:Interface",
    "linux::Iperf3Client": "linux.tools.iperf3:Iperf3Client",
    "linux::Iperf3Server": "linux.tools.iperf3:Iperf3Server",
    "linux::LinkStat": "linux.tools.linkstat:LinkStat",
    "linux::Macvlan": "linux.network.stacked:Macvlan",
    "linux::Mtr": "linux.tools.mtr:Mtr",
    "linux::NPing": "linux.tools.nping:NPing",
    "linux::Nat": "linux.network.nat:Nat",
    "linux::NetcatReceiver": "linux.tools.netcat:NetcatReceiver",
    "linux::NetcatSender": "linux.tools.netcat:NetcatSender",
    "linux::Node": "linux.node:Node",
    "linux::Ping": "linux.tools.ping:Ping",
    "linux::Pool": "linux.pool:Pool",
    "linux::Route": "linux.network.route:Route",
    "linux::Rule": "linux.network.route:Rule",
    "linux::Service": "linux.service:Service",
    "linux::Sysctl": "linux.network.sysctl:Sysctl",
    "linux::Tap": "linux.network.tuntap:Tap",
    "linux::Tcpdump": "linux.tools.tcpdump:Tcpdump",
    "linux::Traceroute": "linux.tools.traceroute:Traceroute",
    "linux::Tun": "linux.network.tuntap:Tun",
    "linux::UdpTest": "linux.tools.udptest:UdpTest",
    "linux::UdpTunnel": "linux.network.udp_tunnel:UdpTunnel",
    "linux::VXLAN": "linux.network.vxlan:VXLAN",
    "linux::Vlan": "linux.network.stacked:Vlan",
    "linux::WireGuard": "linux.network.wireguard:WireGuard",
    "linux::netns::Emulation": "netns.emulation:Emulation",
    "linux::ns3::Program": "ns3.program:Program",
    "linux::ns3::Simulation": "ns3.simulation:Simulation",
    "linux::ns3::TapLink": "ns3.tap:TapLink",
    "linux::ns3::TunTapFdLink": "ns3.tap:TunTapFdLink",
    "nepiq::Collector": "nepiq.collector:Collector",
    "nepiq::Null": "nepiq.null:Null",
    "nepiq::Set": "nepiq.setting:Set",
    "nepiq::Sleep": "nepiq.null:Sleep",
    "netns::Application": "netns.application:Application",
    "netns::IPv4Address": "netns.addresses:IPv4Address",
    "netns::IPv6Address": "netns.addresses:IPv6Address",
    "netns::Link": "netns.link:Link",
    "netns::Node": "netns.node:Node",
    "netns::NodeInterface": "netns.interface:NodeInterface",
    "netns::RemoteLink": "netns.remote_link:RemoteLink",
    "netns::Route": "netns.routes:Route",
    "netns::Routes": "netns.routes:Routes",
    "netns::Switch": "netns.switch:Switch",
    "ns3::BridgeNetDevice": "ns3.objects:BridgeNetDevice",
    "ns3::Node": "ns3.objects:Node",
    "ns3::Route": "ns3.objects:Route",
    "ns3::WifiNetDevice": "ns3.objects:WifiNetDevice",
}

#: Types whose classes are made when they are used: their prefix, and a module with the functions
#: ``names()`` and ``location(rtype)``.
FAMILIES = {"ns3::": "ns3.catalogue"}

#: Internal types, which users do not register by name: of deployments and of ``ec.schedule``.
INTERNAL = {
    "linux::Reservation": "linux.reservation:Reservation",
    "linux::TunTap": "linux.network.tuntap:TunTap",
    "linux::Tunnel": "linux.network.tunnel:Tunnel",
    "nepiq::Callback": "nepiq.callback:Callback",
    "nepiq::Clock": "nepiq.callback:Clock",
}

#: Other names, mostly those of NEPI's older scripts.
ALIASES = {
    "Collector": "nepiq::Collector",
    "LinuxApplication": "linux::Application",
    "LinuxChannel": "linux::Channel",
    "LinuxGRETunnel": "linux::GRETunnel",
    "LinuxInterface": "linux::Interface",
    "LinuxMtr": "linux::Mtr",
    "LinuxNPing": "linux::NPing",
    "LinuxNS3Simulation": "linux::ns3::Simulation",
    "LinuxNode": "linux::Node",
    "LinuxPing": "linux::Ping",
    "LinuxRoute": "linux::Route",
    "LinuxTap": "linux::Tap",
    "LinuxTcpdump": "linux::Tcpdump",
    "LinuxTraceroute": "linux::Traceroute",
    "LinuxTun": "linux::Tun",
    "LinuxUdpTest": "linux::UdpTest",
    "LinuxUdpTunnel": "linux::UdpTunnel",
    "netns::IPv4Route": "netns::Route",
    "netns::IPv6Route": "netns::Route",
}
