"""The engine's constants, in seconds unless said otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the engine waits for what, and how much one script does.

    Attributes:
        lease: how long a claim or an exit watcher's lease holds without being renewed.
        renew: how often a worker renews what it executes.
        grace: how long after a step was handed out somebody looks again; doubles each time.
        horizon: steps due later than this from now are handed out by the sweeper.
        limit: items that one script opens or arms before it leaves the rest to the next call.
        retry: how long after a campaign's step was given back undone the sweeper sends it again.
        max_lost: a step that lost its worker this many times fails.
    """

    lease: float = 12.0
    renew: float = 3.0
    grace: float = 2.0
    horizon: float = 10.0
    limit: int = 500
    retry: float = 12.0
    max_lost: int = 4

    @classmethod
    def from_environment(cls) -> Timing:
        """The defaults, with the limit taken from ``NEPIQ_CHUNK`` if that is set.

        Fault tests set it to a few, so that every long operation is cut into many scripts.
        """
        chunk = os.environ.get("NEPIQ_CHUNK", "")
        return cls(limit=int(chunk)) if chunk else cls()
