// Attribute values from text, and what was being done when ns-3 gave up.
#pragma once

#include "json.h"

#include "ns3/core-module.h"
#include "ns3/inet-socket-address.h"
#include "ns3/inet6-socket-address.h"
#include "ns3/mac48-address.h"
#include "ns3/net-device-container.h"
#include "ns3/node-container.h"

#include <cstdio>

namespace nepiq
{
using namespace ns3;

// How many events of this program itself ns-3 has carried out.
inline uint64_t own_events = 0;

// What is being done, for the message if ns-3 aborts meanwhile: it does so for malformed values.
inline char doing[512] = "";

inline void set_doing(const std::string& what)
{
    std::snprintf(doing, sizeof doing, "%s", what.c_str());
}

// An Address from "10.0.0.1:9", "10.0.0.1", "[2001:db8::1]:9" or a MAC address.
inline Address address_of(const std::string& text)
{
    auto octets = [](const std::string& host) { return host.find('.') != std::string::npos; };
    if (text.empty())
        return Address();
    if (text[0] == '[')
    {
        auto end = text.find("]:");
        if (end == std::string::npos)
            throw Refused("'" + text + "' is not an address: write [IPv6]:port");
        return Inet6SocketAddress(Ipv6Address(text.substr(1, end - 1).c_str()),
                                  static_cast<uint16_t>(std::stoi(text.substr(end + 2))));
    }
    auto colon = text.find(':');
    if (octets(text) && colon != std::string::npos)
        return InetSocketAddress(Ipv4Address(text.substr(0, colon).c_str()),
                                 static_cast<uint16_t>(std::stoi(text.substr(colon + 1))));
    if (octets(text))
        return Ipv4Address(text.c_str());
    if (text.size() == 17 && text[2] == ':')
        return Mac48Address(text.c_str());
    return Ipv6Address(text.c_str());
}

// The value of an attribute from what the description says.
inline Ptr<const AttributeValue> value_of(const TypeId::AttributeInformation& attribute,
                                          const Json& given,
                                          const std::map<int, Ptr<Object>>& objects)
{
    if (given.has("ref"))
        return Create<PointerValue>(objects.at(given["ref"].number()));
    std::string kind = attribute.checker->GetValueTypeName();
    if (kind == "ns3::AddressValue")
        return Create<AddressValue>(address_of(given.str()));
    auto value = attribute.checker->CreateValidValue(StringValue(given.str()));
    if (!value)
        throw Refused("'" + given.str() + "' is not a value of attribute " + attribute.name + " (" + kind +
                      (attribute.checker->HasUnderlyingTypeInformation()
                           ? ": " + attribute.checker->GetUnderlyingTypeInformation()
                           : "") +
                      ")");
    return value;
}

// The type of a name, which has to be constructible.
inline TypeId type_of(const std::string& name)
{
    TypeId type;
    if (!TypeId::LookupByNameFailSafe(name, &type))
        throw Refused("this ns-3 has no type " + name);
    if (!type.HasConstructor())
        throw Refused("type " + name + " cannot be constructed");
    return type;
}

inline TypeId::AttributeInformation attribute_of(TypeId type, const std::string& name)
{
    TypeId::AttributeInformation attribute;
    if (!type.LookupAttributeByName(name, &attribute))
        throw Refused(type.GetName() + " has no attribute " + name);
    return attribute;
}

// The full name of an attribute for Config::SetDefault: that of the type that declares it.
inline std::string full_name(TypeId type, const std::string& name)
{
    for (TypeId owner = type;; owner = owner.GetParent())
    {
        for (std::size_t n = 0; n < owner.GetAttributeN(); ++n)
            if (owner.GetAttribute(n).name == name)
                return owner.GetName() + "::" + name;
        if (!owner.HasParent())
            throw Refused(type.GetName() + " has no attribute " + name);
    }
}

// Sets defaults for what a helper of ns-3 creates meanwhile, and restores them.
class Defaults
{
  public:
    Defaults() = default;
    Defaults(const Defaults&) = delete;
    Defaults& operator=(const Defaults&) = delete;

    ~Defaults()
    {
        for (auto item = m_before.rbegin(); item != m_before.rend(); ++item)
            Config::SetDefault(item->first, *item->second);
    }

    void set(TypeId type, const std::string& name, const Json& given, const std::map<int, Ptr<Object>>& objects)
    {
        auto attribute = attribute_of(type, name);
        auto value = value_of(attribute, given, objects);
        auto full = full_name(type, name);
        m_before.emplace_back(full, attribute.initialValue);
        Config::SetDefault(full, *value);
    }

  private:
    std::vector<std::pair<std::string, Ptr<const AttributeValue>>> m_before;
};

} // namespace nepiq
