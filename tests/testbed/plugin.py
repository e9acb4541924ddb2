"""Fixtures: hosts that the tests of one process share, and each test finds fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .bed import Testbed
from .host import Host
from .spaces import missing

if TYPE_CHECKING:
    from tests.conftest import Need


@pytest.fixture(scope="session")
def shared_testbed(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Four hosts, a gateway and two private hosts, until the end of the session."""
    lacking = missing()
    need("hosts made by namespaces", not lacking, f"needs {lacking}")
    folder = tmp_path_factory.mktemp("testbed")
    with Testbed(hosts=4, private=2, folder=folder, on_demand=True) as bed:
        yield bed


@pytest.fixture
def testbed(shared_testbed: Testbed) -> Iterator[Testbed]:
    """The shared hosts; after the test those that it used are crashed, with empty homes."""
    yield shared_testbed
    shared_testbed.reset()


@pytest.fixture
def every_host(testbed: Testbed) -> list[Host]:
    """All shared hosts, up, also for a test that connects to one by its name alone."""
    return testbed.every
