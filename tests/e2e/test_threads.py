"""Threads that share an experiment: nobody gets what is another's, and waiting stops nobody."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.sharing import PATIENCE, a_round, hurried, together
from tests.stand import Stand

from nepiq.controller import (
    ExperimentController,
    ExperimentRunner,
    NotAllowed,
    ResourceAction,
    ResourceState,
    TaskStatus,
)
from nepiq.controller.engine.store import keys

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(240)]

ROUNDS = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker."""
    with Stand(tmp_path_factory.mktemp("threads")) as made:
        made.start_worker()
        yield made


@pytest.fixture
def ec(place: Stand) -> Iterator[ExperimentController]:
    """An experiment there, with a node that is deployed."""
    made = place.experiment("shared", quiet=True)
    made.register_resource("linux::Node", label="node")
    made.deploy()
    yield made
    made.shutdown()


def test_each_thread_gets_its_own_output(place: Stand) -> None:
    assert [a_round(place, f"r{number}") for number in range(ROUNDS)] == [[]] * ROUNDS


def test_threads_that_deploy_first_make_one_run(place: Stand) -> None:
    found = set()
    with hurried(), place.experiment("first", quiet=True) as ec:

        def deploy() -> None:
            null = ec.register_resource("nepiq::Null")
            ec.deploy(null)
            assert ec.wait_started(null, timeout=PATIENCE)
            found.add(ec.run_id)

        wrong = together([deploy] * 16)
        assert (wrong, len(found), len(ec.resources)) == ([], 1, 16)


@dataclass
class Uses:
    """What a script can call, each method for what is its own."""

    ec: ExperimentController
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def files(self) -> None:
        ec, number = self.ec, next(self.numbers)
        source, back, one = (
            self.folder / "source",
            self.folder / f"back-{number}",
            self.folder / "one",
        )
        mine = ec.register_resource(
            "linux::Application", command="echo printed", connectedTo="node"
        )
        ec.wait_deployed("node", timeout=PATIENCE)
        ec.deploy(mine, wait_all_ready=False)
        ec.wait_finished(mine, timeout=PATIENCE)
        ec.upload(mine, source, f"copy-{number}")
        # To a place of its own, and to one where whoever comes last leaves all of it.
        for goal in (back, one):
            ec.download(mine, f"copy-{number}", goal)
            assert goal.read_bytes() == source.read_bytes()
        assert [line.line for line in ec.logs(mine) if line.stream == "stdout"] == ["printed"]

    def conditions(self) -> None:
        ec = self.ec
        one, two = (ec.register_resource("nepiq::Null") for _ in range(2))
        ec.register_condition(two, ResourceAction.START, one, ResourceState.STARTED)
        ec.deploy([one, two])
        assert ec.wait_started([one, two], timeout=PATIENCE)
        begun = [ec.get_start_time(guid) for guid in (one, two)]
        assert begun == sorted(filter(None, begun))

    def schedules(self) -> None:
        ec = self.ec
        null = ec.register_resource("nepiq::Null")
        ec.deploy(null)
        ec.wait_started(null, timeout=PATIENCE)
        number = ec.schedule("0s", partial(ec.stop, null))
        assert ec.wait(null, ResourceState.STOPPED, timeout=PATIENCE)
        assert ec.wait(number, ResourceState.STARTED, timeout=PATIENCE)
        task = ec.get_task(number)
        assert task is not None
        assert task.status is TaskStatus.DONE

    def releases(self) -> None:
        null = self.ec.register_resource("nepiq::Null")
        self.ec.deploy(null)
        self.ec.wait_started(null, timeout=PATIENCE)
        self.ec.release(null)
        assert self.ec.state(null) is ResourceState.RELEASED

    def describes(self) -> None:
        for _ in range(20):
            one = self.ec.register_resource("nepiq::Null")
            self.ec.set(one, "critical", value=False)
            assert self.ec.get(one, "critical") is False
            self.ec.remove_resource(one)
            assert self.ec.get_resource(one) is None

    def looks(self) -> None:
        ec = self.ec
        for _ in range(20):
            assert "node" in ec.serialize()
            assert ec.find("node") in ec.resources
            ec.graph()
            ec.connections("node")
            assert "node" in ec._repr_html_()
            ec.timeline()
            assert ec.again().find("node") == ec.find("node")
        ec.save(self.folder / "saved")


def test_everything_at_once(place: Stand, ec: ExperimentController, tmp_path: Path) -> None:
    uses = Uses(ec, tmp_path)
    (tmp_path / "source").write_bytes(b"sent" * 1000)
    kinds = [uses.files, uses.conditions, uses.schedules]
    kinds += [uses.releases, uses.describes, uses.looks]
    with hurried():
        assert together([*kinds * 3]) == []
    assert len(list((tmp_path / "saved").iterdir())) == 3


def test_a_wait_keeps_nobody_from_going_on(ec: ExperimentController) -> None:
    long = ec.register_resource("linux::Application", command="sleep 300", connectedTo="node")
    ec.deploy(long)
    ended: list[bool] = []
    waiting = threading.Thread(target=lambda: ended.append(ec.wait_finished(long)), daemon=True)
    waiting.start()
    for _ in range(3):
        short = ec.register_resource("linux::Application", command="true", connectedTo="node")
        ec.deploy(short)
        assert ec.wait_finished(short, timeout=PATIENCE)
    assert waiting.is_alive()
    ec.stop(long)
    waiting.join(PATIENCE)
    assert ended == [True]


def test_a_site_without_workers_keeps_nobody_from_going_on(place: Stand) -> None:
    settings = replace(place.settings, worker_timeout=float(PATIENCE))
    ec = ExperimentController("slow", settings=settings, quiet=True)
    far = ec.register_resource("linux::Node", hostname="far.example", site="nowhere")
    errors: list[BaseException] = []

    def deploy() -> None:
        try:
            ec.deploy(far)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    deploying = threading.Thread(target=deploy, daemon=True)
    deploying.start()
    null = ec.register_resource("nepiq::Null")
    ec.deploy(null)
    assert ec.wait_started(null, timeout=PATIENCE)
    assert deploying.is_alive()
    redis = place.backend().redis
    told = {"machine": "x", "queues": ["nepiq.nowhere"], "pid": 0, "version": "0"}
    redis.hset(keys.WORKERS, "pretended", json.dumps(told))
    redis.zadd(keys.BEATS, {"pretended": time.time()})
    deploying.join(PATIENCE)
    assert (deploying.is_alive(), errors) == (False, [])
    redis.hdel(keys.WORKERS, "pretended")
    redis.zrem(keys.BEATS, "pretended")
    ec.shutdown()


def test_a_wait_ends_when_another_thread_closes(place: Stand, ec: ExperimentController) -> None:
    other = ExperimentController.attach(ec.run_id, settings=place.settings)
    raised: list[str] = []

    def wait() -> None:
        try:
            other.wait_finished("node")
        except NotAllowed as error:
            raised.append(error.message)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    other.close()
    waiting.join(PATIENCE)
    assert raised == ["the experiment was closed while it was waited for"]
    assert ec.state("node") is ResourceState.STARTED


def test_a_release_by_one_thread_ends_the_waits_of_others(place: Stand) -> None:
    with place.experiment("ended", quiet=True) as ec:
        node = ec.register_resource("linux::Node")
        app = ec.register_resource("linux::Application", command="sleep 300", connectedTo=node)
        ec.deploy()
        ec.wait_started(app, timeout=PATIENCE)
        waits = [ec.wait_released, ec.wait_released, ec.release, ec.shutdown, ec.shutdown]
        assert together([*waits]) == []  # type: ignore[list-item]
        assert ec.ecstate.name == "TERMINATED"


def test_campaigns_that_share_an_experiment(place: Stand) -> None:
    described = place.experiment("campaign", quiet=True)
    described.register_resource("linux::Node", label="node")
    described.register_resource(
        "linux::Application", label="app", command="echo 7", connectedTo="node"
    )
    runners = [ExperimentRunner() for _ in range(4)]

    def carry_out(runner: ExperimentRunner) -> None:
        runs = runner.run(
            described,
            max_runs=2,
            min_runs=2,
            compute_metric_callback=lambda ec, run: float(ec.trace("app", "stdout")),
        )
        assert (runs, runner.samples, runner.mean) == (2, [7.0, 7.0], 7.0)

    assert together([lambda runner=runner: carry_out(runner) for runner in runners]) == []


def test_a_runner_carries_out_one_campaign_at_a_time(place: Stand) -> None:
    described = place.experiment("twice", quiet=True)
    node = described.register_resource("linux::Node")
    described.register_resource("linux::Application", command="true", connectedTo=node)
    runner, wrong = ExperimentRunner(), []

    def again(_: ExperimentController, __: int) -> None:
        try:
            runner.run(described, max_runs=1)
        except NotAllowed as error:
            wrong.append(error.message)

    ran = runner.run(described, max_runs=1, compute_metric_callback=again, timeout=PATIENCE)
    assert (ran, wrong) == (1, ["this runner already carries out a campaign"])
