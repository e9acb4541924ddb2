"""Links between pages, and the files that pages name, exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import nepiq.controller

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
FOLDERS = "controller|workers|tasks|tests|tools|examples|deploy|docs"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = 1
        while anchor in found:
            anchor, number = f"{anchor.removesuffix(f'-{number - 1}')}-{number}", number + 1
        found.add(anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_anchors(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", page.read_text())
    targets = [((page.parent / file) if file else page, anchor) for file, anchor in links]
    assert [anchor for target, anchor in targets if anchor not in anchors(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./@-]*\w/?)(?:::\w+)?`", page.read_text())
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []
    named = re.findall(r"`(?:python -m )?(tests(?:\.\w+)+)[ `]", page.read_text())
    paths = {name: ROOT / name.replace(".", "/") for name in named}
    missing = {n for n, p in paths.items() if not (p.is_dir() or p.with_suffix(".py").exists())}
    assert missing == set()


def test_the_picture_of_the_rooms_is_that_of_the_contracts() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    picture = next(block for block in page.split("```") if " tasks " in block and "cli" in block)
    rows = [line for line in picture.splitlines() if line.strip() and "▶" not in line]
    at = rows[0].index("cli")
    columns = {
        "workers": [row[:at].strip() for row in rows],
        "controller": [row[at:].strip() for row in rows],
    }
    contracts = (ROOT / "pyproject.toml").read_text().split("[[tool.importlinter.contracts]]")
    for name, drawn in columns.items():
        contract = next(text for text in contracts if f'containers = ["nepiq.{name}"]' in text)
        layers = re.findall(r'^    "(.+)",$', contract, flags=re.MULTILINE)
        assert [row for row in drawn if row] == layers


def test_the_tables_of_tools_are_those_of_the_types() -> None:
    command = [sys.executable, str(ROOT / "tools" / "tool_tables.py"), "--check"]
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, "run tools/tool_tables.py"


def test_every_public_name_is_in_the_reference() -> None:
    pages = [*(ROOT / "docs" / "reference").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    names = set(nepiq.controller.__all__) - {
        "Flags",
        "ResourceFactory",
        "ResourceState2str",
        "Types",
    }
    assert {name for name in names if f" nepiq.controller.{name}\n" not in text} == set()


def test_every_room_is_in_the_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = re.findall(r"^\| `((?:controller|workers)/\w+)` \|", page, flags=re.MULTILINE)
    inits = [*ROOT.glob("controller/*/__init__.py"), *ROOT.glob("workers/*/__init__.py")]
    assert sorted(table) == sorted(str(init.parent.relative_to(ROOT)) for init in inits)
