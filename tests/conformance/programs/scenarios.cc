// Scenarios of ns-3's examples, with FlowMonitor and pcap: first.cc, third.cc and its Wi-Fi
// part, tcp-bulk-send.cc, one like csma-bridge.cc with losses and a queue discipline, and one like
// wifi-simple-adhoc.cc with OLSR. The file "end" has the simulated time and number of events.

#include "ns3/applications-module.h"
#include "ns3/bridge-module.h"
#include "ns3/core-module.h"
#include "ns3/csma-module.h"
#include "ns3/flow-monitor-module.h"
#include "ns3/internet-module.h"
#include "ns3/internet-apps-module.h"
#include "ns3/mobility-module.h"
#include "ns3/network-module.h"
#include "ns3/olsr-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/traffic-control-module.h"
#include "ns3/wifi-module.h"

#include <fstream>

using namespace ns3;

static void limit(ApplicationContainer applications, double start, double stop)
{
    applications.Start(Seconds(start));
    applications.Stop(Seconds(stop));
}

static NetDeviceContainer link(NodeContainer nodes, std::string rate, std::string delay)
{
    PointToPointHelper helper;
    helper.SetDeviceAttribute("DataRate", StringValue(rate));
    helper.SetChannelAttribute("Delay", StringValue(delay));
    NetDeviceContainer devices = helper.Install(nodes);
    helper.EnablePcap("0.pcap", devices.Get(0), false, true);
    helper.EnablePcap("1.pcap", devices.Get(1), false, true);
    return devices;
}

static void echo(Ptr<Node> server, Ptr<Node> client, Ipv4Address address)
{
    limit(UdpEchoServerHelper(9).Install(server), 1, 10);
    UdpEchoClientHelper helper(address, 9);
    helper.SetAttribute("MaxPackets", UintegerValue(5));
    helper.SetAttribute("PacketSize", UintegerValue(1024));
    limit(helper.Install(client), 2, 10);
}

static void first()
{
    NodeContainer nodes(2);
    NetDeviceContainer devices = link(nodes, "5Mbps", "2ms");
    InternetStackHelper().Install(nodes);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.1.0", "255.255.255.0").Assign(devices);
    echo(nodes.Get(1), nodes.Get(0), all.GetAddress(1));
}

// An access point, and stations that move; returns their devices, the stations' first.
static NetDeviceContainer cell(NodeContainer stations, NodeContainer point)
{
    YansWifiPhyHelper phy;
    phy.SetChannel(YansWifiChannelHelper::Default().Create());
    WifiHelper helper;
    WifiMacHelper mac;
    Ssid ssid("ns-3-ssid");
    mac.SetType("ns3::StaWifiMac", "Ssid", SsidValue(ssid), "ActiveProbing", BooleanValue(false));
    NetDeviceContainer devices = helper.Install(phy, mac, stations);
    mac.SetType("ns3::ApWifiMac", "Ssid", SsidValue(ssid));
    devices.Add(helper.Install(phy, mac, point));

    MobilityHelper mobility;
    mobility.SetPositionAllocator("ns3::GridPositionAllocator", "MinX", DoubleValue(0), "MinY",
                                  DoubleValue(0), "DeltaX", DoubleValue(5), "DeltaY",
                                  DoubleValue(10), "GridWidth", UintegerValue(3));
    mobility.SetMobilityModel("ns3::RandomWalk2dMobilityModel", "Bounds",
                              RectangleValue(Rectangle(-50, 50, -50, 50)));
    mobility.Install(stations);
    mobility.SetMobilityModel("ns3::ConstantPositionMobilityModel");
    mobility.Install(point);
    uint32_t last = stations.GetN();
    phy.SetPcapDataLinkType(WifiPhyHelper::DLT_IEEE802_11_RADIO);
    phy.EnablePcap("2.pcap", devices.Get(last), false, true);
    phy.EnablePcap("3.pcap", devices.Get(last - 1), false, true);
    return devices;
}

static void wifi()
{
    NodeContainer point(1);
    NodeContainer stations(6);
    NetDeviceContainer devices = cell(stations, point);
    InternetStackHelper stack;
    stack.Install(point);
    stack.Install(stations);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.3.0", "255.255.255.0").Assign(devices);
    echo(point.Get(0), stations.Get(5), all.GetAddress(6));
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();
}

static void bulk()
{
    NodeContainer nodes(2);
    NetDeviceContainer devices = link(nodes, "500Kbps", "5ms");
    InternetStackHelper().Install(nodes);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.1.0", "255.255.255.0").Assign(devices);
    BulkSendHelper source("ns3::TcpSocketFactory", InetSocketAddress(all.GetAddress(1), 9));
    limit(source.Install(nodes.Get(0)), 0, 10);
    PacketSinkHelper sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), 9));
    limit(sink.Install(nodes.Get(1)), 0, 10);
}

// Three terminals at a switch; two send to the third one, whose device loses packets.
static void bridge()
{
    NodeContainer terminals(3);
    NodeContainer middle(1);
    CsmaHelper csma;
    csma.SetChannelAttribute("DataRate", StringValue("5Mbps"));
    csma.SetChannelAttribute("Delay", StringValue("2ms"));
    NetDeviceContainer devices;
    NetDeviceContainer ports;
    Ptr<RateErrorModel> errors;
    for (uint32_t i = 0; i < 3; ++i)
    {
        if (i == 2)
            errors = CreateObjectWithAttributes<RateErrorModel>("ErrorRate", DoubleValue(1e-4));
        NetDeviceContainer both = csma.Install(NodeContainer(terminals.Get(i), middle.Get(0)));
        devices.Add(both.Get(0));
        ports.Add(both.Get(1));
    }
    devices.Get(2)->SetAttribute("ReceiveErrorModel", PointerValue(errors));
    BridgeHelper().Install(middle.Get(0), ports);
    InternetStackHelper().Install(terminals);
    TrafficControlHelper control;
    control.SetRootQueueDisc("ns3::RedQueueDisc", "MinTh", DoubleValue(2));
    control.Install(devices);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.1.0", "255.255.255.0").Assign(devices);
    InetSocketAddress target(all.GetAddress(2), 9);
    limit(PacketSinkHelper("ns3::UdpSocketFactory", target).Install(terminals.Get(2)), 0, 10);
    OnOffHelper traffic("ns3::UdpSocketFactory", target);
    traffic.SetAttribute("OnTime", StringValue("ns3::ExponentialRandomVariable[Mean=0.5]"));
    traffic.SetAttribute("OffTime", StringValue("ns3::ExponentialRandomVariable[Mean=0.3]"));
    traffic.SetAttribute("DataRate", StringValue("3Mbps"));
    limit(traffic.Install(NodeContainer(terminals.Get(0), terminals.Get(1))), 1, 10);
    csma.EnablePcap("0.pcap", devices.Get(2), false, true);
    csma.EnablePcap("1.pcap", devices.Get(0), false, true);
}

// A ping over a chain of ad hoc stations, each of which reaches only its neighbours.
static void chain()
{
    NodeContainer nodes(4);
    YansWifiChannelHelper channel;
    channel.SetPropagationDelay("ns3::ConstantSpeedPropagationDelayModel");
    channel.AddPropagationLoss("ns3::RangePropagationLossModel", "MaxRange", DoubleValue(60));
    YansWifiPhyHelper phy;
    phy.Set("TxPowerStart", DoubleValue(12));
    phy.Set("TxPowerEnd", DoubleValue(12));
    phy.SetErrorRateModel("ns3::NistErrorRateModel");
    phy.SetChannel(channel.Create());
    WifiHelper helper;
    helper.SetStandard(WIFI_STANDARD_80211b);
    helper.SetRemoteStationManager("ns3::ConstantRateWifiManager", "DataMode",
                                   StringValue("DsssRate2Mbps"), "ControlMode",
                                   StringValue("DsssRate1Mbps"));
    NetDeviceContainer devices = helper.Install(phy, WifiMacHelper(), nodes);
    MobilityHelper mobility;
    mobility.SetPositionAllocator("ns3::GridPositionAllocator", "MinX", DoubleValue(0), "MinY",
                                  DoubleValue(0), "DeltaX", DoubleValue(50));
    mobility.Install(nodes);
    Ipv4ListRoutingHelper list;
    list.Add(Ipv4StaticRoutingHelper(), 0);
    list.Add(OlsrHelper(), 10);
    InternetStackHelper stack;
    stack.SetRoutingHelper(list);
    stack.Install(nodes);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.1.0", "255.255.255.0").Assign(devices);
    PingHelper ping(all.GetAddress(3));
    ping.SetAttribute("VerboseMode", StringValue("Quiet"));
    limit(ping.Install(nodes.Get(0)), 1, 20);
    phy.SetPcapDataLinkType(WifiPhyHelper::DLT_IEEE802_11_RADIO);
    phy.EnablePcap("0.pcap", devices.Get(0), false, true);
    phy.EnablePcap("1.pcap", devices.Get(3), false, true);
}

// A link joins a bus and an access point; a station sends to the end of the bus.
static void third()
{
    NodeContainer ends(2);
    PointToPointHelper wire;
    wire.SetDeviceAttribute("DataRate", StringValue("5Mbps"));
    wire.SetChannelAttribute("Delay", StringValue("2ms"));
    NetDeviceContainer between = wire.Install(ends);
    NodeContainer bus(ends.Get(1));
    bus.Create(3);
    CsmaHelper csma;
    csma.SetChannelAttribute("DataRate", StringValue("100Mbps"));
    csma.SetChannelAttribute("Delay", TimeValue(NanoSeconds(6560)));
    NetDeviceContainer taps = csma.Install(bus);
    NodeContainer stations(3);
    NetDeviceContainer devices = cell(stations, ends.Get(0));
    InternetStackHelper stack;
    stack.Install(bus);
    stack.Install(ends.Get(0));
    stack.Install(stations);
    Ipv4AddressHelper("10.1.1.0", "255.255.255.0").Assign(between);
    Ipv4InterfaceContainer all = Ipv4AddressHelper("10.1.2.0", "255.255.255.0").Assign(taps);
    Ipv4AddressHelper("10.1.3.0", "255.255.255.0").Assign(devices);
    echo(bus.Get(3), stations.Get(2), all.GetAddress(3));
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();
    csma.EnablePcap("0.pcap", taps.Get(0), false, true);
    wire.EnablePcap("1.pcap", between.Get(0), false, true);
}

int main(int argc, char** argv)
{
    std::string scenario = "first";
    CommandLine cmd(__FILE__);
    cmd.AddValue("scenario", "first, wifi, bulk, bridge, chain or third", scenario);
    cmd.Parse(argc, argv);
    std::map<std::string, void (*)()> scenarios = {
        {"first", first}, {"wifi", wifi}, {"bulk", bulk}, {"bridge", bridge}, {"chain", chain},
        {"third", third}};
    scenarios.at(scenario)();
    // FlowMonitor has events as long as the simulation runs.
    Simulator::Stop(Seconds(scenario == "chain" ? 20 : 10));
    FlowMonitorHelper flows;
    Ptr<FlowMonitor> monitor = flows.InstallAll();
    Simulator::Run();
    monitor->CheckForLostPackets();
    monitor->SerializeToXmlFile("flows.xml", true, true);
    std::ofstream("end") << Simulator::Now().GetSeconds() << ' ' << Simulator::GetEventCount();
    Simulator::Destroy();
}
