"""The catalogue: which class manages which built-in type, one resource a file.

A type is listed here so that finding one imports no other.
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

#: Those that nobody registers by name; they are a means of ``ec.schedule``.
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
