// The TypeId registry of the installed ns-3 as JSON.
#pragma once

#include "json.h"

#include "ns3/core-module.h"

#include <ostream>
#include <set>

namespace nepiq
{

// Writes every constructible Object: its attributes and trace sources, inherited ones included.
inline void write_types(std::ostream& out, const std::string& version)
{
    using namespace ns3;
    out << "{\"version\":" << json(version) << ",\"types\":{";
    const char* between = "\n";
    for (uint16_t i = 0; i < TypeId::GetRegisteredN(); ++i)
    {
        TypeId type = TypeId::GetRegistered(i);
        if (type.MustHideFromDocumentation() || !type.HasConstructor() || !type.IsChildOf(Object::GetTypeId()))
            continue;
        out << between << json(type.GetName()) << ":{\"group\":" << json(type.GetGroupName()) << ",\"bases\":[";
        between = ",\n";
        const char* comma = "";
        for (TypeId base = type; base.HasParent(); base = base.GetParent(), comma = ",")
            out << comma << json(base.GetParent().GetName());
        out << "],\"attributes\":{";
        comma = "";
        std::set<std::string> seen;
        for (TypeId owner = type;; owner = owner.GetParent())
        {
            for (std::size_t n = 0; n < owner.GetAttributeN(); ++n)
            {
                TypeId::AttributeInformation a = owner.GetAttribute(n);
                if (!seen.insert(a.name).second)
                    continue;
                out << comma << json(a.name) << ":{\"kind\":" << json(a.checker->GetValueTypeName());
                comma = ",";
                if (a.checker->HasUnderlyingTypeInformation())
                    out << ",\"values\":" << json(a.checker->GetUnderlyingTypeInformation());
                std::string usual = a.initialValue->SerializeToString(a.checker);
                out << ",\"default\":" << json(usual.rfind("0x", 0) == 0 ? "" : usual) // an address in memory
                    << ",\"help\":" << json(a.help) << ",\"flags\":" << a.flags
                    << ",\"get\":" << (a.accessor && a.accessor->HasGetter())
                    << ",\"set\":" << (a.accessor && a.accessor->HasSetter())
                    << ",\"obsolete\":" << (static_cast<int>(a.supportLevel) != 0) << "}";
            }
            if (!owner.HasParent())
                break;
        }
        out << "},\"traces\":{";
        comma = "";
        seen.clear();
        for (TypeId owner = type;; owner = owner.GetParent())
        {
            for (std::size_t n = 0; n < owner.GetTraceSourceN(); ++n)
            {
                auto source = owner.GetTraceSource(n);
                if (!seen.insert(source.name).second)
                    continue;
                out << comma << json(source.name) << ":{\"callback\":" << json(source.callback)
                    << ",\"help\":" << json(source.help) << "}";
                comma = ",";
            }
            if (!owner.HasParent())
                break;
        }
        out << "}}";
    }
    out << "\n}}\n";
}

} // namespace nepiq
