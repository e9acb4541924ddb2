"""Storms of faults over three worker machines and six hosts; more of them: make faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.faults.storm.storm import MACHINES, storm
from tests.testbed import Testbed
from tests.testbed.spaces import missing

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(600),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-storms"),
]


#: Together they have every kind of fault but two: Redis standing still and a worker asleep.
SEEDS = [6, 31]


@pytest.fixture(scope="module")
def machines(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    lacking = missing()
    need("hosts made by namespaces", not lacking, f"needs {lacking}")
    with Testbed(hosts=MACHINES, folder=tmp_path_factory.mktemp("machines")) as bed:
        yield bed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm(machines: Testbed, tmp_path: Path, seed: int) -> None:
    outcome = storm(seed, machines, tmp_path / "site")
    machines.reset()
    print(f"seed {seed}: {outcome.seconds:.0f} s: {'; '.join(outcome.faults)}")
    assert not outcome.problems, "\n".join([*outcome.faults, *outcome.problems])
