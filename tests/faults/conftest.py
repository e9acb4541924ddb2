"""A lab that the tests of one process share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.lab import Lab
from tests.testbed import Testbed


@pytest.fixture(scope="session")
def shared_lab(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shared hosts, and two workers until the end of the session."""
    with Lab(tmp_path_factory.mktemp("lab"), shared_testbed) as lab:
        lab.start_workers(2)
        yield lab


@pytest.fixture
def lab(shared_lab: Lab, testbed: Testbed) -> Lab:
    """The shared lab; whoever kills workers makes one of his own."""
    assert shared_lab.bed is testbed
    return shared_lab
