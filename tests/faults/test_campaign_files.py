"""Files of campaigns on hosts with SSH, while workers are killed and a host is out of reach."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.lab import Lab
from tests.stand import Stand, until
from tests.testbed import Testbed

from nepiq.controller import Campaign, Parameter, Space
from nepiq.controller.campaign.file_store import FileStore

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]


def campaign_of(stand: Stand, name: str, command: str, count: int, host: str = "") -> Campaign:
    ec = stand.experiment(name)
    ec.register_resource("linux::Node", label="node", **({"hostname": host} if host else {}))
    ec.register_resource("linux::Application", label="app", command=command, connectedTo="node")
    collect = {"app": ["stdout", "big"]}
    return stand.owned(
        Campaign(ec, Space.grid(n=list(range(count))), collect=collect, settings=stand.settings)
    ).submit()


def test_worker_killed_while_it_collects(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with Stand(tmp_path, NEPIQ_RESULTS=str(results), NEPIQ_RESULTS_FREE="1") as stand:
        doomed = stand.start_worker("doomed")
        command = f"echo {Parameter('n')}; truncate -s 400M big; echo {Parameter('n')} >>big"
        campaign = campaign_of(stand, "killed", command, 1)
        parts = results / "killed" / "files"
        until(lambda: any(parts.glob("*.part")), 60.0, "nothing is collected")
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        assert list(campaign.rows()) == []
        assert FileStore(results / "killed").runs() == []
        stand.start_worker("other")
        assert campaign.wait(120.0).finished == 1
        [row] = campaign.rows()
        store = FileStore(results / "killed")
        assert store.runs() == [row.run_id]
        assert [file.error for file in store.files(row.run_id)] == ["", ""]
        assert store.path(row.run_id, "app", "big").stat().st_size == 400 * 1024**2 + 2
        assert store.damaged() == []
        assert list(parts.glob("*.part")) == []


@pytest.mark.parametrize("point", ["collecting", "settling"])
def test_worker_killed_around_the_row(tmp_path: Path, point: str) -> None:
    results = tmp_path / "results"
    with Stand(tmp_path, NEPIQ_RESULTS=str(results), NEPIQ_RESULTS_FREE="1") as stand:
        # It begins the runs; the second one enters their rows, and dies.
        command = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo {Parameter('n')} >big"
        first = stand.start_worker("first")
        campaign = campaign_of(stand, "around", command, 4)
        until(lambda: campaign.status().active == 4, 30.0, "no run began")
        first.signal(signal.SIGTERM)
        first.ended()
        doomed = stand.start_worker("doomed", NEPIQ_FAULT=f"{point}=kill")
        (tmp_path / "go").touch()
        assert doomed.ended(60.0) == -signal.SIGKILL
        stand.start_worker("other")
        assert campaign.wait(120.0).finished == 4
        rows = list(campaign.rows())
        assert sorted(row.parameters["n"] for row in rows) == [0, 1, 2, 3]
        store = FileStore(results / "around")
        assert store.runs() == sorted(row.run_id for row in rows)
        for row in rows:
            text = store.path(row.run_id, "app", "big").read_text()
            assert text == f"{row.parameters['n']}\n"
        assert store.damaged() == []


def test_a_host_with_ssh_and_two_machines_that_keep_files(testbed: Testbed, tmp_path: Path) -> None:
    """Whichever machine enters a row, the client gets the files."""
    host = testbed.hosts[0]
    with Lab(tmp_path, testbed) as lab:
        for name in ("one", "two"):
            lab.stand.start_worker(
                name,
                NEPIQ_MACHINE=name,
                NEPIQ_RESULTS=str(tmp_path / f"results-{name}"),
                NEPIQ_RESULTS_FREE="1",
            )
        command = f"echo {Parameter('n')}; yes | head -c 3000000 >big"
        campaign = campaign_of(lab.stand, "far", command, 12, host.name)
        assert campaign.wait(120.0).finished == 12
        rows = list(campaign.rows())
        store = campaign.export(tmp_path / "here")
        assert store.runs() == sorted(row.run_id for row in rows)
        for row in rows:
            text = store.path(row.run_id, "app", "stdout").read_text()
            assert text == f"{row.parameters['n']}\n"
            assert store.path(row.run_id, "app", "big").stat().st_size == 3_000_000
        assert len(list((tmp_path / "here" / "files").glob("*/*"))) == 13
        for name in {row.files_on for row in rows}:
            kept = FileStore(tmp_path / f"results-{name}" / "far")
            assert kept.runs() == sorted(row.run_id for row in rows if row.files_on == name)
        home = host.root / "lab" / ".nepiq"
        until(
            lambda: not any((home / row.run_id).exists() for row in rows), 30.0, "directories stay"
        )
        campaign.remove(files=True)
        lab.expect_nothing(rows[0].run_id, host)
