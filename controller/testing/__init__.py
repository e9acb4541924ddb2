"""Test support for resource classes, without a machine, Redis or a worker."""

from __future__ import annotations

from .fake_clock import FakeClock
from .fake_host import Answer, Call, FakeChannel, FakeHost
from .fake_pools import FakePools
from .harness import Harness

__all__ = ["Answer", "Call", "FakeChannel", "FakeClock", "FakeHost", "FakePools", "Harness"]
