"""Real hosts on one machine, for tests and for developers: docs/testbed.md."""

from __future__ import annotations

from .bed import Testbed
from .files import PASSWORD, USERS
from .host import Host, Process
from .spaces import TestbedFailed, missing

__all__ = ["PASSWORD", "USERS", "Host", "Process", "Testbed", "TestbedFailed", "missing"]
