// The verbs of a description: what is created, and how it is joined.
#pragma once

#include "applications.h"
#include "traces.h"

#include "ns3/aodv-helper.h"
#include "ns3/bridge-net-device.h"
#include "ns3/csma-channel.h"
#include "ns3/drop-tail-queue.h"
#include "ns3/fd-net-device.h"
#include "ns3/internet-stack-helper.h"
#include "ns3/ipv4-address-helper.h"
#include "ns3/ipv4-global-routing-helper.h"
#include "ns3/ipv4-list-routing-helper.h"
#include "ns3/ipv4-static-routing-helper.h"
#include "ns3/mobility-helper.h"
#include "ns3/net-device-queue-interface.h"
#include "ns3/olsr-helper.h"
#include "ns3/point-to-point-channel.h"
#include "ns3/propagation-loss-model.h"
#include "ns3/simple-channel.h"
#include "ns3/simple-net-device.h"
#include "ns3/spectrum-channel.h"
#include "ns3/spectrum-wifi-helper.h"
#include "ns3/traffic-control-helper.h"
#include "ns3/wifi-helper.h"
#include "ns3/wifi-mac-helper.h"
#include "ns3/wifi-mac.h"
#include "ns3/wifi-remote-station-manager.h"
#include "ns3/yans-wifi-channel.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace nepiq
{

class Builder
{
  public:
    Traces traces;
    Flows flows;
    Applications applications;
    Time stop;
    bool realtime = false;
    bool checking = false;

    Builder() = default;
    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;

    // Carries out one line of a description.
    //
    // Raises Refused with the resource's name if it cannot be done.
    void execute(const Json& line)
    {
        const std::string verb = line["do"].str();
        auto found = verbs().find(verb);
        if (found == verbs().end())
            throw Refused("unknown verb '" + verb + "'");
        const std::string who = line["who"].str();
        set_doing(who.empty() ? verb : verb + " " + who);
        try
        {
            (this->*found->second)(line);
        }
        catch (const Refused& error)
        {
            throw Refused((who.empty() ? "" : who + ": ") + error.what());
        }
        catch (const std::out_of_range&)
        {
            throw Refused(who + ": '" + verb + "' names an object that there is not");
        }
    }

    std::string get(int id, const std::string& name)
    {
        auto object = any(id);
        auto attribute = attribute_of(object->GetInstanceTypeId(), name);
        if (!attribute.accessor || !attribute.accessor->HasGetter())
            throw Refused("attribute " + name + " cannot be read");
        StringValue value;
        object->GetAttribute(name, value);
        return value.Get();
    }

    void set(int id, const std::string& name, const Json& given)
    {
        auto object = any(id);
        auto attribute = attribute_of(object->GetInstanceTypeId(), name);
        if (!(attribute.flags & TypeId::ATTR_SET) || !attribute.accessor || !attribute.accessor->HasSetter())
            throw Refused("attribute " + name + " cannot be set after its object was created");
        set_doing("attribute " + name + " = " + given.str());
        object->SetAttribute(name, *value_of(attribute, given, m_objects));
    }

    void clear()
    {
        m_factories.clear();
        m_objects.clear();
    }

  private:
    using Verb = void (Builder::*)(const Json&);
    std::map<int, Ptr<Object>> m_objects;
    std::map<std::string, ObjectFactory> m_factories;

    static const std::map<std::string, Verb>& verbs()
    {
        static const std::map<std::string, Verb> table = {
            {"global", &Builder::global},         {"default", &Builder::set_default},
            {"create", &Builder::create},         {"device", &Builder::device},
            {"wifi", &Builder::wifi},             {"aggregate", &Builder::aggregate},
            {"stack", &Builder::stack},           {"part", &Builder::part},
            {"mobility", &Builder::mobility},
            {"qdisc", &Builder::qdisc},           {"address", &Builder::address},
            {"route", &Builder::route},           {"populate", &Builder::populate},
            {"application", &Builder::application}, {"next", &Builder::next},
            {"port", &Builder::port},             {"tap", &Builder::tap},
            {"trace", &Builder::trace},           {"flows", &Builder::watch_flows},
            {"log", &Builder::log},               {"stop", &Builder::stop_at},
        };
        return table;
    }

    Ptr<Object> any(int id) const
    {
        return m_objects.at(id);
    }

    template <class T>
    Ptr<T> get_as(const Json& id) const
    {
        auto object = DynamicCast<T>(m_objects.at(id.number()));
        if (!object)
            throw Refused("object " + id.text + " is a " + m_objects.at(id.number())->GetInstanceTypeId().GetName() +
                          ", not a " + T::GetTypeId().GetName());
        return object;
    }

    void global(const Json& line)
    {
        set_doing("global value " + line["name"].str() + " = " + line["value"].str());
        if (!GlobalValue::BindFailSafe(line["name"].str(), StringValue(line["value"].str())))
            throw Refused("this ns-3 refuses " + line["value"].str() + " for its global value " + line["name"].str());
        realtime = realtime || line["value"].str() == "ns3::RealtimeSimulatorImpl";
    }

    void set_default(const Json& line)
    {
        set_doing("default " + line["name"].str() + " = " + line["value"].str());
        if (!Config::SetDefaultFailSafe(line["name"].str(), StringValue(line["value"].str())))
            throw Refused("this ns-3 has no attribute " + line["name"].str() + " that takes " + line["value"].str());
    }

    void create(const Json& line)
    {
        const ObjectFactory& factory = factory_for(line);
        set_doing("create " + line["who"].str() + " (" + factory.GetTypeId().GetName() + ")");
        m_objects[line["id"].number()] = factory.Create<Object>();
        set_others(line);
    }

    // The factory that makes all objects with the same type and values, as that of a helper does.
    //
    // ObjectFactory::Set makes the object that a text describes once, as a check, and each object
    // makes its own one. Both take streams of random numbers.
    const ObjectFactory& factory_for(const Json& line)
    {
        TypeId type = type_of(line["type"].str());
        std::map<std::string, Json> values;
        std::string key = type.GetName();
        for (const auto& [name, given] : line["set"].members)
            if (!set_later(type, name))
            {
                values[name] = given;
                key += '\n' + name + (given.has("ref") ? "=#" + given["ref"].text : '=' + given.str());
            }
        auto found = m_factories.find(key);
        if (found != m_factories.end())
            return found->second;
        ObjectFactory factory;
        factory.SetTypeId(type);
        for (const auto& [name, given] : values)
        {
            auto attribute = attribute_of(type, name);
            set_doing("attribute " + name + " = " + given.str() + " of " + line["who"].str());
            if (!given.has("ref") && attribute.checker->GetValueTypeName() == "ns3::PointerValue")
                factory.Set(name, StringValue(given.str()));
            else
                factory.Set(name, *value_of(attribute, given, m_objects));
        }
        return m_factories[key] = factory;
    }

    // Whether an attribute is set after an object was created: because it has to be, or because
    // ApplicationContainer does so.
    static bool set_later(TypeId type, const std::string& name)
    {
        bool time = name == "StartTime" || name == "StopTime";
        return !(attribute_of(type, name).flags & TypeId::ATTR_CONSTRUCT) ||
               (time && type.IsChildOf(Application::GetTypeId()));
    }

    void set_others(const Json& line)
    {
        auto object = any(line["id"].number());
        for (const auto& [name, given] : line["set"].members)
            if (set_later(object->GetInstanceTypeId(), name))
                set(line["id"].number(), name, given);
    }

    // As the helpers of ns-3 do: an address, the node, a queue, the channel, flow control.
    void device(const Json& line)
    {
        auto node = get_as<Node>(line["node"]);
        auto device = get_as<NetDevice>(line["id"]);
        if (line.has("mac"))
            device->SetAddress(Mac48Address(line["mac"].str().c_str()));
        else if (!DynamicCast<BridgeNetDevice>(device)) // which takes the address of its first port
            device->SetAddress(Mac48Address::Allocate());
        node->AddDevice(device);
        Ptr<Queue<Packet>> queue;
        if (line.has("queue"))
            queue = get_as<Queue<Packet>>(line["queue"]);
        auto link = DynamicCast<PointToPointNetDevice>(device);
        auto csma = DynamicCast<CsmaNetDevice>(device);
        auto simple = DynamicCast<SimpleNetDevice>(device);
        if (!queue && (link || csma || simple))
        {
            ObjectFactory factory("ns3::DropTailQueue<Packet>");
            queue = factory.Create<Queue<Packet>>();
        }
        if (link)
            link->SetQueue(queue);
        if (csma)
            csma->SetQueue(queue);
        if (simple)
            simple->SetQueue(queue);
        if (line.has("channel"))
            attach(device, line["channel"]);
        if (queue)
        {
            auto interface = CreateObject<NetDeviceQueueInterface>();
            interface->GetTxQueue(0)->ConnectQueueTraces(queue);
            device->AggregateObject(interface);
        }
    }

    void attach(Ptr<NetDevice> device, const Json& channel)
    {
        if (auto link = DynamicCast<PointToPointNetDevice>(device))
        {
            auto target = get_as<PointToPointChannel>(channel);
            if (target->GetNDevices() == 2)
                throw Refused("a point-to-point channel joins two devices; this is a third one");
            link->Attach(target);
        }
        else if (auto csma = DynamicCast<CsmaNetDevice>(device))
            csma->Attach(get_as<CsmaChannel>(channel));
        else if (auto simple = DynamicCast<SimpleNetDevice>(device))
            simple->SetChannel(get_as<SimpleChannel>(channel));
        else
            throw Refused(device->GetInstanceTypeId().GetName() + " cannot be attached to a channel");
    }

    // The defaults of one part of a wifi device, and its type.
    std::string part_of(Defaults& defaults, const Json& part, const char* usual)
    {
        std::string name = part.has("type") ? part["type"].str() : usual;
        TypeId type = type_of(name);
        for (const auto& [attribute, given] : part["set"].members)
        {
            set_doing("attribute " + attribute + " = " + given.str() + " of " + part["who"].str());
            if (attribute_of(type, attribute).flags & TypeId::ATTR_CONSTRUCT)
                defaults.set(type, attribute, given, m_objects);
        }
        return name;
    }

    static WifiStandard standard_of(const std::string& name)
    {
        static const std::map<std::string, WifiStandard> standards = {
            {"80211a", WIFI_STANDARD_80211a},   {"80211b", WIFI_STANDARD_80211b},
            {"80211g", WIFI_STANDARD_80211g},   {"80211p", WIFI_STANDARD_80211p},
            {"80211n", WIFI_STANDARD_80211n},   {"80211ac", WIFI_STANDARD_80211ac},
            {"80211ax", WIFI_STANDARD_80211ax},
        };
        auto found = standards.find(name);
        if (found == standards.end())
            throw Refused("'" + name + "' is not a wifi standard of this ns-3");
        return found->second;
    }

    template <class Helper>
    NetDeviceContainer install_wifi(Helper& phy, const Json& line, Defaults& defaults)
    {
        WifiHelper wifi;
        WifiMacHelper mac;
        wifi.SetStandard(standard_of(line["standard"].str()));
        wifi.SetRemoteStationManager(part_of(defaults, line["manager"], "ns3::IdealWifiManager"));
        mac.SetType(part_of(defaults, line["mac"], "ns3::AdhocWifiMac"));
        phy.SetErrorRateModel(part_of(defaults, line["error"], "ns3::TableBasedErrorRateModel"));
        set_doing("install wifi " + line["who"].str());
        return wifi.Install(phy, mac, get_as<Node>(line["node"]));
    }

    void wifi(const Json& line)
    {
        Defaults defaults;
        NetDeviceContainer devices;
        part_of(defaults, line, "ns3::WifiNetDevice");
        std::string phy_type = part_of(defaults, line["phy"], "ns3::YansWifiPhy");
        if (phy_type == "ns3::SpectrumWifiPhy")
        {
            SpectrumWifiPhyHelper phy;
            phy.SetChannel(get_as<SpectrumChannel>(line["channel"]));
            devices = install_wifi(phy, line, defaults);
        }
        else
        {
            YansWifiPhyHelper phy;
            phy.SetChannel(get_as<YansWifiChannel>(line["channel"]));
            devices = install_wifi(phy, line, defaults);
        }
        auto device = DynamicCast<WifiNetDevice>(devices.Get(0));
        if (line.has("mac_address"))
            device->SetAddress(Mac48Address(line["mac_address"].str().c_str()));
        keep(line, device);
        keep(line["phy"], device->GetPhy());
        keep(line["mac"], device->GetMac());
        keep(line["manager"], device->GetRemoteStationManager());
    }

    void keep(const Json& part, Ptr<Object> object)
    {
        if (!part.has("id"))
            return;
        m_objects[part["id"].number()] = object;
        set_others(part);
        for (const auto& [name, given] : part["later"].members)
            set(part["id"].number(), name, given);
    }

    // Takes the streams of random numbers that the helper in a program takes for its default position.
    void mobility(const Json&)
    {
        MobilityHelper unused;
    }

    void aggregate(const Json& line)
    {
        any(line["to"].number())->AggregateObject(any(line["id"].number()));
    }

    void stack(const Json& line)
    {
        InternetStackHelper helper;
        const std::string routing = line["routing"].str();
        Ipv4ListRoutingHelper list;
        Ipv4StaticRoutingHelper fixed;
        Ipv4GlobalRoutingHelper global;
        OlsrHelper olsr;
        AodvHelper aodv;
        if (routing == "static")
            helper.SetRoutingHelper(fixed);
        else if (routing == "aodv")
            helper.SetRoutingHelper(aodv);
        else if (routing == "olsr")
        {
            list.Add(fixed, 0);
            list.Add(olsr, 10);
            helper.SetRoutingHelper(list);
        }
        else if (routing != "global")
            throw Refused("routing '" + routing + "' is not one of global, static, olsr, aodv");
        helper.Install(get_as<Node>(line["node"]));
    }

    // An object that its node has already, such as a protocol of the stack.
    void part(const Json& line)
    {
        auto object = get_as<Node>(line["node"])->GetObject<Object>(type_of(line["type"].str()));
        if (!object)
            throw Refused("its node has no " + line["type"].str());
        m_objects[line["id"].number()] = object;
        for (const auto& [name, given] : line["set"].members)
            set(line["id"].number(), name, given);
    }

    void qdisc(const Json& line)
    {
        Defaults defaults;
        TrafficControlHelper helper;
        helper.SetRootQueueDisc(part_of(defaults, line, ""));
        auto discs = helper.Install(get_as<NetDevice>(line["device"]));
        keep(line, discs.Get(0));
    }

    void address(const Json& line)
    {
        auto device = get_as<NetDevice>(line["device"]);
        const std::string text = line["ip"].str();
        if (!device->GetNode()->GetObject<Ipv4>())
            throw Refused("its node has no internet stack: set enableStack of the node");
        set_doing("address " + text + " of " + line["who"].str());
        auto bits = static_cast<uint32_t>(line["prefix"].number());
        Ipv4Mask mask(bits ? ~uint32_t(0) << (32 - bits) : 0);
        Ipv4Address whole(text.c_str());
        Ipv4AddressHelper helper(whole.CombineMask(mask), mask, Ipv4Address(whole.Get() & ~mask.Get()));
        helper.Assign(NetDeviceContainer(device));
    }

    void route(const Json& line)
    {
        auto node = get_as<Node>(line["node"]);
        auto ipv4 = node->GetObject<Ipv4>();
        if (!ipv4)
            throw Refused("its node has no internet stack: set enableStack of the node");
        auto routing = Ipv4StaticRoutingHelper().GetStaticRouting(ipv4);
        if (!routing)
            throw Refused("the routing of its node has no static routes");
        Ipv4Address hop(line["nexthop"].str().c_str());
        auto bits = static_cast<uint32_t>(line["prefix"].number());
        Ipv4Mask mask(bits ? ~uint32_t(0) << (32 - bits) : 0);
        Ipv4Address network(line["network"].str().c_str());
        for (uint32_t i = 1; i < ipv4->GetNInterfaces(); ++i)
            for (uint32_t j = 0; j < ipv4->GetNAddresses(i); ++j)
            {
                auto local = ipv4->GetAddress(i, j);
                if (local.GetLocal().CombineMask(local.GetMask()) == hop.CombineMask(local.GetMask()))
                {
                    routing->AddNetworkRouteTo(network, mask, hop, i, static_cast<uint32_t>(line["metric"].number()));
                    return;
                }
            }
        throw Refused("no device of its node is in the network of nexthop " + line["nexthop"].str());
    }

    void populate(const Json&)
    {
        Ipv4GlobalRoutingHelper::PopulateRoutingTables();
    }

    void application(const Json& line)
    {
        applications.add(line["id"].number(), get_as<Node>(line["node"]), get_as<Application>(line["id"]), realtime);
    }

    // Propagation loss models form a chain.
    void next(const Json& line)
    {
        get_as<PropagationLossModel>(line["id"])->SetNext(get_as<PropagationLossModel>(line["after"]));
    }

    void port(const Json& line)
    {
        get_as<BridgeNetDevice>(line["id"])->AddBridgePort(get_as<NetDevice>(line["device"]));
    }

    // Joins a device to a TAP interface of the host, which may be in another network namespace.
    void tap(const Json& line)
    {
        auto device = get_as<FdNetDevice>(line["device"]);
        if (checking)
            return; // The interface need not be there yet.
        const std::string name = line["name"].str();
        const std::string space = line["namespace"].str();
        int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (!space.empty())
        {
            int other = open(("/run/netns/" + space).c_str(), O_RDONLY | O_CLOEXEC);
            if (other < 0 || setns(other, CLONE_NEWNET) != 0)
                throw Refused("cannot enter network namespace " + space + ": " + std::strerror(errno));
            close(other);
        }
        int tap = open("/dev/net/tun", O_RDWR);
        ifreq request{};
        std::snprintf(request.ifr_name, IFNAMSIZ, "%s", name.c_str());
        request.ifr_flags = IFF_TAP | IFF_NO_PI;
        bool opened = tap >= 0 && ioctl(tap, TUNSETIFF, &request) == 0;
        std::string problem = opened ? "" : std::strerror(errno);
        if (!space.empty())
            setns(before, CLONE_NEWNET);
        close(before);
        if (!opened)
            throw Refused("cannot open TAP interface " + name + ": " + problem);
        device->SetFileDescriptor(tap);
    }

    void trace(const Json& line)
    {
        traces.add(any(line["id"].number()), line["source"].str(), line["file"].str());
    }

    void watch_flows(const Json&)
    {
        flows.install();
    }

    void log(const Json& line)
    {
        for (const auto& [component, level] : line["levels"].members)
        {
            set_doing("log component " + component);
            auto known = LogComponent::GetComponentList();
            if (known->find(component) == known->end())
                throw Refused("this ns-3 has no log component " + component);
            auto bits = level.str() == "error"      ? LOG_LEVEL_ERROR
                        : level.str() == "warn"     ? LOG_LEVEL_WARN
                        : level.str() == "info"     ? LOG_LEVEL_INFO
                        : level.str() == "debug"    ? LOG_LEVEL_DEBUG
                        : level.str() == "function" ? LOG_LEVEL_FUNCTION
                        : level.str() == "logic"    ? LOG_LEVEL_LOGIC
                                                    : LOG_LEVEL_ALL;
            LogComponentEnable(component.c_str(), static_cast<LogLevel>(bits | LOG_PREFIX_TIME | LOG_PREFIX_NODE));
        }
    }

    void stop_at(const Json& line)
    {
        set_doing("StopTime = " + line["at"].str());
        stop = Time(line["at"].str());
    }
};

} // namespace nepiq
