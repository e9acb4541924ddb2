"""A resource whose start kills its worker; workers import this module."""

from __future__ import annotations

import os
import signal

from nepiq.controller import Context, ResourceManager


class Poison(ResourceManager, rtype="storm::Poison"):
    """Kills whoever starts it."""

    def do_start(self, context: Context) -> None:
        """Kill this process."""
        os.kill(os.getpid(), signal.SIGKILL)
