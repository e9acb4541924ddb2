"""The catalogue of built-in resource types and their classes, one resource a file.

The locations are listed here so that the use of one type does not import the others.
"""

from __future__ import annotations

#: rtype → ``module:Class``, relative to this package.
CATALOGUE = {
    "linux::Application": "linux.application:Application",
    "linux::Node": "linux.node:Node",
    "nepiq::Collector": "nepiq.collector:Collector",
    "nepiq::Null": "nepiq.null:Null",
    "nepiq::Sleep": "nepiq.null:Sleep",
}

#: Internal types of ``ec.schedule``, which users do not register by name.
INTERNAL = {
    "nepiq::Callback": "nepiq.callback:Callback",
    "nepiq::Clock": "nepiq.callback:Clock",
}

#: Other names, mostly those of NEPI's older scripts.
ALIASES = {
    "Collector": "nepiq::Collector",
    "LinuxApplication": "linux::Application",
    "LinuxNode": "linux::Node",
}
