"""Finding the class of a resource type."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import ClassNotImportable, InvalidValue, UnknownType
from nepiq.controller.model import ResourceManager, registry

ROOT = Path(__file__).parents[3]


class Widget(ResourceManager, rtype="test.registry::Widget", aliases=("TestWidget",)):
    """Something."""


def fresh(code: str, *path: Path) -> str:
    """What a new interpreter prints."""
    places = ":".join(str(place) for place in (ROOT / ".typing", *path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """An installed distribution with some entry points."""
    package = tmp_path / "gizmos"
    package.mkdir()
    (package / "__init__.py").write_text("from .inside import Gizmo\n")
    (package / "inside.py").write_text(
        "from nepiq.controller.model import ResourceManager\n"
        "class Gizmo(ResourceManager, rtype='lab::Gizmo'): ...\n"
    )
    (tmp_path / "gadgets.py").write_text(
        "from nepiq.controller.model import ResourceManager\n"
        "class Gadget(ResourceManager, rtype='lab::Gadget'): ...\n"
        "class Wrong(ResourceManager, rtype='lab::Right'): ...\n"
    )
    info = tmp_path / "gadgets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gadgets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nepiq.resources]\nlab::Gadget = gadgets:Gadget\nlab::Gone = missing_module:Gone\n"
        "lab::Wrong = gadgets:Wrong\nlab::Gizmo = gizmos:Gizmo\n"
    )
    return tmp_path


def test_own_classes_are_found_by_name_and_alias() -> None:
    assert registry.find("test.registry::Widget") is Widget
    assert registry.find("TestWidget") is Widget
    assert registry.canonical("TestWidget") == "test.registry::Widget"
    assert "test.registry::Widget" in registry.names()


def test_the_catalogue_and_its_old_names() -> None:
    for rtype in ("linux::Node", "linux::Application", "nepiq::Null", "nepiq::Sleep"):
        assert registry.find(rtype).rtype == rtype
    assert registry.find("LinuxNode") is registry.find("linux::Node")
    assert registry.find("LinuxApplication") is registry.find("linux::Application")
    assert registry.canonical("LinuxNode") == "linux::Node"


def test_finding_one_imports_no_other() -> None:
    code = (
        "import sys\n"
        "from nepiq.controller.model import registry\n"
        "registry.find('nepiq::Null')\n"
        "print([m for m in ('nepiq.controller.resources.linux', 'importlib.metadata') "
        "if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_the_model_imports_neither_redis_nor_celery() -> None:
    code = (
        "import sys, nepiq.controller.model as model\n"
        "for name in model.__all__: getattr(model, name)\n"
        "print([m for m in ('redis', 'celery', 'kombu', 'networkx') if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_near_misses() -> None:
    with pytest.raises(UnknownType, match=r"'linux::Nodes'.*did you mean 'linux::Node'"):
        registry.find("linux::Nodes")


def test_entry_points(plugin: Path) -> None:
    code = (
        "import sys\n"
        "from nepiq.controller.model import registry\n"
        "print('lab::Gadget' in registry.names(), 'gadgets' in sys.modules,"
        " registry.find('lab::Gadget').__name__)"
    )
    assert fresh(code, plugin) == "True False Gadget"


def test_an_entry_point_may_name_what_a_package_exports(plugin: Path) -> None:
    code = (
        "from nepiq.controller.model import registry\nprint(registry.find('lab::Gizmo').__module__)"
    )
    assert fresh(code, plugin) == "gizmos.inside"


def test_an_entry_points_rtype_is_taken(plugin: Path) -> None:
    code = (
        "from nepiq.controller.model import ResourceManager\n"
        "from nepiq.controller.errors import InvalidValue\n"
        "try:\n"
        "    class Mine(ResourceManager, rtype='lab::Gizmo'): ...\n"
        "except InvalidValue as error: print(error.message)"
    )
    assert fresh(code, plugin).endswith("is taken by gizmos:Gizmo")


@pytest.mark.parametrize(
    ("rtype", "problem"),
    [
        ("lab::Gone", "cannot load missing_module:Gone .*ModuleNotFoundError.*reinstall"),
        ("lab::Wrong", "does not manage resource type 'lab::Wrong'"),
    ],
)
def test_broken_entry_points(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, rtype: str, problem: str
) -> None:
    monkeypatch.syspath_prepend(plugin)
    registry._entry_points.cache_clear()
    try:
        with pytest.raises(ClassNotImportable, match=problem):
            registry.find(rtype)
    finally:
        registry._entry_points.cache_clear()
        registry.forget("lab::Right")
        registry.forget("lab::Gadget")


def test_a_worker_says_how_to_make_a_class_known() -> None:
    with pytest.raises(ClassNotImportable, match=r"mine::Own.*in a module.*NEPIQ_IMPORTS"):
        registry.find_on_worker("mine::Own")
    assert registry.find_on_worker("nepiq::Null").rtype == "nepiq::Null"


def test_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_types.py").write_text(
        "from nepiq.controller.model import ResourceManager\n"
        "class Lamp(ResourceManager, rtype='lab::Lamp'): ...\n"
    )
    (tmp_path / "lab_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.load_imports(["lab_types"])
    assert registry.find("lab::Lamp").__module__ == "lab_types"
    with pytest.raises(ClassNotImportable, match=r"'lab_broken': ZeroDivisionError.*NEPIQ_IMPORTS"):
        registry.load_imports(["lab_broken"])
    with pytest.raises(ClassNotImportable, match="'lab_absent'"):
        registry.load_imports(["lab_absent"])
    with pytest.raises(ClassNotImportable, match="is not a module name"):
        registry.load_imports(["lab types; rm"])
    registry.forget("lab::Lamp")


@pytest.fixture
def free() -> Iterator[str]:
    """An rtype that is free again afterwards."""
    yield "test.registry::Free"
    registry.forget("test.registry::Free")


def test_defining_a_class_again_replaces_it(free: str) -> None:
    def define() -> type[ResourceManager]:
        class Cell(ResourceManager, rtype=free): ...

        return Cell

    define()
    second = define()
    assert registry.find(free) is second


def test_a_taken_rtype_is_refused(free: str) -> None:
    class One(ResourceManager, rtype=free): ...

    with pytest.raises(InvalidValue, match="is taken by"):

        class Two(ResourceManager, rtype=free): ...

    with pytest.raises(InvalidValue, match=r"is taken by nepiq\.controller\.resources"):

        class Three(ResourceManager, rtype="linux::Node"): ...

    assert registry.find(free) is One


def test_a_script_that_is_also_imported_is_one_class(free: str) -> None:
    class Scripted(ResourceManager, rtype=free):
        __module__ = "__main__"

    class Imported(ResourceManager, rtype=free):
        __module__ = "script"
        __qualname__ = Scripted.__qualname__

    assert registry.find(free) is Imported


@pytest.mark.parametrize("rtype", ["a b", "a:b", "::a", "a::", "é"])
def test_malformed_rtypes(rtype: str) -> None:
    with pytest.raises(InvalidValue, match="is not a valid rtype"):
        type("Odd", (ResourceManager,), {}, rtype=rtype)
