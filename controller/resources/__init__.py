"""The catalogue of built-in resource types and their classes.

The locations are listed here so that the use of one type does not import the others.
"""

from __future__ import annotations

#: rtype → ``module:Class``, relative to this package.
CATALOGUE = {
    "linux::Application": "linux.application:Application",
    "linux::Node": "linux.node:Node",
    "linux::Service": "linux.service:Service",
    "linux::ns3::Program": "ns3.program:Program",
    "linux::ns3::Simulation": "ns3.simulation:Simulation",
    "linux::ns3::TapLink": "ns3.tap:TapLink",
    "nepiq::Collector": "nepiq.collector:Collector",
    "nepiq::Null": "nepiq.null:Null",
    "nepiq::Sleep": "nepiq.null:Sleep",
    "ns3::BridgeNetDevice": "ns3.objects:BridgeNetDevice",
    "ns3::Node": "ns3.objects:Node",
    "ns3::Route": "ns3.objects:Route",
    "ns3::WifiNetDevice": "ns3.objects:WifiNetDevice",
}

#: Types whose classes are made when they are used: their prefix, and a module with the functions
#: ``names()`` and ``location(rtype)``.
FAMILIES = {"ns3::": "ns3.catalogue"}

#: Internal types of ``ec.schedule``, which users do not register by name.
INTERNAL = {
    "nepiq::Callback": "nepiq.callback:Callback",
    "nepiq::Clock": "nepiq.callback:Clock",
}

#: Other names, mostly those of NEPI's older scripts.
ALIASES = {
    "Collector": "nepiq::Collector",
    "LinuxApplication": "linux::Application",
    "LinuxNS3Simulation": "linux::ns3::Simulation",
    "LinuxNode": "linux::Node",
}
