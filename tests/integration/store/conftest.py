"""Every test of this folder runs twice: as it is, and with each script executed two times."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from redis import Redis
from tests.integration.store.driver import Driver


class MakeDriver(Protocol):
    """The type of the fixture ``make_driver``."""

    def __call__(self, **timing: Any) -> Driver: ...


@pytest.fixture(params=[False, True], ids=["once", "twice"])
def make_driver(redis_client: Redis, request: pytest.FixtureRequest) -> MakeDriver:
    """Make a run with the given timing; ``limit`` is 3 unless given."""

    def make(**timing: Any) -> Driver:
        redis_client.flushall()
        return Driver(redis_client, twice=request.param, **timing)

    return make


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    """A run that works in parts of three."""
    return make_driver()
