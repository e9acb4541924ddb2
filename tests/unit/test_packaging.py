"""The wheel holds what the repository holds.

An editable install finds every file in the folders, so only a look at the built wheel shows
that a package or a data file is missing from pyproject.toml.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from tests.conftest import Need

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = sorted(SETUPTOOLS["package-dir"].values())


def source_files() -> set[str]:
    """The files of the three folders, as paths from the root."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def modules(files: set[str]) -> set[str]:
    """The import names of Python files given as paths below ``nepiq``."""
    names = {
        "nepiq." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in files
        if name.endswith(".py")
    }
    return {name for name in names if not name.endswith(".__main__")}


def test_every_package_is_listed() -> None:
    folders = {Path(name).parent for name in source_files() if name.endswith(".py")}
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []
    found = {f"nepiq.{folder.as_posix().replace('/', '.')}" for folder in folders}
    assert sorted(found) == sorted(SETUPTOOLS["packages"])


def test_every_data_file_is_listed() -> None:
    patterns = SETUPTOOLS["package-data"]["*"]
    data = {name for name in source_files() if not name.endswith(".py")}
    unlisted = [
        name for name in data if not any(fnmatch(Path(name).name, pattern) for pattern in patterns)
    ]
    assert unlisted == []


def test_the_namespace_has_no_package_of_its_own() -> None:
    assert not (ROOT / "nepiq").exists()
    assert not (ROOT / ".typing/nepiq/__init__.py").exists()


def test_types_are_published() -> None:
    assert [folder for folder in FOLDERS if not (ROOT / folder / "py.typed").exists()] == []


def test_constraints_pin_each_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {normal(line.split("==")[0]) for line in lines}
    extras = PROJECT["project"]["optional-dependencies"].values()
    declared = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {normal(re.split(r"[\[<>=~! ;]", text)[0]) for text in declared}
    assert sorted(names - pinned) == []


def normal(name: str) -> str:
    """A project name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Path:
    """The wheel, built from the sdist, built from a copy of the sources."""
    need("setuptools >= 77", int(version("setuptools").split(".")[0]) >= 77, "the extra dev")
    source = tmp_path_factory.mktemp("source")
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in (*FOLDERS, "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=leave_out)
        else:
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist")]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel and sees our dependencies.

    They are seen by a path file in it. The path files of *our* environment are not read that
    way, so the editable install, which is one, stays out of sight.
    """
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install", "-q", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return home / "bin"


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
class TestWheel:
    def test_holds_every_file(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == {f"nepiq/{name}" for name in source_files()}

    def test_everything_imports(self, installed: Path, tmp_path: Path) -> None:
        script = (
            "import importlib, json, sys\n"
            "print(json.dumps({n: importlib.import_module(n).__file__ for n in sys.argv[1:]}))"
        )
        python = [str(installed / "python"), "-I", "-c", script]
        done = subprocess.run(
            [*python, *sorted(modules(source_files()))],
            cwd=tmp_path,
            # A worker's application must be told a broker; importing it connects to nothing.
            env={**os.environ, "NEPIQ_BROKER_URL": "redis://localhost:1/0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        places = json.loads(done.stdout)
        assert [name for name, place in places.items() if str(installed.parent) not in place] == []

    def test_command_runs(self, installed: Path, tmp_path: Path) -> None:
        done = subprocess.run(
            [str(installed / "nepiq"), "--help"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "nepiq" in done.stdout
