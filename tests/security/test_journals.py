"""Lines in a host's journal that nepiq did not write: a host speaks for what is on it, in short."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand import Stand, until

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

APPLICATION = "linux::Application"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One worker."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker()
        yield made


class Forger:
    """Two hosts, with an application that goes on on each; lines are forged on the first one."""

    def __init__(self, stand: Stand, ec: ExperimentController, folder: Path) -> None:
        self.stand, self.ec = stand, ec
        homes = [folder / "one", folder / "two"]
        self.nodes = [
            ec.register_resource("linux::Node", home=str(home), critical=False) for home in homes
        ]
        self.apps = [self._app("sleep 300", node) for node in self.nodes]
        ec.deploy()
        assert ec.wait_started(self.apps, timeout=30.0)
        self.journal = homes[0] / ".nepiq" / ec.run_id / str(self.nodes[0]) / "journal"

    def _app(self, command: str, node: int) -> int:
        return self.ec.register_resource(APPLICATION, command=command, connectedTo=node)

    def tell(self, guid: int, stdout: str, *, occasion: int = 1) -> None:
        """Write the line of an exit of a resource."""
        name = self.journal.read_text().splitlines()[0].split()[1]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._write(f"exit {name} {guid} {occasion} 0 FINISHED 1.00 {boot} {stdout} . .")

    def restart(self, guid: int, number: int) -> None:
        """Write the line of a restart of a resource."""
        name = self.journal.read_text().splitlines()[0].split()[1]
        self._write(f"again {name} {guid} 1 {number} 1 1.00 boot .")

    def _write(self, line: str) -> None:
        with self.journal.open("a") as journal:
            journal.write(line + "\n")

    def heard(self) -> None:
        """What was told before is heard once a true end on this host is."""
        app = self._app("echo true", self.nodes[0])
        self.ec.deploy([app])
        assert self.ec.wait_finished(app, timeout=30.0)
        assert self.ec.trace(app, "stdout") == "true\n"

    def kept(self) -> int:
        """Bytes of outputs that Redis keeps of this run."""
        redis = self.stand.backend().redis
        found = list(redis.scan_iter(match=f"nepiq:?{self.ec.run_id}?:out:*", count=1000))
        return sum(len(data) for key in found for data in redis.hvals(key))


def test_of_another_host(stand: Stand, tmp_path: Path) -> None:
    with stand.experiment("forged") as ec:
        forger = Forger(stand, ec, tmp_path)
        mine, other = forger.apps
        forger.tell(other, base64.b64encode(b"forged").decode())
        forger.tell(forger.nodes[1], ".")
        forger.tell(999_999, ".")
        forger.heard()
        assert ec.state(other) is ResourceState.STARTED
        assert ec.state(forger.nodes[1]) is ResourceState.STARTED
        assert ec.trace(other, "stdout") == ""
        until(
            lambda: "reported an exit of" in stand.workers[0].text(),
            10.0,
            "the worker says nothing",
        )
        assert ec.failures == []
        # It may say what it likes of what is on it.
        forger.tell(mine, ".")
        assert ec.wait_finished(mine, timeout=30.0)


def test_restarts(stand: Stand, tmp_path: Path) -> None:
    """Of its own resources only, and no number of them fills Redis."""
    with stand.experiment("restarts") as ec:
        forger = Forger(stand, ec, tmp_path)
        mine, other = forger.apps
        forger.restart(other, 7)
        forger.restart(999_999, 7)
        for number in (*range(1, 300), 5, 300):
            forger.restart(mine, number)
        forger.heard()
        assert (ec.get(other, "restarts"), ec.get(mine, "restarts")) == (0, 300)
        run = stand.backend().run(ec.run_id)
        assert [event.what for event in run.events()].count("restart") == 100
        assert ec.state(mine) is ResourceState.STARTED


def test_of_any_length(stand: Stand, tmp_path: Path) -> None:
    with stand.experiment("long") as ec:
        forger = Forger(stand, ec, tmp_path)
        mine, _ = forger.apps
        forger.tell(mine, base64.b64encode(b"x" * 1_000_000).decode())
        forger.tell(mine, base64.b64encode(b"x" * 4_000).decode())
        forger.heard()
        assert ec.state(mine) is ResourceState.STARTED
        assert forger.kept() < 100
        assert ec.failures == []
