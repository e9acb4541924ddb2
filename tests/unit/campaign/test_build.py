"""Functions describe the runs of campaigns."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.campaign.crates import TERMS, content

from nepiq.controller import (
    Campaign,
    CampaignError,
    DocumentError,
    ExperimentController,
    InvalidValue,
    NotAllowed,
    Space,
    UnknownType,
)
from nepiq.controller.campaign.build import Build, code_of
from nepiq.controller.campaign.campaign_file import read
from nepiq.controller.campaign.crate.crate import Crate
from nepiq.controller.campaign.crate.writer import write
from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.expansion import Expansion
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.segment import Segment
from nepiq.controller.cli import main
from nepiq.controller.engine.campaign_records import Begin, Refusal, Slot
from nepiq.controller.errors import ClassNotImportable
from nepiq.controller.model import registry

if TYPE_CHECKING:
    from tests.conftest import Need

MODULE = '''
from nepiq.controller import Parameter

calls = []

def build(ec, n, mode="tcp"):
    """A host, n pings, and an application after the last of them."""
    calls.append(n)
    ec.set_global("linux::Application", "startTimeout", "7s")
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    pings = [
        ec.register_resource("linux::Ping", label=f"ping-{number}", target="127.0.0.1", node=node)
        for number in range(n)
    ]
    command = f"./run {mode} $${{seed}} " + Parameter("seed")
    ec.register_resource("linux::Application", label="app", command=command, connectedTo=node)
    ec.register_condition("app", "START", pings, "FINISHED")

def seeded(ec, n, seed, repetition):
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    ec.register_resource("linux::Application", label="app", node=node,
                         command=f"./run {seed % 7} {repetition}")

def raising(ec, n):
    build(ec, 12 // (n - 2))

def adding(ec, n):
    ec.register_resource("linux::Application", label="app", command=f"run {n}",
                         node=ec.find("node"))

def acting(ec, n):
    getattr(ec, n)()

def unknown(ec, n):
    ec.register_resource("linux::Nothing")

def leasing(ec, n):
    lab = ec.register_resource("linux::Pool", label="lab", hosts="a,b")
    for number in range(n):
        here = {"pool": lab} if n > 1 else {"hostname": "localhost"}
        node = ec.register_resource("linux::Node", label=f"node-{number}", **here)
        ec.register_resource("linux::Application", command="true", connectedTo=node)

class Maker:
    @staticmethod
    def build(ec, n):
        build(ec, n)
'''
PLAN = {"space": {"grid": {"n": [1, 2, 3]}}, "repetitions": 2, "order": "given"}
FILE = """
nepiq: 1
campaign:
  build: {location}
  space: {{grid: {{n: [1, 2, 3]}}}}
  metrics: {{status: app.exitCode}}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of a user."""
    (tmp_path / "my_design.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_design")
    del sys.modules["my_design"]


def definition(location: str, template: Any = None, **plan: Any) -> Definition:
    made = CampaignPlan.of({**PLAN, "build": location, **plan})
    data = Definition.data("study", template or {}, made)
    return Definition("study", data, [Segment.data(made)])


def test_runs_are_those_that_the_function_describes(module: ModuleType) -> None:
    made = definition("my_design:build")
    for slot in range(made.total):
        values = made.place(slot).values
        assert f'"./run tcp ${{seed}} {values["seed"]}"' in made.arguments(slot)
        description = made.description(slot)
        assert len(description.of_type("linux::Ping")) == values["n"]
        assert description.get("app", "startTimeout") == "7s"
        assert len(description.conditions()) == values["n"]
    assert module.calls == [1, 2, 3], "called again for the second repetitions"


def test_a_function_gets_the_seed_and_the_repetition(module: ModuleType) -> None:
    made = definition("my_design:seeded")
    for slot in range(made.total):
        _, seed, repetition = made.place(slot).values.values()
        assert f'"./run {seed % 7} {repetition}"' in made.arguments(slot)


def test_a_point_at_which_the_function_raises_is_refused(module: ModuleType) -> None:
    made = definition("my_design:raising")
    [fine, refused, _] = [made.begin("run", Slot(slot, 1)) for slot in range(3)]
    assert isinstance(fine, Begin)
    assert isinstance(refused, Refusal)
    problem = "my_design:raising raised ZeroDivisionError: integer division or modulo by zero"
    line = MODULE.split("\n").index("    build(ec, 12 // (n - 2))") + 1
    assert refused.cause == f"CampaignError: {problem}"
    assert json.loads(refused.row)["error"] == f"my_design.py:{line}: {problem}"
    with pytest.raises(UnknownType, match=r"my_design.py:\d+: .*linux::Nothing"):
        definition("my_design:unknown").arguments(0)


def test_hosts_are_requested_for_the_points_that_need_some(module: ModuleType) -> None:
    made = definition("my_design:leasing")
    assert [made.places(slot) for slot in range(3)] == [False, True, True]
    assert [len(made.hosts(slot)) for slot in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("method", ["deploy", "detach", "schedule", "wait"])
def test_what_a_function_describes_has_no_run(module: ModuleType, method: str) -> None:
    space = {"space": {"grid": {"n": [method]}}}
    with pytest.raises((NotAllowed, CampaignError)):
        definition("my_design:acting", **space).arguments(0)


def test_a_worker_needs_the_same_module(module: ModuleType, tmp_path: Path) -> None:
    source = Build.of(module.build).source
    assert Build.at("my_design:build", source).function is module.build
    assert code_of("my_design:build", source) == {"my_design.py": MODULE}
    assert code_of("my_design:build", "0123") == code_of("json:loads", "") == {}
    with pytest.raises(ClassNotImportable, match="is not the one that the campaign was submitted"):
        Build.at("my_design:build", "0123")
    for missing in ("my_designs:build", "my_design:builds"):
        made = definition(missing)
        with pytest.raises(ClassNotImportable, match=f"build function {missing} cannot be import"):
            made.load(["my_design", "my_designs"])
    with pytest.raises(ClassNotImportable, match="is not imported here"):
        definition("my_design:build").load(["my_designs"])
    definition("my_design:build").load(["my_design"])
    with pytest.raises(ClassNotImportable, match="is a function of another module"):
        definition("my_design:Parameter").load(["my_design"])
    # The module that was imported counts, not the file that was changed since.
    (tmp_path / "my_design.py").write_text(MODULE + "\n# changed\n")
    assert Build.of(module.build).source == source
    assert code_of("my_design:build", source) == {}


def test_a_module_that_was_changed_after_a_worker_imported_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my_old_design.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    registry.load_imports(["my_old_design"])
    later = path.stat().st_mtime + 60
    os.utime(path, (later, later))
    with pytest.raises(ClassNotImportable, match="changed since this process imported it"):
        definition("my_old_design:build").load(["my_old_design"])
    del sys.modules["my_old_design"]


def test_functions_are_given_or_named(module: ModuleType) -> None:
    space = Space.grid(n=[1])
    given, named = Campaign(module.build, space), Campaign("my_design:build", space)
    assert given.plan == named.plan == CampaignPlan(space, build="my_design:build")
    assert given.name == "build"
    with pytest.raises(InvalidValue, match="build: a build function is the first argument"):
        Campaign(ExperimentController("study"), space, build="my_design:build")
    assert Campaign(module.Maker.build, space).plan == CampaignPlan(
        space, build="my_design:Maker.build"
    )


def expanded(function: Any, *, of: str = "", **plan: Any) -> Definition:
    """The definition of a campaign of a function of the script."""
    made = CampaignPlan.of({**PLAN, **plan, "build": {"script": of or function.__name__}})
    data = Definition.data("study", {"nepiq": 1}, made)
    segment = Segment.data(made)
    segment["built"] = Build.of_script(function).expand("study", made.space)
    further = {**segment, "repetitions": 1, "of": 0, "first": 2}
    del further["built"]
    return Definition("study", data, [segment, further])


def test_a_function_of_the_script_describes_all_points_at_once(module: ModuleType) -> None:
    def build(ec: ExperimentController, n: int, mode: str, seed: str) -> None:
        module.build(ec, n, f"{mode} {seed}")

    made = expanded(build, space={"grid": {"n": [2, 1, 3], "mode": ["udp", "1"]}})
    assert module.calls == [2, 2, 1, 1, 3, 3]
    assert made.total == 18
    for slot in range(made.total):
        place = made.place(slot)
        command = f"./run {place.point['mode']} {place.seed} ${{seed}} {place.seed}"
        assert json.dumps(command) in made.arguments(slot)
        description = made.description(slot)
        assert len(description.of_type("linux::Ping")) == place.point["n"]
        assert [description.label(guid) for guid in description][-1] == "app"
    assert len(module.calls) == 6


def test_a_point_that_a_function_of_the_script_cannot_describe(module: ModuleType) -> None:
    made = expanded(module.raising, of="build")
    [fine, refused, _] = [made.begin("run", Slot(slot, 1)) for slot in range(3)]
    assert isinstance(fine, Begin)
    assert isinstance(refused, Refusal)
    assert "my_design:raising raised ZeroDivisionError" in refused.cause
    with pytest.raises(CampaignError, match="build raised ZeroDivisionError") as raised:
        expanded(lambda ec, n: 1 // (n - 3), of="build")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_points_that_differ_in_a_value_take_little_room() -> None:
    def documents() -> Iterator[Any]:
        for n in range(10_000):
            command = f"./run --rate {n * 7 % 1000} --delay {n * 13 % 977}ms --seed ${{seed}}"
            yield {"resources": {"app": {"type": "linux::Application", "command": command}}}

    text = Expansion.pack(documents())
    assert len(text) < 200_000
    assert [Expansion(text).document(index) for index in range(100)] == [
        document for document, _ in zip(documents(), range(100), strict=False)
    ]


@pytest.mark.parametrize(
    "documents",
    [
        [{"a": 1}, {"a": 1.0}, {"a": True}],
        [{"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, {"a": {"b": 1}}, {"a": None}],
        [{"a": [1, 2]}, {"a": [1]}, {}, {"a": []}],
    ],
)
def test_an_expansion_gives_back_what_it_got(documents: list[Any]) -> None:
    found = Expansion(Expansion.pack(documents))
    assert len(found) == len(documents)
    for index, document in enumerate(documents):
        assert json.dumps(found.document(index)) == json.dumps(document)


def test_what_workers_cannot_import_is_of_the_script(module: ModuleType) -> None:
    space = Space.grid(n=[1])
    module.build.__module__ = "__main__"
    plan = Campaign(module.build, space, name="other").plan
    assert plan is not None
    assert plan == CampaignPlan(space, build="build")
    assert plan == CampaignPlan.of(plan.to_document())
    for function in (lambda ec, n: None, Build.of(module.seeded).describe):
        with pytest.raises(InvalidValue, match="workers cannot import the build function"):
            Build.of(function)


def described(folder: Path, location: str, more: str = "") -> Path:
    path = folder / "sweep.yaml"
    path.write_text(FILE.format(location=location) + more)
    return path


def test_a_file_names_its_function(
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = described(tmp_path, "my_design:build")
    with pytest.raises(DocumentError, match="4:10: module 'my_design' of the function 'build' is"):
        read(path)
    monkeypatch.setenv("NEPIQ_IMPORTS", "my_design")
    assert [len(read(path).describe(index, 0)) for index in range(3)] == [3, 4, 5]
    assert Campaign(read(path)).plan == read(path).plan
    assert main(["validate", str(path)]) == 0
    assert main(["campaign", "plan", str(path), "--set", "mode=udp"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("ok: 3 resources, 3 points\n")
    assert "./run udp" in out
    assert err == ""
    with pytest.raises(DocumentError, match=r"my_design:raising raised ZeroDiv.*, at n=2"):
        read(described(tmp_path, "my_design:raising"))
    with pytest.raises(DocumentError, match="cannot be 'build'"):
        read(described(tmp_path, "build"))


def test_a_function_adds_to_the_resources_of_a_file(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEPIQ_IMPORTS", "my_design")
    resources = "resources: {node: {type: linux::Node, hostname: 'host-${n}'}}\n"
    path = described(tmp_path, "my_design:adding", resources)
    description = read(path).describe(1, 0)
    assert description.get("node", "hostname") == "host-2"
    assert description.get("app", "command") == "run 2"
    path.write_text(path.read_text().replace("host-$", "host $"))
    with pytest.raises(DocumentError, match=r":7:\d+: .*host 1"):
        read(path)
    template = {"nepiq": 1, "resources": {"node": {"type": "linux::Node", "hostname": "host-${n}"}}}
    assert '"run 3"' in definition("my_design:adding", template).arguments(2)


def test_a_crate_has_the_module(
    module: ModuleType, tmp_path: Path, need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("rocrate", importlib.util.find_spec("rocrate"), "the extra crate")
    made: dict[str, Any] = {
        "plan": {**PLAN, "build": "my_design:build"},
        "template": {"nepiq": 1},
        "code": {"code/my_design.py": MODULE},
    }
    path = write(content(**made), tmp_path / "crate", TERMS, artifact=True)
    assert (path / "code" / "my_design.py").read_text() == MODULE
    command = "PYTHONPATH=code NEPIQ_IMPORTS=my_design nepiq rerun ."
    text = (path / "README.md").read_text()
    assert f"$ {command}\n" in text
    assert f"$ {command} --name sweep-all\n" in text
    assert "| `code/my_design.py` | The function that describes the runs |" in text
    graph = json.loads((path / "ro-crate-metadata.json").read_text())["@graph"]
    assert "code/my_design.py" in [item["@id"] for item in graph]
    with pytest.raises(DocumentError, match="list it in NEPIQ_IMPORTS=my_design"):
        Crate(path)
    monkeypatch.setenv("NEPIQ_IMPORTS", "my_design")
    crate = Crate(path)
    repeated = crate.repeat().plan
    assert repeated is not None
    assert (repeated.build, len(repeated.space)) == ("my_design:build", 3)
    with pytest.raises(CampaignError, match="the description has no host that a pool"):
        crate.repeat(pool="lab")

    del made["code"]
    text = write(content(**made), tmp_path / "without", TERMS).joinpath("README.md").read_text()
    assert "described by the function `my_design:build`, whose module is not" in text
    with pytest.raises(CampaignError, match="an artifact needs the module of my_design:build"):
        write(content(**made), tmp_path / "artifact", TERMS, artifact=True)
    made["code"] = {"code/my_design.py": "password = 'correct-horse-battery'"}
    with pytest.raises(CampaignError, match=r"the module has what looks like a password"):
        write(content(**made), tmp_path / "secret", TERMS)
