"""Installations: one that a module's tests share, and fresh ones; workers that reach test hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab
from tests.stand import Stand, until
from tests.testbed.bed import Testbed

from nepiq.controller.engine.pools import PoolStore


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose embedded stack stays up for the tests of a module."""
    made = Installation(tmp_path_factory.mktemp("installation"))
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """An installation where nothing has been started yet; its stack leaves after five seconds."""
    made = Installation(tmp_path, NEPIQ_EMBEDDED_IDLE="5")
    yield made
    made.close()


@pytest.fixture(scope="module")
def bed(shared_testbed: Testbed) -> Testbed:
    """The hosts that workers reach, all up; a module whose tests need other ones overrides it."""
    assert shared_testbed.every
    return shared_testbed


@pytest.fixture(scope="module")
def stand(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers that find the hosts in an ssh_config."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        for _ in range(2):
            made.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        yield made


@pytest.fixture
def pools(stand: Stand) -> Iterator[PoolStore]:
    """The pools of that Redis; at the end no host is leased, and no request waits."""
    store = stand.backend().pools
    yield store
    until(lambda: not store.allocation().leases, 15.0, "leases were left")
    assert not store.allocation().queue


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Iterator[Installation]:
    """Somebody whose environment names that Redis."""
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path, **urls)
    yield made
    made.close()


@pytest.fixture(scope="module")
def installation(shared: Installation) -> Installation:
    """The shared installation, its stack kept up."""
    assert shared.nepiq("up").code == 0
    return shared


@pytest.fixture
def lab(installation: Installation) -> Iterator[Lab]:
    """Makes experiments there, and releases what a test has left."""
    made = Lab(installation)
    yield made
    for ec in made.made:
        ec.shutdown()
