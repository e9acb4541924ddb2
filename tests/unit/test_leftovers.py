"""The rule of tests/leftovers.py: what tests leave behind fails them, or their session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.testbed.spaces import missing


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # The conftest names plugins in tests.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("CI", raising=False)
    # What is left here stays, however long one waits.
    impatient = "\nimport tests.leftovers\ntests.leftovers.GRACE = 0.2\n"
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text() + impatient)
    return pytester


def outcome(project: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    project.makepyfile(
        test_it=f"import os, pathlib, subprocess, sys, tempfile\nimport pytest\n{text}"
    )
    return project.runpytest_subprocess("-p", "no:cacheprovider", *options)


CHILD = """
def test_before():
    pass

def test_child(request):
    request.config.child = subprocess.Popen(["sleep", "300"])

def test_after():
    pass
"""
UNWAITED = """
def test_child(request):
    request.config.child = child = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    child.stdout.read()
"""
OF_A_MODULE = """
@pytest.fixture(scope="module")
def helper():
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()

def test_one(helper):
    subprocess.run(["true"], check=True)

def test_two(helper, tmp_path):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "file").touch()
    (tmp_path / "file").touch()
"""
OF_NOBODY = """
@pytest.fixture(scope="module")
def helper(request):
    request.config.child = subprocess.Popen(["sleep", "300"])

def test_one(helper):
    pass
"""
DAEMON = """
def test_daemon():
    subprocess.run(["sh", "-c", "setsid sleep 301 >/dev/null 2>&1 &"], check=True)
"""
FOLDER = "def test_folder():\n    tempfile.mkdtemp(prefix='nqx')\n"
KILLED = "def test_killed():\n    tempfile.mkdtemp(prefix='nqx')\n    os._exit(3)\n"
FILE = "def test_file():\n    pathlib.Path('results.txt').touch()\n"


def test_nothing_is_left(project: pytest.Pytester) -> None:
    result = outcome(project, OF_A_MODULE)
    result.assert_outcomes(passed=2)
    assert result.ret == 0


@pytest.mark.parametrize("text", [CHILD, UNWAITED], ids=["running", "unwaited"])
def test_a_child_fails_its_test(project: pytest.Pytester, text: str) -> None:
    result = outcome(project, text)
    result.assert_outcomes(passed=text.count("def "), errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_child*", "*left child processes: *"])


def test_a_child_of_a_module_fails_the_session(project: pytest.Pytester) -> None:
    result = outcome(project, OF_NOBODY)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["LEFT child process * sleep 300"])


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_daemon_fails_the_session(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = outcome(project, DAEMON, *options)
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["LEFT process * sleep 301"])


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_folder_fails_the_session(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = outcome(project, FOLDER, *options)
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["LEFT */nqx*, since test_it.py::test_folder"])
    assert not list(Path(os.environ["TMPDIR"]).glob("nq*/**/nqx*"))


def test_a_folder_of_a_killed_process_fails_the_session(project: pytest.Pytester) -> None:
    result = outcome(project, KILLED, "-n", "1", "--max-worker-restart", "0")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["LEFT */gw0, since a process that ended early"])


def test_a_file_in_the_tree_fails_under_ci(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project.path, check=True)
    (project.path / ".gitignore").write_text("results.txt\n")
    assert outcome(project, FILE).ret == 0
    (project.path / "results.txt").unlink()
    monkeypatch.setenv("CI", "true")
    result = outcome(project, FILE)
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["LEFT in the tree: !! results.txt"])
    assert outcome(project, FILE).ret == 0  # it is there before and after


MOUNT = """
def test_mount(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
"""


@pytest.mark.parametrize("xdist", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_mount_fails_the_session(
    project: pytest.Pytester, need: Need, xdist: tuple[str, ...]
) -> None:
    """In a mount namespace, which ends with the session."""
    need("mount namespaces", os.geteuid() == 0 and not missing(), "needs root")
    project.makepyfile(test_it=f"import subprocess{MOUNT}")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "pytest"]
    options = ["-p", "no:cacheprovider", f"--basetemp={project.path / 'base'}"]
    result = project.run(*command, *options, *xdist)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["LEFT mount */base/*test_mount0"])


APART = """
from tests import processes

def test_apart():
    subprocess.run(["sh", "-c", "(sleep 0.01 &)"], check=True)
    while set(processes.pids()) - {1, os.getpid()}:
        pass
"""


@pytest.mark.timeout(20)
def test_a_process_of_xdist_sees_its_own_tests_only(project: pytest.Pytester, need: Need) -> None:
    """Process 1 of its PID namespace collects what nobody else waits for."""
    need("PID namespaces", os.geteuid() == 0 and not missing(), "needs root")
    outcome(project, APART, "-n", "2").assert_outcomes(passed=1)
