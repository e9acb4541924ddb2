// Traces: pcap and ascii of devices, and trace sources as CSV files.
#pragma once

#include "values.h"

#include "ns3/csma-helper.h"
#include "ns3/csma-net-device.h"
#include "ns3/flow-monitor-helper.h"
#include "ns3/ipv4-flow-classifier.h"
#include "ns3/ipv4-header.h"
#include "ns3/ipv4.h"
#include "ns3/mobility-model.h"
#include "ns3/point-to-point-helper.h"
#include "ns3/point-to-point-net-device.h"
#include "ns3/queue-item.h"
#include "ns3/sequence-number.h"
#include "ns3/trace-helper.h"
#include "ns3/wifi-net-device.h"
#include "ns3/yans-wifi-helper.h"
#if __has_include("ns3/wifi-mpdu.h") // since 3.37
#include "ns3/wifi-mpdu.h"
#define NEPIQ_HAS_MPDU
#endif

#include <fstream>
#include <functional>
#include <list>
#include <sys/stat.h>
#include <unistd.h>

namespace nepiq
{

// A CSV file of one trace source: a line for each call, or one line with the number of calls.
struct CsvFile
{
    std::ofstream out;
    bool counts = false;
    uint64_t calls = 0;
    uint64_t bytes = 0;

    void row()
    {
        out << Simulator::Now().GetSeconds();
    }

    // Counts are rewritten in place, so that the file always holds the latest.
    void flush()
    {
        if (counts)
        {
            out.seekp(0);
            out << "calls,bytes\n" << calls << ',' << bytes << '\n';
        }
        out.flush();
    }
};

inline void put(CsvFile& file, Ptr<const Packet> packet)
{
    file.bytes += packet->GetSize();
    if (!file.counts)
        file.out << ',' << packet->GetSize() << ',' << packet->GetUid();
}

inline void put(CsvFile& file, Ptr<const QueueDiscItem> item)
{
    file.bytes += item->GetSize();
    if (!file.counts)
        file.out << ',' << item->GetSize();
}

#ifdef NEPIQ_HAS_MPDU
inline void put(CsvFile& file, Ptr<const WifiMpdu> mpdu)
{
    file.bytes += mpdu->GetSize();
    if (!file.counts)
        file.out << ',' << mpdu->GetSize() << ',' << mpdu->GetHeader().GetTypeString();
}

#endif

inline void put(CsvFile& file, Ptr<const MobilityModel> model)
{
    Vector at = model->GetPosition();
    if (!file.counts)
        file.out << ',' << at.x << ',' << at.y << ',' << at.z;
}

inline void put(CsvFile&, Ptr<Ipv4>)
{
}

inline void put(CsvFile& file, const Ipv4Header& header)
{
    if (!file.counts)
        file.out << ',' << header.GetSource() << ',' << header.GetDestination();
}

inline void put(CsvFile& file, const Address& address)
{
    if (file.counts)
        return;
    if (InetSocketAddress::IsMatchingType(address))
    {
        auto inet = InetSocketAddress::ConvertFrom(address);
        file.out << ',' << inet.GetIpv4() << ':' << inet.GetPort();
    }
    else if (Ipv4Address::IsMatchingType(address))
        file.out << ',' << Ipv4Address::ConvertFrom(address);
    else
        file.out << ',' << address;
}

inline void put(CsvFile& file, Time value)
{
    if (!file.counts)
        file.out << ',' << value.GetSeconds();
}

inline void put(CsvFile& file, uint8_t value)
{
    if (!file.counts)
        file.out << ',' << static_cast<int>(value);
}

template <class T>
void put(CsvFile& file, T value)
{
    if (!file.counts)
        file.out << ',' << value;
}

template <class... A>
void write_call(CsvFile* file, A... values)
{
    ++file->calls;
    if (!file->counts)
        file->row();
    (put(*file, values), ...);
    if (!file->counts)
        file->out << '\n';
}

using Connect = bool (*)(Ptr<Object>, const std::string&, CsvFile*);

template <class... A>
bool connect(Ptr<Object> object, const std::string& source, CsvFile* file)
{
    return object->TraceConnectWithoutContext(source, MakeBoundCallback(&write_call<A...>, file));
}

struct Signature
{
    const char* header;
    Connect connect;
};

// The signatures that can be written, by the name that the TypeId registry gives.
inline const std::map<std::string, Signature>& signatures()
{
    static const std::map<std::string, Signature> table = {
        {"ns3::Packet::TracedCallback", {"bytes,packet", &connect<Ptr<const Packet>>}},
        {"ns3::Packet::AddressTracedCallback", {"bytes,packet,address", &connect<Ptr<const Packet>, const Address&>}},
        {"ns3::Packet::TwoAddressTracedCallback",
         {"bytes,packet,from,to", &connect<Ptr<const Packet>, const Address&, const Address&>}},
        {"ns3::QueueDiscItem::TracedCallback", {"bytes", &connect<Ptr<const QueueDiscItem>>}},
#ifdef NEPIQ_HAS_MPDU
        {"ns3::WifiMpdu::TracedCallback", {"bytes,kind", &connect<Ptr<const WifiMpdu>>}},
#endif
        {"ns3::Mac48Address::TracedCallback", {"address", &connect<Mac48Address>}},
        {"ns3::MobilityModel::TracedCallback", {"x,y,z", &connect<Ptr<const MobilityModel>>}},
        {"ns3::Time::TracedCallback", {"seconds", &connect<Time>}},
        {"ns3::Ping::RttTrace", {"sequence,seconds", &connect<uint16_t, Time>}},
        {"ns3::Ipv4L3Protocol::SentTracedCallback",
         {"from,to,bytes,packet,interface", &connect<const Ipv4Header&, Ptr<const Packet>, uint32_t>}},
        {"ns3::Ipv4L3Protocol::TxRxTracedCallback",
         {"bytes,packet,interface", &connect<Ptr<const Packet>, Ptr<Ipv4>, uint32_t>}},
        {"ns3::Packet::SizeTracedCallback", {"old,new", &connect<uint32_t, uint32_t>}},
        {"ns3::TracedValueCallback::Bool", {"old,new", &connect<bool, bool>}},
        {"ns3::TracedValueCallback::Uint8", {"old,new", &connect<uint8_t, uint8_t>}},
        {"ns3::TracedValueCallback::Uint16", {"old,new", &connect<uint16_t, uint16_t>}},
        {"ns3::TracedValueCallback::Uint32", {"old,new", &connect<uint32_t, uint32_t>}},
        {"ns3::TracedValueCallback::Uint64", {"old,new", &connect<uint64_t, uint64_t>}},
        {"ns3::TracedValueCallback::Int32", {"old,new", &connect<int32_t, int32_t>}},
        {"ns3::TracedValueCallback::Double", {"old,new", &connect<double, double>}},
        {"ns3::TracedValueCallback::Time", {"old,new", &connect<Time, Time>}},
        {"ns3::TracedValueCallback::DataRate", {"old,new", &connect<DataRate, DataRate>}},
        {"ns3::TracedValueCallback::SequenceNumber32", {"old,new", &connect<SequenceNumber32, SequenceNumber32>}},
    };
    return table;
}

// The traces of a simulation, which a timer flushes so that they can be read while it runs.
class Traces
{
  public:
    void add(Ptr<Object> object, const std::string& source, const std::string& path)
    {
        make_parents(path);
        if (source == "pcap" || source == "promiscPcap")
            pcap(object, source != "pcap", path);
        else if (source == "ascii")
            ascii(object, path);
        else
            csv(object, source, path);
    }

    void flush()
    {
        for (auto& file : m_files)
            file.flush();
        for (auto& stream : m_streams)
            stream->GetStream()->flush();
    }

    // The folders belong to whoever owns the working directory, also if root makes them.
    static void make_parents(const std::string& path)
    {
        struct stat here{};
        stat(".", &here);
        for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
        {
            const std::string folder = path.substr(0, at);
            if (mkdir(folder.c_str(), 0700) == 0 && chown(folder.c_str(), here.st_uid, here.st_gid) != 0)
                throw Refused("cannot make " + folder + ": " + std::strerror(errno));
        }
    }

  private:
    std::list<CsvFile> m_files;
    std::vector<Ptr<OutputStreamWrapper>> m_streams;

    static Ptr<NetDevice> device(Ptr<Object> object, const char* what)
    {
        auto device = DynamicCast<NetDevice>(object);
        if (!device)
            throw Refused(std::string("only devices have the trace ") + what);
        return device;
    }

    static void pcap(Ptr<Object> object, bool promiscuous, const std::string& path)
    {
        auto nd = device(object, "pcap");
        if (DynamicCast<PointToPointNetDevice>(nd))
            PointToPointHelper().EnablePcap(path, nd, promiscuous, true);
        else if (DynamicCast<CsmaNetDevice>(nd))
            CsmaHelper().EnablePcap(path, nd, promiscuous, true);
        else if (DynamicCast<WifiNetDevice>(nd))
        {
            YansWifiPhyHelper helper;
            helper.SetPcapDataLinkType(WifiPhyHelper::DLT_IEEE802_11_RADIO);
            helper.EnablePcap(path, nd, promiscuous, true);
        }
        else if (TypeId::AttributeInformation unused; nd->GetInstanceTypeId().LookupTraceSourceByName("Sniffer"))
        {
            PcapHelper helper;
            auto file = helper.CreateFile(path, std::ios::out, PcapHelper::DLT_EN10MB);
            helper.HookDefaultSink<NetDevice>(nd, promiscuous ? "PromiscSniffer" : "Sniffer", file);
        }
        else
            throw Refused(nd->GetInstanceTypeId().GetName() + " has no pcap trace");
    }

    void ascii(Ptr<Object> object, const std::string& path)
    {
        auto nd = device(object, "ascii");
        auto stream = AsciiTraceHelper().CreateFileStream(path);
        m_streams.push_back(stream);
        if (DynamicCast<PointToPointNetDevice>(nd))
            PointToPointHelper().EnableAscii(stream, nd);
        else if (DynamicCast<CsmaNetDevice>(nd))
            CsmaHelper().EnableAscii(stream, nd);
        else if (DynamicCast<WifiNetDevice>(nd))
            YansWifiPhyHelper().EnableAscii(stream, nd);
        else
            throw Refused(nd->GetInstanceTypeId().GetName() + " has no ascii trace");
    }

    // A source "NAME" writes its calls; "count:NAME" their number.
    void csv(Ptr<Object> object, std::string source, const std::string& path)
    {
        bool counts = source.rfind("count:", 0) == 0;
        source = counts ? source.substr(6) : source;
        TypeId type = object->GetInstanceTypeId();
        TypeId::TraceSourceInformation info;
        if (!type.LookupTraceSourceByName(source, &info))
            throw Refused(type.GetName() + " has no trace source " + source);
        auto found = signatures().find(info.callback);
        if (found == signatures().end())
            throw Refused("trace source " + source + " of " + type.GetName() + " cannot be written: its signature " +
                          info.callback + " is not supported");
        CsvFile& file = m_files.emplace_back();
        file.counts = counts;
        file.out.open(path, std::ios::trunc);
        if (!file.out)
            throw Refused("cannot write " + path);
        file.out.precision(12);
        if (!counts)
            file.out << "time," << found->second.header << '\n';
        if (!found->second.connect(object, source, &file))
            throw Refused("cannot connect to trace source " + source + " of " + type.GetName());
    }
};

// FlowMonitor over all nodes: flows.xml as ns-3 writes it, and flows.csv as a table.
class Flows
{
  public:
    void install()
    {
        m_monitor = m_helper.InstallAll();
    }

    void write(const std::string& folder)
    {
        if (!m_monitor)
            return;
        m_monitor->CheckForLostPackets();
        m_monitor->SerializeToXmlFile(folder + "flows.xml", true, true);
        std::ofstream out(folder + "flows.csv");
        out.precision(12);
        out << "flow,protocol,source,sourcePort,destination,destinationPort,txPackets,rxPackets,lostPackets,"
               "txBytes,rxBytes,throughput,meanDelay,meanJitter,firstTx,lastRx\n";
        auto classifier = DynamicCast<Ipv4FlowClassifier>(m_helper.GetClassifier());
        for (const auto& [id, stats] : m_monitor->GetFlowStats())
        {
            auto flow = classifier->FindFlow(id);
            double span = (stats.timeLastRxPacket - stats.timeFirstTxPacket).GetSeconds();
            double received = stats.rxPackets;
            out << id << ',' << static_cast<int>(flow.protocol) << ',' << flow.sourceAddress << ','
                << flow.sourcePort << ',' << flow.destinationAddress << ',' << flow.destinationPort << ','
                << stats.txPackets << ',' << stats.rxPackets << ',' << stats.lostPackets << ',' << stats.txBytes
                << ',' << stats.rxBytes << ',' << (span > 0 ? 8 * stats.rxBytes / span : 0.0) << ','
                << (received > 0 ? stats.delaySum.GetSeconds() / received : 0.0) << ','
                << (received > 1 ? stats.jitterSum.GetSeconds() / (received - 1) : 0.0) << ','
                << stats.timeFirstTxPacket.GetSeconds() << ',' << stats.timeLastRxPacket.GetSeconds() << '\n';
        }
    }

  private:
    FlowMonitorHelper m_helper;
    Ptr<FlowMonitor> m_monitor;
};

} // namespace nepiq
