"""Faults on demand, for the tests of recovery.

``NEPIQ_FAULT`` names points in a step's life at which this worker process shall fail, as
``point[:label]=what`` separated by commas. The points are ``claimed`` (before the hook),
``acted`` (after the hook, before the commit), ``looking`` (the exit watcher is about to take a
lease) and ``watching`` (it has taken it). ``what`` is ``kill`` (SIGKILL to itself), ``stop``
(SIGSTOP to itself) or a number of seconds to wait. Unset, which is the rule, a point costs one
look at an empty dictionary.
"""

from __future__ import annotations

import os
import signal
import time

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _parse(text: str) -> dict[str, str]:
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {point.strip(): what.strip() for point, what in pairs}


_FAULTS = _parse(os.environ.get("NEPIQ_FAULT", ""))


def point(name: str, label: str = "") -> None:
    """Fail here if the environment says so; each fault happens once."""
    if not _FAULTS:
        return
    for key in (f"{name}:{label}", name):
        what = _FAULTS.pop(key, None)
        if what is not None:
            if what in _SIGNALS:
                os.kill(os.getpid(), _SIGNALS[what])
            else:
                time.sleep(float(what))
            return
