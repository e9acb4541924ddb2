"""The example of a third party's package, and the page that explains it."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "examples" / "plugin"
PAGE = ROOT / "docs" / "writing-resources.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_its_own_tests_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / '.typing'}:{PLUGIN / 'src'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_entry_point_names_the_class() -> None:
    project = (PLUGIN / "pyproject.toml").read_text()
    assert '"acme::TrafficShaper" = "acme_shaper:TrafficShaper"' in project
    code = "import acme_shaper; print(acme_shaper.TrafficShaper.rtype)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{ROOT / '.typing'}:{PLUGIN / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "acme::TrafficShaper"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n", 1)[0][:40])
def test_the_page_shows_python(block: str) -> None:
    tree = ast.parse(textwrap.dedent(re.sub(r"\A# examples/.*\n", "", block)), str(PAGE))
    for imported in ast.walk(tree):
        if isinstance(imported, ast.ImportFrom):
            module = importlib.import_module(imported.module or "")
            assert [name.name for name in imported.names if not hasattr(module, name.name)] == []


def test_what_the_pages_register_is_accepted() -> None:
    (block,) = (block for block in BLOCKS if "ec.register_resource" in block)
    (other,) = re.findall(r"^```python\n(.*?)^```", (PLUGIN / "README.md").read_text(), re.M | re.S)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import acme_shaper\n{other}\n{block}\nprint(ec.connections(shaper) == [node])",
        ],
        env={**os.environ, "PYTHONPATH": f"{ROOT / '.typing'}:{PLUGIN / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_the_page_shows_the_example_as_it_is() -> None:
    """Each line of a block that begins with a comment naming a file is in that file."""
    checked = 0
    for block in BLOCKS:
        named = re.match(r"# (examples/\S+\.py)\n", block)
        if named:
            source = (ROOT / named[1]).read_text().splitlines()
            lines = [line for line in block.splitlines()[1:] if line.strip() not in {"", "..."}]
            assert [line for line in lines if line not in source] == []
            checked += 1
    assert checked >= 4


def test_the_page_mentions_every_public_name() -> None:
    from nepiq.controller import model
    from nepiq.controller.testing import harness

    text = PAGE.read_text()
    internal = {"Condition", "Description", "Outcome", "perform", "ResourceAction", "ResourceState"}
    names = {*model.__all__, *harness.__all__} - internal
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []
