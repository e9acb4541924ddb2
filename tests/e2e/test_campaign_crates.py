"""A campaign is exported, and repeated from its crate by another user with other tools."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.installation import Installation

from nepiq.controller import Campaign, Space
from nepiq.controller.campaign.crate.crate import Crate
from nepiq.controller.campaign.file_store import FileStore

if TYPE_CHECKING:
    from tests.conftest import Need

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "ping"),
    pytest.mark.timeout(180),
]

SWEEP = """\
nepiq: 1
exp_id: counted
campaign:
  space: {grid: {n: [1, 2]}}
  repetitions: 3
  collect: {app: stdout}
  metrics:
    received: ping.received
    value: {label: app, trace: stdout, regex: 'value (\\d+)'}
resources:
  here: {type: linux::Node, hostname: localhost}
  ping: {type: linux::Ping, node: here, target: 127.0.0.1, count: "${n}", interval: 10ms}
  app: {type: linux::Application, node: here, command: 'echo "value $((${n} * ${seed} % 97))"'}
"""


@pytest.fixture
def crate(installation: Installation, tmp_path: Path, need: Need) -> Path:
    """The crate of a campaign of which there is nothing else any more."""
    for library, extra in (("rocrate", "crate"), ("scipy", "statistics")):
        need(library, importlib.util.find_spec(library), f"the extra {extra}")
    file = tmp_path / "study" / "sweep.yaml"
    file.parent.mkdir()
    file.write_text(SWEEP)
    assert installation.nepiq("campaign", "run", file).code == 0
    with Campaign.attach("counted", settings=installation.settings()) as campaign:
        campaign.add(Space.grid(n=[3]), 2)
        assert campaign.wait("60s").finished == 8
        folder = tmp_path / "crate"
        done = installation.nepiq("campaign", "export", "counted", "--crate", folder)
        assert (done.code, done.complaint) == (
            2,
            "nepiq: a crate needs a license (as --license CC-BY-4.0)",
        )
        command = ("campaign", "export", "counted", "--crate", folder, "--license", "mit")
        assert installation.nepiq(*command).code == 0
        rows = list(campaign.rows())
        campaign.remove()
    shutil.rmtree(file.parent)
    store = FileStore(folder / "results")
    assert store.runs() == sorted(row.run_id for row in rows)
    for row in rows:
        text = store.path(row.run_id, "app", "stdout").read_text()
        assert text == f"value {row.metrics['value']}\n"
    opened = Crate(folder)
    assert list(opened.rows()) == [replace(row, files_on="") for row in rows]
    assert [len(space) for space in opened.file.plan.spaces] == [2, 1]
    return folder


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Installation]:
    """An installation of another user, whose ping has another version."""
    tools = tmp_path / "bin"
    tools.mkdir()
    ping = tools / "ping"
    real = shlex.quote(shutil.which("ping") or "")
    ping.write_text(f'#!/bin/sh\n[ "$1" != -V ] || exec echo "ping 1.2"\nexec {real} "$@"\n')
    ping.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    made = Installation(tmp_path / "stranger", PATH=path)
    try:
        assert made.nepiq("up").code == 0
        yield made
    finally:
        made.close()


def test_a_campaign_is_repeated_from_its_crate(
    crate: Path, stranger: Installation, tmp_path: Path
) -> None:
    readme = (crate / "README.md").read_text()
    [arguments] = re.findall(r"^\$ nepiq (rerun) \.$", readme, re.MULTILINE)
    done = stranger.nepiq(arguments, crate)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[-3:] == ["received: agrees", "value: agrees", "reproduced"]
    assert "failed: 0 of 8 runs; in the crate 0 of 8" in lines
    [changed] = [line for line in lines if line.startswith("  programVersion of ping: ")]
    assert changed.endswith(" -> ping 1.2")
    assert changed.count("ping") == 3

    # Once more: its rows are there. With other results in the crate, it does not agree.
    other = tmp_path / "other"
    shutil.copytree(crate, other)
    head, *rows = (other / "table.csv").read_text().splitlines()
    place = head.split(",").index("metric.value")
    for number, row in enumerate(rows):
        cells = row.split(",")
        cells[place] = str(2000 + number)
        rows[number] = ",".join(cells)
    (other / "table.csv").write_text("\n".join([head, *rows, ""]))
    done = stranger.nepiq(arguments, other, "--json")
    assert done.code == 1
    assert "campaign counted-rerun has ended before: its rows are compared" in done.err
    found = json.loads(done.out)
    assert {item["metric"]: item["answer"] for item in found["verdicts"]} == {
        "received": "agrees",
        "value": "differs",
    }

    sample = ("--sample", "6", "--name", "some")
    done = stranger.nepiq(arguments, crate, *sample, "--json")
    assert (done.code, json.loads(done.out)["runs"]) == (0, [8, 6])
