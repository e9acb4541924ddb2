"""Files of the runs of campaigns: collected, stored once, brought to clients, and deleted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stand import Stand, until

from nepiq.controller import Campaign, CampaignError, NepiqError, Space
from nepiq.controller.campaign.file_store import FileStore
from nepiq.controller.campaign.metrics import Metric
from nepiq.controller.engine.store import keys

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(180),
]

PROGRAM = """
echo "n is ${n}"; mkdir logs; echo one >logs/a.log; echo two >logs/b.log
head -c 100000 /dev/zero >common.bin; echo "id,value" >v.csv; echo "1,$((${n} * 2))" >>v.csv
exit ${code}
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers of one machine, which share a store."""
    folder = tmp_path_factory.mktemp("files")
    with Stand(folder, NEPIQ_RESULTS=str(folder / "results"), NEPIQ_RESULTS_FREE="1") as made:
        for name in ("w0", "w1"):
            made.start_worker(name)
        yield made


def submitted(
    stand: Stand, name: str, space: Space, command: str = PROGRAM, **plan: Any
) -> Campaign:
    """A campaign of an application on this machine, submitted."""
    ec = stand.experiment(name)
    ec.register_resource("linux::Node", label="here")
    ec.register_resource("linux::Application", label="app", command=command, connectedTo="here")
    return stand.owned(Campaign(ec, space, settings=stand.settings, **plan)).submit()


def results(stand: Stand, name: str) -> FileStore:
    return FileStore(stand.folder / "results" / name)


def test_files_of_runs_also_of_failed_ones(stand: Stand, tmp_path: Path) -> None:
    names = ["stdout", "logs/*.log", "common.bin", "v.csv", "none.txt"]
    campaign = submitted(
        stand,
        "collected",
        Space.zip(n=[1, 2, 3], code=[0, 0, 5]),
        collect={"app": names},
        metrics={
            "value": Metric("app", "v.csv", csv="value"),
            "none": Metric("app", "no", regex="."),
        },
        parallel=3,
    )
    record = campaign.wait(90.0)
    assert (record.finished, record.failed) == (2, 1)
    rows = list(campaign.rows())
    assert {row.files_on for row in rows} == {"here"}
    assert {row.parameters["n"]: row.metrics.get("value") for row in rows} == {1: 2, 2: 4, 3: None}
    assert all("unknown trace 'no'" in row.error for row in rows if row.outcome == "finished")

    store = campaign.export(tmp_path / "here")
    assert store.runs() == sorted(row.run_id for row in rows)
    for row in rows:
        found = {file.name: file for file in store.files(row.run_id)}
        expected = {"stdout", "logs/a.log", "logs/b.log", "common.bin", "v.csv", "none.txt"}
        assert set(found) == expected
        assert "unknown trace 'none.txt'" in found["none.txt"].error
        text = store.path(row.run_id, "app", "stdout").read_text()
        assert text == f"n is {row.parameters['n']}\n"
        assert found["common.bin"].sha256 == hashlib.sha256(bytes(100000)).hexdigest()
    # 3 stdout and 3 v.csv of their own, and 3 contents that all runs have.
    contents = list((tmp_path / "here" / "files").glob("*/*"))
    assert len(contents) == 9
    assert store.damaged() == results(stand, "collected").damaged() == []

    before = {path: path.stat().st_mtime_ns for path in contents}
    campaign.export(tmp_path / "here")
    assert {path: path.stat().st_mtime_ns for path in contents} == before
    [(row, files)] = campaign.files(rows[0].run_id)
    assert files == store.files(row.run_id)
    until(lambda: not stand.run_directories(rows), 30.0, "the directories of runs stay")

    campaign.remove(files=True)
    assert results(stand, "collected").runs() == []
    assert list((stand.folder / "results" / "collected" / "files").glob("*/*")) == []


def test_only_failed_runs_are_kept_if_so_wished(stand: Stand) -> None:
    campaign = submitted(
        stand,
        "failed",
        Space.zip(n=[1, 2], code=[0, 5]),
        collect={"app": "stdout"},
        keep="failed",
        directories="failed",
    )
    campaign.wait(90.0)
    rows = {row.outcome: row for row in campaign.rows()}
    assert results(stand, "failed").runs() == [rows["failed"].run_id]
    assert (rows["failed"].files_on, rows["finished"].files_on) == ("here", "")
    until(lambda: not stand.run_directories([rows["finished"]]), 30.0, "its directory stays")
    assert len(stand.run_directories([rows["failed"]])) == 1


@pytest.mark.parametrize(("kept", "stay"), [("none", 0), ("all", 2)])
def test_directories_of_a_campaign_without_files(stand: Stand, kept: str, stay: int) -> None:
    """They go with the release of the run: when it has a row, they are gone."""
    name = f"directories-{kept}"
    campaign = submitted(stand, name, Space.zip(n=[1, 2], code=[0, 5]), directories=kept)
    campaign.wait(90.0)
    assert len(stand.run_directories(campaign.rows())) == stay
    assert not (stand.folder / "results" / name).exists()


def test_functions_read_what_was_collected(stand: Stand) -> None:
    """The host has it no more: the bytes are those of the store."""
    campaign = submitted(
        stand,
        "functions",
        Space.zip(n=[7], code=[0]),
        "echo ${n} >value; exit ${code}",
        collect={"app": "value"},
        metrics={"value": "tests.e2e.test_campaign_files:value_without_host"},
    )
    campaign.wait(90.0)
    [row] = campaign.rows()
    assert (row.metrics, row.error) == ({"value": 7}, "")


def value_without_host(ec: Any) -> int:
    """A metric that workers import; it removes the file from the host, and then reads it."""
    Path(ec.trace("app", "value", "path").replace("~", str(Path.home()))).unlink()
    assert ec.phase == "RELEASED"
    return int(ec.trace("app", "value"))


def test_a_full_disk_pauses_the_campaign_and_nothing_is_lost(tmp_path: Path) -> None:
    marker = tmp_path / "go"
    with Stand(tmp_path, NEPIQ_RESULTS=str(tmp_path / "results"), NEPIQ_RESULTS_FREE="1") as stand:
        worker = stand.start_worker("roomy")
        command = f"until [ -e {marker} ]; do sleep 0.05; done; echo ${{n}} ${{code}}"
        space = Space.grid(n=[1, 2, 3, 4], code=[0])
        campaign = submitted(stand, "full", space, command, collect={"app": "stdout"}, parallel=2)
        until(lambda: campaign.status().active == 2, 30.0, "no run began")
        worker.signal(15)
        worker.ended()
        full = stand.start_worker("full", NEPIQ_RESULTS_FREE="1000000000000")
        marker.touch()
        record = campaign.wait(60.0)
        assert (record.phase, record.held, record.active) == ("paused", True, 2)
        assert "worker machine here:" in record.why
        assert "the disk has" in record.why
        assert record.failed == 0
        # The worker keeps nothing of the step that a verb would have to wait for. The end of the
        # second run has it look once more.
        redis, state = stand.backend().redis, keys.campaign("full") + "state"
        until(lambda: redis.hget(state, "status") == b"idle", 10.0, "the step is kept")
        full.signal(15)
        full.ended()
        stand.start_worker("mended")
        campaign.resume()
        assert campaign.wait(60.0).finished == 4
        assert len(FileStore(tmp_path / "results" / "full").runs()) == 4


def test_a_campaign_is_cancelled_while_the_disk_is_full(tmp_path: Path) -> None:
    marker = tmp_path / "go"
    with Stand(tmp_path, NEPIQ_RESULTS=str(tmp_path / "results"), NEPIQ_RESULTS_FREE="1") as stand:
        worker = stand.start_worker("roomy")
        command = f"until [ -e {marker} ]; do sleep 0.05; done; echo ${{n}} ${{code}}"
        space = Space.grid(n=[1, 2, 3, 4], code=[0])
        campaign = submitted(stand, "full", space, command, collect={"app": "stdout"}, parallel=2)
        until(lambda: campaign.status().active == 2, 30.0, "no run began")
        worker.signal(15)
        worker.ended()
        stand.start_worker("full", NEPIQ_RESULTS_FREE="1000000000000")
        marker.touch()
        assert campaign.wait(60.0).held
        campaign.cancel()
        record = campaign.wait(60.0)
        assert (record.phase, record.active) == ("cancelled", 0)


def test_a_machine_that_has_gone_is_named(tmp_path: Path) -> None:
    with Stand(tmp_path, NEPIQ_RESULTS=str(tmp_path / "results")) as stand:
        first = stand.start_worker("first", NEPIQ_MACHINE="elsewhere", NEPIQ_RESULTS_FREE="1")
        space = Space.zip(n=[1], code=[0])
        campaign = submitted(stand, "gone", space, collect={"app": "stdout"})
        campaign.wait(60.0)
        [row] = campaign.rows()
        first.signal(15)
        first.ended()
        with pytest.raises(
            CampaignError,
            match=f"the files of 1 run, such as {row.run_id}, are on worker machine elsewhere",
        ):
            campaign.export(tmp_path / "export")
        with pytest.raises(CampaignError, match="which has no worker now"):
            campaign.remove(files=True)
        stand.start_worker("again", NEPIQ_MACHINE="elsewhere")
        shutil.rmtree(tmp_path / "results")
        with pytest.raises(CampaignError, match="are no more on worker machine elsewhere"):
            campaign.export(tmp_path / "export")


def test_the_command_line(stand: Stand, tmp_path: Path) -> None:
    campaign = submitted(
        stand, "shell", Space.zip(n=[1, 2], code=[0, 0]), collect={"app": "stdout"}
    )
    campaign.wait(60.0)
    run = next(campaign.rows()).run_id
    listed = [json.loads(line) for line in stand.command("campaign", "files", "shell").splitlines()]
    assert {item["name"] for item in listed} == {"stdout"}
    assert len(listed) == 2
    out = stand.command("campaign", "watch", "shell", "--folder", str(tmp_path / "all"))
    assert f"files of 2 runs in {tmp_path / 'all'}" in out
    assert len(FileStore(tmp_path / "all").runs()) == 2
    stand.command("campaign", "fetch", "shell", str(tmp_path / "one"), "--run", run)
    assert (tmp_path / "one" / run / "app" / "stdout").read_text().startswith("n is ")
    stand.command("campaign", "rm", "shell", "--files")
    assert results(stand, "shell").runs() == []


@pytest.mark.parametrize(
    ("collect", "message"),
    [
        ({"ap": "stdout"}, "collect ap: unknown resource 'ap' .did you mean 'app'"),
        ({"nothing": "stdout"}, "nothing: there are no files to collect"),
        ({"hard": "stdout"}, "hard: hardRelease of hard removes its files"),
        ({"app": "../up"}, "cannot be the name of a file of a run"),
    ],
)
def test_what_cannot_be_collected_is_refused(
    stand: Stand, collect: dict[str, str], message: str
) -> None:
    ec = stand.experiment("refused")
    ec.register_resource("linux::Node", label="here")
    for label, hard in (("app", False), ("hard", True)):
        ec.register_resource(
            "linux::Application", label=label, command="true", connectedTo="here", hardRelease=hard
        )
    ec.register_resource("nepiq::Null", label="nothing")
    space = Space.grid(n=[1])

    def submit() -> None:
        stand.owned(Campaign(ec, space, settings=stand.settings, collect=collect)).submit()

    with pytest.raises(NepiqError, match=message):
        submit()
