"""A lab that the tests of one process share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.faults.lab import Lab
from tests.stand import Stand
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


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers that nobody kills."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker(wait=False)
        made.start_worker()
        yield made


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Iterator[Installation]:
    """Somebody whose environment names that Redis."""
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path, **urls)
    yield made
    made.close()
