"""What a worker under libfaketime imports.

Its version 0.9.10 fails in clock_nanosleep(2) up to an absolute time, as Python's ``time.sleep``
has it wait since 3.11 (EINVAL, or no wait at all).
"""

from __future__ import annotations

import select
import sys
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


_original, time.sleep = time.sleep, _sleep
# Modules that were loaded before may have it by this name.
for module in list(sys.modules.values()):
    if getattr(module, "sleep", None) is _original:
        module.sleep = _sleep  # type: ignore[attr-defined]
