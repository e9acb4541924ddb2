"""The examples of docs/campaigns.md are right, and so are the files of the tutorial."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nepiq.controller.campaign.space import Space
from nepiq.controller.campaign.template import Template
from nepiq.controller.cli import main

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "campaigns.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial-campaign.md").read_text()


def block(language: str, containing: str, page: str = PAGE) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [found] = [text for text in blocks if containing in text]
    return str(found)


def test_the_space(capsys: pytest.CaptureFixture[str]) -> None:
    code = block("python", "Space.grid(protocol")
    expected = code.split("# ")[-1]
    exec(compile(code, "campaigns.md", "exec"), {})
    assert capsys.readouterr().out == expected


def test_the_experiment_with_places() -> None:
    names: dict[str, object] = {}
    exec(compile(block("python", 'Parameter("n")'), "campaigns.md", "exec"), names)
    description = names["ec"]._description  # type: ignore[attr-defined]
    found = Template.of(description, ["n", "rate"]).describe({"n": 3, "rate": 0.5, "seed": 9})
    assert found.get(3, "command") == "./load --rate 0.5 --seed 9"


def test_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.yaml").write_text(block("yaml", "geomspace"))
    assert main(["validate", str(tmp_path / "sweep.yaml")]) == 0
    assert capsys.readouterr() == ("ok: 2 resources, 6 points\n", "")
    command = ["campaign", "plan", str(tmp_path / "sweep.yaml"), "--set", "interval=0.1,0.2"]
    assert main(command) == 0
    assert "delay: 8 points, 3 to 30 runs at each: at most 240 runs" in capsys.readouterr().out


def test_the_files_of_the_tutorial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, part in (("path.yaml", "rtt: 40ms"), ("tcp.yaml", "campaign:")):
        (tmp_path / name).write_text(block("yaml", part, TUTORIAL))
    assert main(["validate", str(tmp_path / "path.yaml")]) == 0
    assert capsys.readouterr() == ("ok: 12 resources\n", "")
    assert main(["campaign", "plan", str(tmp_path / "tcp.yaml")]) == 0
    first = next(line for line in TUTORIAL.splitlines() if line.startswith("tcp: 12 points"))
    assert capsys.readouterr().out.startswith(first + "\n")
    script = ROOT / "examples" / "campaigns" / "tcp_plot.py"
    assert block("python", "matplotlib", TUTORIAL) == script.read_text()


@pytest.mark.parametrize(
    "rule", re.findall(r"`((?:range|linspace|logspace|geomspace)\([\d., ]+\))`", PAGE)
)
def test_the_rules(rule: str) -> None:
    assert len(Space.grid(x=rule)) > 1
