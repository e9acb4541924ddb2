"""What tests leave behind fails them: processes, temporary folders, changes of the machine or tree.

A test that leaves a child process fails when it is torn down. The rest is looked at when the
session ends, by the process that the user started, or by one of xdist that alone sees it, and fails
the session:

- processes that tests started, or that these started, wherever they went: each has a variable of
  this session in its environment;
- what is in the folder for temporary files, which each session makes for itself, so that what
  other programs of the machine put into ``/tmp`` does not matter;
- links, claims and processes of test beds, mounts in folders of tests, named network namespaces,
  users;
- under ``CI=true``, changes in the tree. On a laptop somebody may edit files meanwhile.

What is on its way out has half a minute to be gone, on a machine however busy.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests import forks, processes
from tests.isolation import isolated
from tests.testbed import claim, spaces

T = TypeVar("T", dict[int, str], list[str])

#: Seconds.
GRACE = 30.0
#: What the first import, pytest, hypothesis and the other tools keep in the tree.
_CACHES = re.compile(
    r"(^|/)(__pycache__|\.venv|build|[^/]+\.egg-info|\.(pytest|mypy|ruff|import_linter)_cache"
    r"|\.hypothesis)(/|$)"
)
#: Where run directories of a user are by default: one folder for all of them, kept on purpose.
_RUNS = re.compile(r"nepiq-\d+")


def children() -> dict[int, str]:
    """Child processes of this one, also those that ended and were not waited for.

    The process that forks workers is none; its children count.
    """
    found = set(processes.children(os.getpid()))
    if (forking := forks.pid()) is not None:
        found = found - {forking} | set(processes.children(forking))
    return {pid: _described(pid) for pid in found}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _described(pid: int) -> str:
    shown = " ".join(processes.command(pid).split())
    return f"{pid} {shown[:150] or '(ended, and nobody waited for it)'}"


def gone(look: Callable[[], T]) -> T:
    """What is still there after a grace; returns as soon as there is nothing."""
    end = time.monotonic() + GRACE
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _end(left: dict[int, str]) -> list[str]:
    """End what nobody owns, so that it does not disturb what comes; tells what it was."""
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return [told for _, told in sorted(left.items())]


class Temporary:
    """A folder for temporary files, in which nothing may be at the end.

    Args:
        name: its last part; a new one if empty.
    """

    def __init__(self, name: str = "") -> None:
        # The paths of unix sockets, which lie in it, are short.
        self._before = os.environ.get("TMPDIR")
        self.path = Path(tempfile.gettempdir()) / name if name else Path(tempfile.mkdtemp("", "nq"))
        self.path.mkdir(exist_ok=True)
        self.path.chmod(0o711)  # users that tests make enter it
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path)
        self._since: dict[str, str] = {}

    def look(self, test: str) -> None:
        """Note during which test something came."""
        for name in _names(self.path):
            self._since.setdefault(name, test)

    def left(self) -> list[str]:
        """What is in it, and since which test."""
        return [
            f"{self.path}/{name}, since {self._since.get(name, 'a process that ended early')}"
            for name in _names(self.path)
            if not _RUNS.fullmatch(name)
        ]

    def close(self) -> None:
        """Remove it, unless something is mounted there."""
        tempfile.tempdir = None
        os.environ.pop("TMPDIR")
        if self._before is not None:
            os.environ["TMPDIR"] = self._before
        if not _mounts(self.path):
            shutil.rmtree(self.path, ignore_errors=True)


class Process:
    """Looks at a process that carries out tests; with xdist there are several.

    Args:
        config: pytest's.
        temporary: where tests of this process have their temporary files.
    """

    def __init__(self, config: pytest.Config, temporary: Temporary) -> None:
        self._config = config
        self._temporary = temporary
        self._known: set[int] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Note what fixtures have started: what those of a module started may stay for now."""
        self._known = set(children())
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test that started a child process and left it."""
        done = yield
        self._temporary.look(item.nodeid)
        if told := _end(gone(self._children)):
            pytest.fail(f"left child processes: {'; '.join(told)}", pytrace=False)
        return done

    def _children(self) -> dict[int, str]:
        """Those that came with the test; hosts, too, are booted when it is over."""
        return {
            pid: told
            for pid, told in children().items()
            if pid not in self._known and not processes.has(pid, f"{spaces.MARK}=")
        }

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Look when all fixtures have been torn down, and tell whoever started this process."""
        left = [f"child process {told}" for told in _end(gone(children))]
        forks.close()
        if isolated(self._config):  # what the kernel ends with this process, nobody else sees
            mark = claim.session_of_tests()
            left += [f"process {told}" for told in _end(gone(lambda: _bearing(mark)))]
            left += _mounted(self._config, self._temporary)
        left += self._temporary.left()
        told = getattr(self._config, "workeroutput", None)
        if told is not None:  # xdist carries it to the first process
            told["left"] = left
        else:
            session = self._config.pluginmanager.get_plugin("leftovers-session")
            session.left += [item for item in left if item.startswith("child")]


class Session:
    """Looks at the whole when all processes that carry out tests have ended.

    Args:
        config: pytest's.
        temporary: where those processes have their temporary files.

    Attributes:
        left: what was left.
    """

    def __init__(self, config: pytest.Config, temporary: Temporary) -> None:
        self.left: list[str] = []
        self._config = config
        self._temporary = temporary
        self._mark = f"{claim.SESSION}{os.getpid()}_{processes.stat(os.getpid())[19]}"
        os.environ[self._mark] = "1"
        self._machine = _machine()
        self._tree = tree(config.rootpath) if _in_ci() else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what a process of xdist found."""
        self.left += getattr(node, "workeroutput", {}).get("left", [])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look, and fail the session if there is anything."""
        self.left += [f"process {told}" for told in _end(gone(lambda: _bearing(self._mark)))]
        self.left += gone(lambda: claim.left_by(self._mark))
        self.left += self._temporary.left()
        self.left += _mounted(self._config, self._temporary)
        now = _machine()
        for what, before in self._machine.items():
            self.left += [f"{what} {name}" for name in sorted(now[what] ^ before)]
        if self._tree is not None:
            came = (tree(self._config.rootpath) or set()) - self._tree
            self.left += [f"in the tree: {entry}" for entry in sorted(came)]
        del os.environ[self._mark]
        if self.left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell it."""
        if self.left:
            terminalreporter.section("left behind by tests", red=True, bold=True)
            for line in self.left:
                terminalreporter.write_line(f"LEFT {line}")


def _bearing(mark: str) -> dict[int, str]:
    """Processes that have a variable in their environment, without this one and process 1.

    One that executes another program has no environment for a moment, so nothing is seen twice.
    """

    def look() -> set[int]:
        return set(processes.having(f"{mark}=")) - {1, os.getpid()}

    if not (found := look()):
        time.sleep(0.1)
        found = look()
    return {pid: _described(pid) for pid in found}


def _machine() -> dict[str, set[str]]:
    """What of the machine is the same before and after, whoever else uses it."""
    spaces, records = Path("/run/netns"), Path("/run/nepiq")
    return {
        "user": {line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines()},
        "network namespace": set(_names(spaces)) if spaces.is_dir() else set(),
        "record of configuration": set(_names(records)) if records.is_dir() else set(),
    }


def _mounts(folder: Path) -> set[str]:
    """What is mounted in a folder (proc_pid_mountinfo(5))."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {point for point in points if point.startswith(f"{folder}/")}


def _mounted(config: Any, temporary: Temporary) -> list[str]:
    """What is mounted in folders of tests."""
    folders = (temporary.path, config._tmp_path_factory.getbasetemp())
    return [f"mount {point}" for folder in folders for point in sorted(_mounts(folder))]


def tree(root: Path) -> set[str] | None:
    """Files in the tree that git does not know or that changed, without caches; None: no git."""
    command = ["git", "-C", str(root), "status", "--porcelain", "--ignored", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    return {entry for entry in done.stdout.split("\0") if entry and not _CACHES.search(entry[3:])}


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_configure(config: pytest.Config) -> None:
    """Look from now on."""
    # What pytest keeps of the last sessions stays where it is.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    temporary = Temporary(worker)
    config.add_cleanup(temporary.close)
    # Of hooks that ask to come last, what is registered later comes later.
    if worker or not config.getoption("tx", None):
        config.pluginmanager.register(Process(config, temporary), "leftovers-process")
    if not worker:
        config.pluginmanager.register(Session(config, temporary), "leftovers-session")
