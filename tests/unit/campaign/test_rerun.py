"""Crates are read, sampled and given other hosts; what has changed since is named."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.campaign.crates import HOSTS, PLAN, PROVENANCE, TEMPLATE, TERMS, content, rows

from nepiq.controller import Campaign, CampaignError, InvalidValue, NotAllowed
from nepiq.controller.campaign.crate.changes import changes
from nepiq.controller.campaign.crate.crate import Crate
from nepiq.controller.campaign.crate.hosts import in_pool
from nepiq.controller.campaign.crate.reproduction import reproduction
from nepiq.controller.campaign.crate.sample import sample
from nepiq.controller.campaign.crate.writer import write
from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.host_facts import HostFacts
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.provenance import Provenance
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.segment import Segment
from nepiq.controller.cli import main

if TYPE_CHECKING:
    from tests.conftest import Need


@pytest.fixture
def crate(tmp_path: Path, need: Need) -> Crate:
    for library, extra in (("rocrate", "crate"), ("scipy", "statistics")):
        need(library, importlib.util.find_spec(library), f"the extra {extra}")
    return Crate(write(content(), tmp_path / "crate", TERMS))


def test_rows_are_those_of_the_campaign(crate: Crate) -> None:
    assert list(crate.rows()) == list(rows(CampaignPlan.of(PLAN)))
    assert crate.table().parameters == ["n"]
    assert (crate.name, crate.provenance.versions, crate.hosts) == (
        "sweep",
        PROVENANCE.versions,
        HOSTS,
    )


def test_text_that_looks_like_a_number(tmp_path: Path, need: Need) -> None:
    need("rocrate", importlib.util.find_spec("rocrate"), "the extra crate")
    plan = {
        **PLAN,
        "metrics": {
            **PLAN["metrics"],
            "build": {"label": "ping", "trace": "stdout", "regex": "(.*)", "kind": "str"},
        },
    }
    given = list(rows(CampaignPlan.of(plan)))
    for row in given:
        if row.metrics:
            row.metrics["build"] = "007"
    crate = Crate(write(content(plan, read=lambda: iter(given)), tmp_path / "crate", TERMS))
    assert list(crate.rows()) == given


def test_a_damaged_crate_is_refused(crate: Crate, tmp_path: Path) -> None:
    table = crate.path / "table.csv"
    text = table.read_text()
    for damaged in (text.replace("c", "d", 1), text + ",\n", text + "," * 20 + "\n"):
        table.write_text(damaged)
        with pytest.raises(CampaignError, match="the table is damaged"):
            list(crate.rows())
    with pytest.raises(CampaignError, match="is not the crate of a campaign"):
        Crate(tmp_path)


def test_functions_of_the_script_are_refused(tmp_path: Path, crate: Crate) -> None:
    plan = {**PLAN, "metrics": {"rtt": {"script": "value"}}}
    other = Crate(write(content(plan), tmp_path / "other", TERMS))
    with pytest.raises(NotAllowed, match="needs functions of its script: value"):
        other.repeat()


@pytest.mark.parametrize(
    ("runs", "repetitions", "points"),
    [(1, 1, [0]), (4, 4, [0]), (20, 5, [0, 3, 6, 9]), (1000, 30, list(range(10)))],
)
def test_a_sample(runs: int, repetitions: int, points: Sequence[int]) -> None:
    plan = CampaignPlan.of({"space": {"grid": {"n": "range(10)"}}, "repetitions": 30, "seed": 4})
    found = sample(plan, (row for row in rows(plan)), runs)
    assert found.repetitions == repetitions
    assert [point["n"] for point in found.space] == points
    assert (found.seed, found.least, found.stop, found.added) == (4, 1, (), ())
    assert found.runs <= runs


def test_points_without_a_finished_run_are_not_in_a_sample() -> None:
    plan = CampaignPlan.of({"space": {"grid": {"n": [1, 2, 3]}}})  # the third one has failed
    assert [point["n"] for point in sample(plan, rows(plan), 3).space] == [1, 2]
    with pytest.raises(CampaignError, match="no run in the crate has finished"):
        sample(plan, [], 3)
    with pytest.raises(InvalidValue, match="a sample needs a run"):
        sample(plan, rows(plan), 0)


def test_hosts_of_a_pool() -> None:
    resources = {
        "lab": {"type": "linux::Pool", "hosts": "fit[1-9]"},
        "one": {"type": "linux::Node", "hostname": "${host}", "username": "ada", "cleanHome": True},
        "two": {"type": "linux::Node", "pool": "lab", "where": "cpus > 1", "password": "env:P"},
        "app": {"type": "linux::Application", "node": "one", "command": "./run"},
    }
    document = {"globals": {"linux::Node": {"port": 2222, "site": "s"}}, "resources": resources}
    found = in_pool(document, "grid")
    assert found["globals"] == {"linux::Node": {"site": "s"}}
    assert found["resources"] == {
        "one": {"type": "linux::Node", "cleanHome": True, "pool": "grid"},
        "two": {"type": "linux::Node", "where": "cpus > 1", "pool": "grid"},
        "app": resources["app"],
    }
    with pytest.raises(CampaignError, match="no host that a pool can replace"):
        in_pool({"resources": {"rest": {"type": "nepiq::Sleep"}}}, "grid")


def definition_of(campaign: Campaign) -> Definition:
    assert campaign.plan is not None
    spaces = [CampaignPlan(space, count) for space, count in campaign.plan.added]
    segments = [Segment.data(plan) for plan in (campaign.plan, *spaces)]
    return Definition("again", campaign._submission.data, segments)


def test_the_campaign_that_repeats_a_crate(crate: Crate) -> None:
    whole, some = definition_of(crate.repeat()), definition_of(crate.repeat(pool="lab", runs=6))
    assert (whole.total, some.total) == (16, 6)
    here = some.description(0).resource("here")
    assert (here.attrs["pool"], here.attrs.get("hostname")) == ("lab", None)
    places = [(place.point, place.repetition, place.seed) for place in map(whole.place, range(16))]
    for place in map(some.place, range(6)):
        assert (place.point, place.repetition, place.seed) in places


def test_changes() -> None:
    facts = {"kernel": "6.5", "bootId": "x", "clockOffset": 0.1}
    hosts = [HostFacts("fit1", 1.9e9, facts, {"ping": {"programVersion": "s2023"}})]
    now = Provenance(versions={"nepiq": "0.2.0"}, packages={"numpy": "2.1"})
    assert list(map(str, changes((PROVENANCE, HOSTS), (now, hosts)))) == [
        "programVersion of ping: s2022 -> s2023",
        "kernel: 6.1 -> 6.5",
        "nepiq: 0.1.0 -> 0.2.0",
        "numpy: none -> 2.1",
    ]
    assert changes((PROVENANCE, HOSTS), (PROVENANCE, HOSTS)) == []


def repeated(found: list[Row]) -> Any:
    """What a reproduction reads of a campaign."""
    return SimpleNamespace(
        name="again", rows=lambda: iter(found), provenance=lambda: PROVENANCE, hosts=lambda: HOSTS
    )


def test_crates_are_compared_by_their_folders(
    crate: Crate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["campaign", "compare", str(crate.path), str(crate.path), "--json"]) == 0
    [difference] = json.loads(capsys.readouterr().out)["differences"]
    assert (difference["metric"], difference["difference"]) == ("rtt", 0)


def test_more_failures_than_before_are_no_reproduction(crate: Crate) -> None:
    given = list(crate.rows())
    assert reproduction(crate, repeated(given), None, 0.95).agrees
    finished = [row for row in given if row.outcome == "finished"]
    failed = [row for row in given if row.outcome == "failed"]
    worse = reproduction(crate, repeated(finished[:4] + 8 * failed), None, 0.95)
    assert worse.fails_more
    assert not worse.agrees
    assert "failed: more than in the crate: 40 of 44 runs; in the crate 5 of 16" in str(worse)
    with pytest.raises(CampaignError, match="no run has finished"):
        reproduction(crate, repeated(failed), None, 0.95)


def test_a_metric_without_values_is_unknown(crate: Crate) -> None:
    silent = [Row(**{**vars(row), "metrics": {"rtt": None}}) for row in crate.rows()]
    found = reproduction(crate, repeated(silent), None, 0.95)
    assert list(map(str, found.verdicts)) == ["rtt: unknown (no run has a number now)"]
    assert str(found).endswith("not reproduced")
    assert TEMPLATE["exp_id"] == crate.file.exp_id
