"""Crates of campaigns: their files, and their metadata by the profile Process Run Crate."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.campaign.crates import (
    HOSTS,
    PLAN,
    PROVENANCE,
    TEMPLATE,
    TERMS,
    TREE,
    content,
    rows,
)

from nepiq.controller import CampaignError, InvalidValue
from nepiq.controller.campaign.campaign_file import read
from nepiq.controller.campaign.crate.files import linked
from nepiq.controller.campaign.crate.layout import plan_of
from nepiq.controller.campaign.crate.terms import Author, License, Organization, Terms
from nepiq.controller.campaign.crate.writer import write
from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.file_store import FileStore
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.segment import Segment, further
from nepiq.controller.campaign.space import run_seed

if TYPE_CHECKING:
    from tests.conftest import Need


@pytest.fixture(autouse=True)
def _rocrate(need: Need) -> None:
    need("rocrate", importlib.util.find_spec("rocrate"), "the extra crate")


def entities(folder: Path) -> dict[str, dict[str, Any]]:
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    found = {item["@id"]: item for item in graph}
    assert len(found) == len(graph)
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        yield value["@id"]


def of_type(graph: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in graph.values() if kind in item["@type"]]


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("rocrate") is None:
        pytest.skip("missing: rocrate")
    return write(content(), tmp_path_factory.mktemp("crates") / "new" / "crate", TERMS)


def test_the_campaign_can_be_read_again(crate: Path) -> None:
    file = read(crate / "campaign.yaml")
    assert file.plan == CampaignPlan.of(PLAN)
    assert (file.exp_id, file.template.to_document()["resources"], file.warnings) == (
        "delay",
        TEMPLATE["resources"],
        [],
    )


def test_the_plan_is_made_of_the_records_of_a_campaign() -> None:
    plan = CampaignPlan.of(PLAN)
    added = [Segment.data(CampaignPlan(space, count)) for space, count in plan.added]
    segments = [Segment.data(plan), *added]
    for definition, extras in (
        (Definition.data("delay", TEMPLATE, plan), {"parallel": 8}),
        (Definition.data("delay", TEMPLATE, plan), {"metrics": PLAN["metrics"], "parallel": 8}),
    ):
        made = plan_of(definition, segments, extras)
        assert made.parallel == 8
        assert Definition.data("delay", TEMPLATE, made) == definition
        parts = [Segment.data(CampaignPlan(space, count)) for space, count in made.added]
        assert [Segment.data(made), *parts] == segments


def test_repetitions_that_were_added_belong_to_their_space() -> None:
    plan = CampaignPlan.of(PLAN)
    segments = [
        Segment.data(part)
        for part in (plan, *(CampaignPlan(space, count) for space, count in plan.added))
    ]
    definition = Definition.data("delay", TEMPLATE, plan)
    for repetitions in (6, 9):
        while more := further([*map(Segment, segments)], repetitions):
            segments.append(dict(more))
    made = plan_of(definition, segments, {})
    assert (made.repetitions, [count for _, count in made.added]) == (9, [9])
    assert made.runs == sum(len(Segment(segment)) for segment in segments)


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    tree = replace(TREE, untracked=("caf\udce9",))
    folder = write(content(provenance=replace(PROVENANCE, tree=tree)), tmp_path / "crate", TERMS)
    provenance = json.loads((folder / "provenance.json").read_bytes())
    assert provenance["tree"]["untracked"] == ["caf\udce9"]


def test_the_files(crate: Path) -> None:
    assert list(crate.parent.iterdir()) == [crate]
    with (crate / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["run_id"] for line in lines] == [f"run{number + 1}" for number in range(16)]
    assert (crate / "uncommitted.diff").read_bytes() == b"--- a/x\n+++ b/x\n+caf\xe9\n"
    provenance = json.loads((crate / "provenance.json").read_text())
    assert provenance["tree"]["commit"] == TREE.commit
    assert "diff" not in provenance["tree"]
    assert provenance["hosts"] == [vars(HOSTS[0])]
    readme = (crate / "README.md").read_text()
    assert "$ nepiq rerun .\n" in readme
    assert "ping: s2022" in readme
    assert "| 1 | 3 | 1 | 4.5 ± 25 |" in readme
    assert "[CC-BY-4.0](https://spdx.org/licenses/CC-BY-4.0)" in readme


def test_the_root(crate: Path) -> None:
    graph = entities(crate)
    root = graph["./"]
    assert graph["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert root["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert root["publisher"] == {"@id": "https://ror.org/04cw6st05"}
    parts = sorted(references(root["hasPart"]))
    files = sorted(path.name for path in crate.iterdir())
    assert parts == [name for name in files if name != "ro-crate-metadata.json"]
    for name in parts:
        data = (crate / name).read_bytes()
        assert graph[name]["contentSize"] == str(len(data))
        assert graph[name]["sha256"] == hashlib.sha256(data).hexdigest()
    for item in graph.values():
        assert item["name"] or item["@id"] == "./"
        local = [name for value in item.values() for name in references(value)]
        assert [name for name in local if name not in graph and "://" not in name] == []


def test_each_run_is_an_action(crate: Path) -> None:
    graph = entities(crate)
    actions = of_type(graph, "CreateAction")
    assert len(actions) == 16
    assert sorted(references(graph["./"]["mentions"])) == sorted(item["@id"] for item in actions)
    for action in actions:
        assert {"name", "description", "instrument", "agent", "object", "result"} <= set(action)
        for moment in (action["startTime"], action["endTime"]):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", moment)
        has_failed = action["actionStatus"].endswith("/FailedActionStatus")
        assert has_failed == ("error" in action)
        [tool] = references(action["instrument"])
        assert (graph[tool]["name"], graph[tool]["version"]) == ("nepiq", "0.1.0")
        [person] = references(action["agent"])
        assert person == "https://orcid.org/0000-0002-1825-0097"
    assert sum("error" in action for action in actions) == 5
    first = next(item for item in actions if item["name"].startswith("Run run1:"))
    values = [graph[name] for name in references(first["object"]) if name.startswith("#")]
    assert [(item["name"], item["value"]) for item in values] == [
        ("n", 1),
        ("seed", run_seed(9, 0)),
        ("repetition", 1),
    ]


@pytest.mark.parametrize(
    ("points", "repetitions", "actions"), [(10, 101, 10), (1001, 1, 1)], ids=["points", "all"]
)
def test_many_runs_share_actions(
    points: int, repetitions: int, actions: int, tmp_path: Path
) -> None:
    plan = {"space": {"grid": {"n": f"range({points})"}}, "repetitions": repetitions}
    graph = entities(write(content(plan), tmp_path / "crate", TERMS))
    found = of_type(graph, "CreateAction")
    assert len(found) == actions
    count = points * repetitions // actions
    failed = [number for number in range(1, count + 1) if (number * actions) % 3 == 0]
    assert found[-1]["description"].endswith(f"of {count} runs finished")
    assert found[-1]["description"].startswith(f"{count - len(failed)} ")


@pytest.mark.parametrize("version", ["1.1", "1.3"])
def test_other_versions(version: str, tmp_path: Path) -> None:
    path = write(content(), tmp_path / "crate", Terms.parse("MIT"), version)
    data = json.loads((path / "ro-crate-metadata.json").read_text())
    assert data["@context"] == f"https://w3id.org/ro/crate/{version}/context"
    graph = entities(path)
    assert ("sha256" in graph["table.csv"]) == (version != "1.1")
    assert graph["#author"]["name"] == "ada"


def filled(folder: Path) -> FileStore:
    """A store with a content that all runs have, and one of each run but the first."""
    store = FileStore(folder)
    for number in range(1, 17):
        own = [("ping", "stdout", [b"%d" % number])] if number > 1 else []
        store.add(f"run{number}", [("ping", "common", [b"common"]), *own])
    return store


def test_collected_files(tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    given = content(bring=lambda folder: linked(source, folder, ["run1", "run2", "run9"]))
    path = write(given, tmp_path / "crate", TERMS)
    store = FileStore(path / "results")
    assert store.runs() == ["run1", "run2", "run9"]
    assert store.files("run2") == source.files("run2")
    assert store.damaged() == []
    common = store.path("run1", "ping", "common")
    assert common.samefile(source.path("run1", "ping", "common"))
    assert sorted(item.name for item in (path / "results").iterdir()) == ["files", "runs.jsonl"]
    graph = entities(path)
    results = {
        action["name"].split(":")[0]: [graph[name]["name"] for name in references(action["result"])]
        for action in of_type(graph, "CreateAction")
    }
    tables = [graph[name]["name"] for name in ("table.csv", "table.parquet") if name in graph]
    assert results["Run run1"] == [*tables, "ping/common"]
    assert results["Run run9"] == [*tables, "ping/common", "ping/stdout"]
    assert results["Run run3"] == tables
    entity = graph[str(common.relative_to(path))]
    assert (entity["contentSize"], entity["sha256"]) == ("6", common.name)
    assert "| `results/runs.jsonl` |" in (path / "README.md").read_text()


def test_an_artifact(tmp_path: Path) -> None:
    path = write(content(), tmp_path / "short", TERMS, artifact=True)
    readme = (path / "README.md").read_text()
    assert "### Functional: 16 runs, less than a minute\n\n```console\n$ nepiq rerun .\n" in readme
    assert "### Reproduced: 16 runs, less than a minute\n" in readme
    assert (path / "LICENSE").read_text().startswith("CC-BY-4.0\nhttps://spdx.org/")
    with (path / "expected.csv").open(newline="") as file:
        figures = list(csv.DictReader(file))
    assert [(item["n"], item["metric"], item["runs"]) for item in figures] == [
        ("1", "rtt", "2"),
        ("2", "rtt", "2"),
        ("7", "rtt", "3"),
        ("8", "rtt", "4"),
    ]
    assert float(figures[0]["mean"]) == 4.5
    assert float(figures[0]["low"]) < 4.5 < float(figures[0]["high"])

    long = [replace(row, ended=row.began + 400.0) for row in rows(CampaignPlan.of(PLAN))]
    path = write(content(read=lambda: long), tmp_path / "long", TERMS, artifact=True)
    readme = (path / "README.md").read_text()
    assert "$ nepiq rerun . --sample 12\n" in readme
    assert "### Functional: 12 runs, about 10 min 0 s\n" in readme
    assert "### Reproduced: 16 runs, about 13 min 20 s\n" in readme

    functions = {**PLAN, "metrics": {"rtt": {"script": "value"}}}
    with pytest.raises(CampaignError, match="needs functions of the script: value"):
        write(content(functions), tmp_path / "none", TERMS, artifact=True)


@pytest.mark.slow
@pytest.mark.timeout(300)  # seven seconds of processor time, on a loaded machine more than a minute
def test_roc_validator_finds_nothing(tmp_path: Path, need: Need) -> None:
    environment = Path(sys.prefix) / "validator"
    installed = list(environment.glob("lib/*/site-packages/rocrate_validator"))
    need("roc-validator", installed, "make test installs it")
    given = content(bring=filled)
    path = write(given, tmp_path / "crate", TERMS, "1.3", artifact=True)
    driver = Path(__file__).parents[2] / "crate_validator.py"
    done = subprocess.run(
        [environment / "bin" / "python", driver, path, tmp_path / "cache"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"ro-crate-1.3: 1\d\d checks, 0 issues\nprocess-run-crate: [34]\d checks, 0 issues\n",
        done.stdout,
    ), done.stdout


def test_a_script_is_named(tmp_path: Path) -> None:
    plan = {"space": {"grid": {"n": [1]}}, "metrics": {"x": {"script": "value"}}}
    path = write(content(plan), tmp_path / "crate", TERMS)
    readme = (path / "README.md").read_text()
    assert "functions of a script, value," in readme
    assert "nepiq rerun" not in readme


@pytest.mark.parametrize(
    "app",
    [
        {"command": "export API_TOKEN=a1b2c3d4e5f6\n./run\n"},
        {"command": "./run", "env": {"API_TOKEN": "a1b2c3d4e5f6"}},
    ],
)
def test_secrets_are_refused(app: dict[str, Any], tmp_path: Path) -> None:
    here = {"type": "linux::Node", "hostname": "fit1", "sudoPassword": "file:/etc/nepiq/fit1"}
    resources = {"here": here, "app": {"type": "linux::Application", "node": "here"}}
    write(content(template={"resources": resources}), tmp_path / "without", TERMS)
    resources["app"] |= app
    given = content(template={"resources": resources})
    with pytest.raises(CampaignError, match="the description has what looks like a variable"):
        write(given, tmp_path / "crate", TERMS)
    assert [path.name for path in tmp_path.iterdir()] == ["without"]
    write(given, tmp_path / "crate", TERMS, reviewed=["campaign.yaml"])


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "crate").mkdir()
    with pytest.raises(CampaignError, match="exists already"):
        write(content(), tmp_path / "crate", TERMS)
    with pytest.raises(InvalidValue, match="version '2' of RO-Crate cannot be written"):
        write(content(), tmp_path / "other", TERMS, "2")
    with pytest.raises(CampaignError, match="no run has ended"):
        write(content(read=list), tmp_path / "other", TERMS)


def test_terms() -> None:
    assert License.parse("https://example.org/l") == ("https://example.org/l",) * 2
    assert Author.parse("Ada") == Author("Ada")
    assert Author.parse("Ada L 0000-0002-1825-009X").orcid.endswith("/0000-0002-1825-009X")
    assert Organization.parse("Inria") == Organization("Inria")
    for kind, text in (
        (License, "my own"),
        (License, "MIT OR Apache-2.0"),
        (License, "LicenseRef-mine"),
        (Author, "ada@example.org"),
        (Author, ""),
        (Organization, "<x>"),
    ):
        with pytest.raises(InvalidValue):
            kind.parse(text)
