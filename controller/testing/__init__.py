"""Test support for resource classes, without a machine, Redis or a worker."""

from __future__ import annotations

from .fake_pools import FakePools
from .fakes import Answer, Call, FakeChannel, FakeClock, FakeHost
from .harness import Harness

__all__ = ["Answer", "Call", "FakeChannel", "FakeClock", "FakeHost", "FakePools", "Harness"]
