"""A Redis and two workers that know the dummies, shared by the cases of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ns3 import required, share_builds
from tests.conftest import Need
from tests.stand import Stand, until

from nepiq.controller import ExperimentController
from nepiq.controller.model import registry

KINDS = "tests.conformance.kinds"
Make = Callable[..., ExperimentController]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    registry.load_imports([KINDS])
    with Stand(tmp_path_factory.mktemp("conformance"), NEPIQ_IMPORTS=KINDS) as made:
        workers = [made.start_worker(wait=False) for _ in range(2)]
        for worker in workers:
            until(lambda worker=worker: " ready." in worker.text(), 60.0, f"no {worker.name}")  # type: ignore[misc]
        yield made


@pytest.fixture
def ns3(need: Need, stand: Stand, ns3_builds: Path) -> None:
    """ns-3 and a compiler, and what was compiled for other tests."""
    required(need)
    share_builds(stand.home, ns3_builds)


@pytest.fixture
def make(stand: Stand) -> Iterator[Make]:
    """Makes experiments, and releases them in the end."""
    made: list[ExperimentController] = []

    def experiment(exp_id: str = "case", **options: Any) -> ExperimentController:
        made.append(stand.experiment(exp_id, quiet=True, **options))
        return made[-1]

    yield experiment
    for ec in made:
        ec.shutdown()


@pytest.fixture
def ec(make: Make) -> ExperimentController:
    return make()
