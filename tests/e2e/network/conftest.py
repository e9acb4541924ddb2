"""Hosts of the test bed, and a worker that reaches them, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.lab import Lab
from tests.testbed import Testbed


@pytest.fixture(scope="module")
def lab(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One worker and the shared hosts, which are booted afterwards."""
    with Lab(tmp_path_factory.mktemp("network"), shared_testbed) as made:
        made.start_workers(1)
        yield made
    shared_testbed.reset()
