"""What all tests share: the rule about missing parts, and a clean environment.

A test that misses a part of the machine (a program, a privilege, a wheel) is skipped on a
laptop and fails under ``CI=true``, so that continuous integration cannot lose tests silently.
Say what is needed with the marker ``needs`` (programs on PATH) or the fixture ``need``.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings

pytest_plugins = ["tests.isolation", "tests.testbed.plugin", "tests.leftovers"]

CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# No deadline a example: a shared machine pauses. The blob of a failing one reproduces it.
settings.register_profile("nepiq", deadline=None, print_blob=True)
settings.load_profile("nepiq")

# How the reason begins of a skip that stands for a missing part: ours, and pytest.importorskip's.
MISSING = ("missing: ", "could not import ")


class Need(Protocol):
    """The type of the fixture ``need``."""

    def __call__(self, part: str, available: object, reason: str = "") -> None: ...


def _need(part: str, available: object, reason: str = "") -> None:
    if not available:
        pytest.skip(f"missing: {part}" + (f" ({reason})" if reason else ""))


@pytest.fixture(scope="session")
def need() -> Need:
    """``need(part, available, reason)``: skip, or fail under CI, unless the part is available."""
    return _need


@pytest.fixture(scope="session")
def ns3_builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is compiled against ns-3, so that tests need not compile it again."""
    return tmp_path_factory.mktemp("ns3")


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marker, let no test reach the Redis of whoever runs it, and keep byte code.

    A shell that runs the tests in the background ignores signals of the terminal, and so would all
    that tests start.

    Hundreds of processes import nepiq during a run; where nothing may keep what was compiled,
    as in many containers, each of them compiles it anew, which is a third of a short command.
    """
    config.addinivalue_line("markers", "needs(program, ...): programs that must be on PATH")
    for name in [name for name in os.environ if name.startswith("NEPIQ_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a module together that share a fixture of it, and order all of them.

    Else each worker of xdist would make the fixture: a Redis, its workers and hosts, six times.

    A worker of xdist takes one group after the other, in this order (``--no-loadscope-reorder``);
    a test without a group is one of its own. The groups that may take longest come first. Tests
    without a group mostly wait, so the unit tests, thousands that only compute, stand among them,
    and a quarter of these come last: no processor idles while a long test waits or ends.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        marker = item.get_closest_marker("xdist_group")
        if marker is None and _shares(item):
            name = str(item.path.relative_to(config.rootpath).with_suffix(""))
            item.add_marker(pytest.mark.xdist_group(name))
            marker = item.get_closest_marker("xdist_group")
        groups.setdefault(str(marker.args[0]) if marker else item.nodeid, []).append(item)
    quick = [group for group in groups.values() if _is_quick(group[0])]
    slow = [group for group in groups.values() if not _is_quick(group[0])]
    ordered = _spread([group for group in slow if len(group) > 1])
    alone = _spread([group for group in slow if len(group) == 1])
    last = len(quick) // 4
    ordered += _among(alone, quick[last:]) + quick[:last]
    items[:] = [item for group in ordered for item in group]


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses a fixture that lives as long as its module."""
    if not isinstance(item, pytest.Function):
        return False
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return any(definition[-1].scope == "module" for definition in definitions)


def _spread(groups: list[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """Order groups by their time limits; those that mostly wait stand among the others."""
    groups = sorted(groups, key=_limit, reverse=True)
    waiting = [group for group in groups if _waits(group[0])]
    busy = [group for group in groups if not _waits(group[0])]
    return _among(busy, waiting)


def _among(
    some: list[list[pytest.Item]], others: list[list[pytest.Item]]
) -> list[list[pytest.Item]]:
    """Put others among some, evenly; the order of each stays."""
    ranked = [
        (number / len(groups), group)
        for groups in (others, some)
        for number, group in enumerate(groups)
    ]
    return [group for _, group in sorted(ranked, key=lambda pair: pair[0])]


def _limit(group: list[pytest.Item]) -> float:
    """Return the seconds that the tests of a group may take."""
    markers = [item.get_closest_marker("timeout") for item in group]
    return sum(float(marker.args[0]) if marker else 120.0 for marker in markers)


def _waits(item: pytest.Item) -> bool:
    return item.path.parent.name == "faults" or item.path.parts[-3:-1] == ("integration", "worker")


def _is_quick(item: pytest.Item) -> bool:
    return "unit" in item.path.parts


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over thousands of tests that live until the end anyway."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the programs of ``needs`` before the fixtures of the test start anything."""
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            _need(program, shutil.which(program), "not on PATH")


def _fail_if_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (CI and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if reason.startswith(MISSING):
        report.outcome = "failed"
        report.longrepr = f"{reason}; under CI a missing part is a failure"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Apply the rule to skips in tests and fixtures."""
    report = yield
    _fail_if_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Apply the rule to skips of whole modules."""
    report = yield
    _fail_if_missing(report)
    return report
