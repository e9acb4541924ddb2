"""The simulator: a C++ program that runs on hosts, and builds and runs a described simulation.

Its parts, in this folder, are joined to one source file, which is compiled on the host against the
ns-3 there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

from ..installation import packed

#: The parts, in the order in which they are joined.
_PARTS = (
    "json.h",
    "registry.h",
    "values.h",
    "traces.h",
    "applications.h",
    "builder.h",
    "server.h",
    "main.cc",
)

#: What holds for one part only, once they are one file.
_JOINED = re.compile(r'#pragma once\n|#include "(?!ns3/)[^"]+"\n')


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def archive() -> bytes:
    """Return the sources of the simulator and of its client, as a tar archive."""
    sources = {
        "simulator.cc": "".join(_JOINED.sub("", _read(name)) for name in _PARTS),
        "client.cc": _read("client.cc"),
    }
    return packed(sources)
