"""Faults on demand, for the tests of recovery.

``NEPIQ_FAULT`` lists the points at which this worker process fails, as ``point[:label]=fault``
separated by commas. The points are ``claimed`` (before the hook),
``acted`` (after the hook, before the commit), ``looking`` (the exit watcher is about to take a
lease) and ``watching`` (it has taken it). A fault is ``kill`` (SIGKILL to itself), ``stop``
(SIGSTOP to itself) or a number of seconds to wait. If it is unset, as usual, a point costs
one look-up in an empty dictionary.
"""

from __future__ import annotations

import os
import signal
import time

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _parse(text: str) -> dict[str, str]:
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {point.strip(): fault.strip() for point, fault in pairs}


_FAULTS = _parse(os.environ.get("NEPIQ_FAULT", ""))


def point(name: str, label: str = "") -> None:
    """Fail here if the environment requests it; each fault happens once."""
    if not _FAULTS:
        return
    for key in (f"{name}:{label}", name):
        fault = _FAULTS.pop(key, None)
        if fault is not None:
            if fault in _SIGNALS:
                os.kill(os.getpid(), _SIGNALS[fault])
            else:
                time.sleep(float(fault))
            return
