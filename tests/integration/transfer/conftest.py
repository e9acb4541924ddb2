"""A stand with a worker, and a run with a deployed node in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.stand import Stand

from nepiq.controller import ExperimentController


@dataclass
class Site:
    """A deployed run.

    Attributes:
        stand: Redis and workers.
        ec: the experiment.
        nodes: two nodes with a home each.
        folder: of the test.
    """

    stand: Stand
    ec: ExperimentController
    nodes: list[int]
    folder: Path

    def app(self, command: str, **more: object) -> int:
        """Register an application on the first node."""
        return self.ec.register_resource(
            "linux::Application", connectedTo=self.nodes[0], command=command, **more
        )

    def run_dir(self, guid: int, node: int = 0) -> Path:
        """The directory of the first start of a resource."""
        home = self.folder / f"home {node}"
        return home / ".nepiq" / self.ec.run_id / str(self.nodes[node]) / str(guid) / "1"


def _deployed(stand: Stand, folder: Path) -> Iterator[Site]:
    with stand.experiment() as ec:
        nodes = [
            ec.register_resource("linux::Node", label=f"n{n}", home=str(folder / f"home {n}"))
            for n in range(2)
        ]
        ec.deploy()
        assert ec.wait_deployed(timeout=30.0)
        yield Site(stand, ec, nodes, folder)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker that the tests of a module share."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker("first")
        yield made


@pytest.fixture
def site(stand: Stand, tmp_path: Path) -> Iterator[Site]:
    """A run on that stand, for tests that leave its Redis and its worker as they are."""
    yield from _deployed(stand, tmp_path)


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A run on a stand of its own, for tests that kill, stop or measure a part of it."""
    with Stand(tmp_path) as made:
        made.start_worker("first")
        yield from _deployed(made, tmp_path)
