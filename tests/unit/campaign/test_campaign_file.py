"""Files of campaigns: the plan, places of errors, settings of the command line, the verb plan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nepiq.controller.campaign.campaign_file import CampaignFile, read, settings_of
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.precision import Precision
from nepiq.controller.campaign.space import Space, point_id, run_seed
from nepiq.controller.cli import main
from nepiq.controller.description.files.schema import json_schema
from nepiq.controller.errors import DocumentError, InvalidValue

STUDIES = Path(__file__).parents[3] / "examples" / "campaigns"

FILE = """\
nepiq: 1
exp_id: delay
campaign:
  space:
    grid:
      rate: [1, 2, 5]
      n: range(1, 4)
      mode: [tcp, udp]
    when: {rate: "mode == 'udp'"}
    exclude: n == 3 and mode == 'tcp'
  repetitions: {min: 3, max: 20}
  seed: 42
  stop: {metric: delay, within: 5%}
  metrics: {delay: ping.rttAvg}
  parallel: 4
  timeout: 2m
resources:
  here: {type: linux::Node, hostname: localhost}
  ping:
    type: linux::Ping
    node: here
    target: 127.0.0.1
    count: ${n}
  app:
    type: linux::Application
    node: here
    command: echo "${n} ${mode} ${RUN_HOME} ${i} ${seed}"
    env: {RATE: "${rate}"}
    start: {after: ping, state: STARTED, delay: "${n}s"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE)
    return path


def errors(path: Path, *changes: tuple[str, str], settings: list[str] | None = None) -> list[str]:
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        read(path, settings or ())
    return [str(error).removeprefix(f"{path}:") for error in caught.value.errors]


def test_a_file(file: Path) -> None:
    found = read(file)
    plan = found.plan
    assert (found.exp_id, found.warnings) == ("delay", [])
    assert len(plan.space) == 3 * 3 + 2
    assert (plan.least, plan.repetitions, plan.seed, plan.parallel) == (3, 20, 42, 4)
    assert plan.timeout == 120
    assert plan.stop == (Precision("delay", 0.05, relative=True),)
    description = found.template.describe(found.values(-1, 0))
    command = f'echo "3 udp ${{RUN_HOME}} ${{i}} {run_seed(42, 0)}"'
    assert description.get("app", "command") == command
    assert description.get("app", "env") == {"RATE": 5}
    assert [condition.offset for condition in description.conditions()] == [3.0]
    # Without the conditional parameter, its entry is left out.
    first = found.template.describe(found.values(0, 0))
    assert first.get("app", "env") == {}
    assert CampaignPlan.of(json.loads(json.dumps(plan.to_document()))) == plan


def test_a_plan_with_functions_of_the_script() -> None:
    plan = CampaignPlan.of({"repetitions": {"min": 2, "max": 9}, "stop": len})
    assert (plan.asks, plan.stop, plan.needs_script) == ("len", (), True)
    assert plan.to_document()["stop"] == {"script": "len"}
    assert CampaignPlan.of(json.loads(json.dumps(plan.to_document()))) == plan
    assert not CampaignPlan.of({"metrics": {"delay": "ping.rttAvg"}}).needs_script


def test_python_yaml_and_command_line_have_the_same_points(file: Path, tmp_path: Path) -> None:
    yaml = [point_id(point) for point in read(file).plan.space]
    space = Space.grid(rate=[1, 2, 5], n=range(1, 4), mode=["tcp", "udp"])
    space = space.when("rate", "mode == 'udp'").exclude("n == 3 and mode == 'tcp'")
    assert [point_id(point) for point in space] == yaml
    bare = tmp_path / "bare.yaml"
    bare.write_text(
        "nepiq: 1\nresources:\n"
        "  s: {type: nepiq::Sleep, duration: '${rate}', critical: '${fast}'}\n"
    )
    given = read(bare, ["rate=1,2,5", "fast=true,false"]).plan.space
    assert given == Space.grid(rate=[1, 2, 5], fast=[True, False])


def test_settings_replace_values_of_the_file(file: Path) -> None:
    space = read(file, ["n=7", "rate=range(1,3)"]).plan.space
    assert list(space) == [
        {"n": 7, "mode": "tcp"},
        {"rate": 1, "n": 7, "mode": "udp"},
        {"rate": 2, "n": 7, "mode": "udp"},
    ]


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (["rate=1,2,5"], {"rate": [1, 2, 5]}),
        (["n=range(1,9)"], {"n": "range(1,9)"}),
        (["mode=tcp, udp", "x="], {"mode": ["tcp", "udp"], "x": [None]}),
        (['mode="a, b",c,"1"'], {"mode": ["a, b", "c", "1"]}),
        (["mode='a\"b'"], {"mode": ['a"b']}),
        (["x=0.5,1e3,true,0x10"], {"x": [0.5, 1000.0, True, 16]}),
        (["cmd=echo a=b"], {"cmd": ["echo a=b"]}),
    ],
)
def test_settings(settings: list[str], values: dict[str, Any]) -> None:
    assert settings_of(settings) == values


@pytest.mark.parametrize("settings", [["rate"], ["=1"], ["a-b=1"], ["a=1", "a=2"]])
def test_refused_settings(settings: list[str]) -> None:
    with pytest.raises(InvalidValue, match=r"sets no parameter|is set twice"):
        settings_of(settings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count: ${n}", "count: ${m}", "23:12: unknown parameter 'm' (write $${m} for"),
        ("${mode} ", "${mod} ", "27:14: unknown parameter 'mod' (did you mean 'mode'?"),
        (
            "range(1, 4)",
            "[1, x]",
            "23:12: count cannot be 'x': it must be a whole number, with n='x'",
        ),
        ("range(1, 4)", "range(1, one)", "7:10: n: range takes numbers, not 'one'"),
        ("grid:", "gird:", "5:5: space: unknown key 'gird'"),
        ("mode == 'udp'", "mod == 'udp'", "9:18: rate: unknown parameter 'mod'"),
        ("n == 3 and mode == 'tcp'", "n > 0", "5:5: the space has no points"),
        ("n == 3 and mode == 'tcp'", "n / (n - n) > 1", "5:5: 'n / (n - n) > 1' has no value"),
        ("n == 3 and", "n == 3 an", "10:14: exclude: must be an expression over parameters"),
        ("seed: 42", "sed: 42", "12:3: unknown key 'sed' (did you mean 'seed'"),
        ("seed: 42", "seed: x", "12:9: seed: cannot be 'x'"),
        ("min: 3", "min: 30", "11:22: min: min cannot be 30 with max 20"),
        ("min: 3", "mni: 3", "11:17: repetitions: unknown key 'mni'"),
        ("within: 5%", "within: x%", "13:9: stop: within cannot be 'x%'"),
        ("metric: delay", "metric: delya", "13:9: stop: there is no metric 'delya'"),
        ("  stop: {metric: delay, within: 5%}\n", "", "11:16: repetitions: without stop"),
        ("{delay: ping.rttAvg}", "{delay: 5}", "14:20: metric delay: "),
        (
            "{delay: ping.rttAvg}",
            "{delay: {label: ping, regex: (}}",
            "14:20: ping: a metric with regex needs",
        ),
        ("ping.rttAvg", "pin.rttAvg", "14:20: unknown resource 'pin' (did you mean 'ping'"),
        ("ping.rttAvg", "ping.rttAv", "14:20: unknown attribute 'rttAv' (did you mean 'rttAvg'"),
        (
            "ping.rttAvg",
            "ping.rtt",
            "14:20: unknown attribute 'rtt' (did you mean 'rttMin' or 'rttMax",
        ),
        ("parallel: 4", "parallel: 0", "15:13: parallel: cannot be 0"),
        ("parallel: 4", "priority: high", "15:13: priority: cannot be 'high'"),
        ("parallel: 4", "priority: 101", "15:13: priority: cannot be 101 (write a whole number"),
        ("timeout: 2m", "timeout: soon", "16:12: timeout: "),
        ("timeout: 2m", "keep: some", "16:9: keep: cannot be 'some' (choose all or failed"),
        ("timeout: 2m", "collect: {ping: [1]}", "16:19: ping: "),
        ("timeout: 2m", "collect: {pin: stdout}", "16:13: unknown resource 'pin' (did you mean"),
        ('delay: "${n}s"', 'delay: "${mode}s"', "29:49: "),
        ("type: linux::Ping", "type: linux::Pin", "20:11: unknown resource type 'linux::Pin'"),
    ],
)
def test_errors_have_their_line_and_column(file: Path, old: str, new: str, message: str) -> None:
    found = errors(file, (old, new))
    assert found[0].startswith(message)
    assert len(found) == 1 or "with n=" in found[1]


def test_all_errors_are_reported_at_once(file: Path) -> None:
    found = errors(
        file, ("seed: 42", "sed: 42"), ("parallel: 4", "parallel: no"), ("${mode} ", "${mod} ")
    )
    assert [error.split(" ")[0] for error in found] == ["12:3:", "15:13:", "27:14:"]


def test_the_value_of_a_late_point_is_checked(file: Path) -> None:
    """The last values of an axis that varies slowly are at no first, last or early point."""
    found = errors(
        file,
        ("rate: [1, 2, 5]", "rate: [1, 2]\n      more: range(50)"),
        ("range(1, 4)", "[1, 2, -1, 3]"),
    )
    assert found[0] == "24:12: count cannot be -1: it must be at least 1, with n=-1"


def test_a_text_that_needs_a_conditional_parameter(file: Path) -> None:
    [error] = errors(file, ("${mode} ", "${mode} ${rate} "))
    assert "parameter 'rate' has no value here" in error
    assert "at n=1, mode=tcp" in error


def test_an_unused_parameter_is_a_warning(file: Path) -> None:
    file.write_text(FILE.replace("[tcp, udp]", "[tcp, udp]\n      more: [1, 2]"))
    assert read(file).warnings == ["parameter 'more' is not used in the description"]


def test_points_of_a_file_beside_the_description(file: Path) -> None:
    (file.parent / "points.csv").write_text("rate,n,mode\n1,2,udp\n")
    start, end = FILE.index("    grid:"), FILE.index("  repetitions")
    file.write_text(FILE[:start] + "    points: points.csv\n" + FILE[end:])
    assert list(read(file).plan.space) == [{"rate": 1, "n": 2, "mode": "udp"}]


def test_seeds_and_repetitions_of_runs(file: Path) -> None:
    common = read(file)
    assert common.values(0, 0)["repetition"] == 1
    assert common.values(0, 1)["seed"] == common.values(5, 1)["seed"] == run_seed(42, 1)
    file.write_text(FILE.replace("seed: 42", "seed: 42\n  seeds: independent"))
    independent = read(file)
    assert independent.values(0, 1)["seed"] != independent.values(5, 1)["seed"]


def test_the_json_schema_accepts_places() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    document = yaml.safe_load(FILE)
    assert list(validator.iter_errors(document)) == []
    for rtype, name, wrong in (("linux::Ping", "count", "many"), ("linux::Node", "port", "ssh")):
        document["resources"] = {"a": {"type": rtype, name: "${n}"}}
        assert list(validator.iter_errors(document)) == []
        document["resources"]["a"][name] = wrong
        assert [list(error.path) for error in validator.iter_errors(document)] == [
            ["resources", "a", name]
        ]


# -- verbs ----------------------------------------------------------------------------------------


def verb(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_validate(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb(capsys, "validate", file)[:2] == (0, "ok: 3 resources, 11 points\n")
    file.write_text(FILE.replace("count: ${n}", "count: ${m}"))
    code, _, err = verb(capsys, "validate", file)
    assert code == 2
    assert f"{file}:23:12: unknown parameter 'm'" in err


@pytest.mark.parametrize("name", ["plan", "convert"])
def test_a_campaign_is_not_one_run(
    file: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, err = verb(capsys, name, file)
    assert (code, out) == (2, "")
    assert "sweep.yaml:3:1: a campaign is many runs, not one (use the verbs of nepiq camp" in err


def test_plan(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = verb(capsys, "campaign", "plan", file, "--set", "n=2,3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "delay: 7 points, 3 to 20 runs at each: at most 140 runs"
    first, last = {"n": 2, "mode": "tcp"}, {"rate": 5, "n": 3, "mode": "udp"}
    assert lines[1] == f"first point {point_id(first)}  n=2 mode=tcp"
    assert lines[2] == f"last point  {point_id(last)}  rate=5 n=3 mode=udp"
    assert lines[3] == "order: in blocks of 7 runs, shuffled by seed 42"
    assert lines[4] == "4 runs at a time, each of which uses 1 host"
    assert lines[5].startswith("a run ends after 2 min")
    assert lines[6].startswith("a point is complete when")
    assert "exec ping -c 2 127.0.0.1" in out
    assert 'echo "2 tcp ${RUN_HOME}' in out


def test_a_plan_with_other_repetitions(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verb(capsys, "campaign", "plan", file, "--repetitions", "2")
    assert code == 0
    assert out.startswith("delay: 11 points, 2 runs at each: 22 runs\n")
    assert "a point is complete" not in out
    found = read(file, repetitions=2).plan
    assert CampaignPlan.of(json.loads(json.dumps(found.to_document()))) == found


def test_plan_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verb(capsys, "campaign", "plan", "--json", file)
    found = json.loads(out)
    assert code == 0
    assert (found["points"], found["runs"], found["hosts"]) == (11, 220, 1)
    assert Space.of(found["plan"]["space"]) == read(file).plan.space
    commands = [
        call["command"]
        for resource in found["first_run"]["resources"]
        for step in resource["steps"]
        for call in step["calls"]
    ]
    assert any("ping -c 1 127.0.0.1" in command for command in commands)


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_is_short_and_can_be_planned(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(study.read_text().splitlines()) <= 80
    code, out, err = verb(capsys, "campaign", "plan", study)
    assert (code, err) == (0, "")
    assert re.match(rf"{study.stem}: \d\d points, 10 runs at each: \d\d0 runs\n", out)


def test_a_file_needs_a_space(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("nepiq: 1\nresources: {}\n")
    code, _, err = verb(capsys, "campaign", "plan", file)
    assert code == 2
    assert "'campaign' is missing" in err
    assert isinstance(read(file, ["a=1"]), CampaignFile)


def test_added_points(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added = "added: [{space: {grid: {n: [8], mode: [tcp]}}, repetitions: 2}, {space: {points: []}}]"
    file.write_text(FILE.replace("  repetitions: {", f"  {added}\n  repetitions: {{", 1))
    with pytest.raises(DocumentError) as caught:
        read(file)
    assert [error.message for error in caught.value.errors] == ["points: there are no points"]
    file.write_text(file.read_text().replace(", {space: {points: []}}]", "]"))
    plan = read(file).plan
    assert [len(space) for space in plan.spaces] == [11, 1]
    assert plan.runs == 11 * 20 + 2
    assert CampaignPlan.of(plan.to_document()) == plan
    assert main(["campaign", "plan", str(file)]) == 0
    assert (
        "delay: 11 points, 3 to 20 runs at each; 1 added point, 2 runs at each: at most 222 runs"
        in capsys.readouterr().out
    )
    for wrong in ("[{repetitions: 2}]", "[{space: {grid: {n: [1]}}, seeds: common}]", "[1]"):
        file.write_text(FILE.replace("  repetitions: {", f"  added: {wrong}\n  repetitions: {{", 1))
        with pytest.raises(DocumentError, match="is not an addition"):
            read(file)
