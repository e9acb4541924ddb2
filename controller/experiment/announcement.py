"""Notification of ``nepiq run`` about the runs that its script creates.

``nepiq run`` listens on the unix socket that ``NEPIQ_ANNOUNCE`` names; each run is one
connection with one JSON object. Anywhere else the variable is not set and nothing happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket

from ..settings import Settings

VARIABLE = "NEPIQ_ANNOUNCE"


def announced() -> bool:
    """True if a ``nepiq run`` watches this process, and so shows what fails."""
    return bool(os.environ.get(VARIABLE))


def announce(run_id: str, settings: Settings) -> None:
    """Tell a listening ``nepiq run`` of a run that has just been created."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    told = {
        "run_id": run_id,
        "broker_url": settings.broker_url,
        "state_url": settings.state_url,
    }
    # Whoever listened may have gone; the experiment goes on without being watched.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as channel:
        channel.connect(path)
        channel.sendall(json.dumps(told).encode())
