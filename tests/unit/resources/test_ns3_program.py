"""linux::ns3::Program: sources, its command, and the script that runs it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from nepiq.controller.errors import HostError, InvalidValue, NotAllowed
from nepiq.controller.model import Result, State
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.ns3 import installation, launcher
from nepiq.controller.resources.ns3.program import Arguments, Program
from nepiq.controller.resources.ns3.sources import LARGEST, SourceFiles
from nepiq.controller.testing import Call, Harness

PYTHON = "/opt/ns3"
LIBRARIES = f"{PYTHON}/include\n{PYTHON}/lib64\nlibns3.44-core.so\n/usr/bin/g++\n"
TREE = "/src/ns-3"
LOCK = """
out_dir = '/src/ns-3/build'
BUILD_PROFILE = 'default'
VERSION = '3.44'
ns3_runnable_programs = [
    '/src/ns-3/build/examples/tutorial/ns3.44-first-default',
    '/src/ns-3/build/examples/wireless/ns3.44-wifi-first-default',
    '/src/ns-3/build/scratch/lab/ns3.44-lab_main-default',
    '/src/ns-3/build/scratch/other/ns3.44-other_main-default', ]
"""


def program(node: Harness[Any] | None = None, **settings: Any) -> Harness[Program]:
    harness = Harness(Program, node=node or Harness(Node, hostname="far"), **settings)
    harness.host.answer("try /usr/local", LIBRARIES)
    harness.host.answer("test -e .*/ready", 1)
    harness.host.answer(
        "find_spec..ns, .cppyy|importlib.metadata", "/usr/bin/python3\n3.44.post0\n"
    )
    harness.host.files[f"{TREE}/.lock-ns3_linux_build"] = LOCK.encode()
    return harness


def running(**settings: Any) -> Harness[Program]:
    harness = program(**settings)
    harness.deploy()
    harness.start()
    return harness


def builds(harness: Harness[Program]) -> list[Call]:
    return [call for call in harness.host.calls if "tar -x" in call.command]


# --- sources


def test_sources_are_read_where_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "first.cc").write_text("int main() {}\n", encoding="utf-8")
    (tmp_path / "first.h").write_text("// é\n", encoding="utf-8")
    harness = program(source=[tmp_path / "first.cc", str(tmp_path / "first.h")])
    (tmp_path / "first.cc").unlink()
    assert harness.attributes["source"] == {"first.cc": "int main() {}\n", "first.h": "// é\n"}
    again = program(source=harness.attributes["source"])
    assert again.rm.source == harness.attributes["source"]


def test_a_file_that_is_missing_is_named_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "none.cc"
    with pytest.raises(InvalidValue, match=f"{missing} cannot be read: No such file"):
        program(source=str(missing))
    with pytest.raises(InvalidValue, match=f"{tmp_path} cannot be read: Is a directory"):
        program(source=[tmp_path])


def test_a_relative_path_begins_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sim.py").write_text("pass", encoding="utf-8")
    assert program(source="sim.py").attributes["source"] == {"sim.py": "pass"}
    with pytest.raises(InvalidValue, match=str(tmp_path / "other.py")):
        program(source="other.py")


def test_large_files_and_files_that_are_not_text(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.cc", tmp_path / "binary.cc"
    large.write_bytes(b" " * (LARGEST + 1))
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValue, match=f"at most {LARGEST} bytes in all, but {large}"):
        program(source=str(large))
    with pytest.raises(InvalidValue, match=f"UTF-8, but {binary}"):
        program(source=str(binary))
    halves = dict.fromkeys(("a.cc", "b.cc"), " " * (LARGEST // 2 + 1))
    with pytest.raises(InvalidValue, match="at most 200000 bytes in all, not 200002"):
        program(source=halves)


@pytest.mark.parametrize(
    "value",
    [
        "",
        [],
        [""],
        3,
        {},
        {"a/b.cc": ""},
        {"-o.cc": ""},
        {"a.cc": 1},
        {"a.cc": "\0"},
        {"a.h": ""},
        {"a.txt": ""},
        {"a.cc": "", "b.py": ""},
        {"a.py": "", "b.h": ""},
        ["x/a.cc", "y/a.cc"],
    ],
)
def test_odd_sources(value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.cc").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue, match="source"):
        program(source=value)


def test_the_kinds_of_files() -> None:
    files = SourceFiles.parse({"main.cc": "", "part.cpp": "", "part.h": ""})
    assert (files.compiled, files.headers, files.scripts) == (
        ["main.cc", "part.cpp"],
        ["part.h"],
        [],
    )


# --- arguments


def test_arguments() -> None:
    given = {"n": 3, "rate": 2.5, "on": True, "off": False, "text": "a 'b' $C", "ns3::A::B": "1s"}
    assert Arguments.parse(given) == {
        "n": "3",
        "rate": "2.5",
        "on": "true",
        "off": "false",
        "text": "a 'b' $C",
        "ns3::A::B": "1s",
    }


@pytest.mark.parametrize(
    "value",
    ["--n=3", ["n"], {"--n": 3}, {"a b": 1}, {"": 1}, {"n": None}, {"n": [1]}, {"n": "\0"}],
)
def test_odd_arguments(value: object) -> None:
    with pytest.raises(InvalidValue, match="arguments"):
        program(arguments=value)


@pytest.mark.parametrize(
    "settings",
    [
        {"program": "../first"},
        {"program": "first;reboot"},
        {"program": "-x"},
        {"program": 1},
        {"buildProfile": "fast"},
        {"perHost": -1},
        {"seed": 0},
        {"run": -1},
        {"ns3Home": "here"},
    ],
)
def test_odd_programs(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        program(**settings)
    with pytest.raises(NotAllowed):
        program(command="ls")


@pytest.mark.parametrize("settings", [{}, {"source": {"a.cc": ""}, "program": "/bin/true"}])
def test_source_or_program(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="either source or program"):
        program(**settings).deploy()
    with pytest.raises(InvalidValue, match="needs ns3Home"):
        program(program="first").deploy()


# --- C++


def test_a_program_is_compiled_and_run() -> None:
    harness = running(
        source={"main.cc": "int main() {}", "part.cc": "", "part.h": ""},
        arguments={"n": 3, "text": "a b"},
        seed=7,
        run=3,
        env={"A": "1"},
        okExitCodes="0,3",
    )
    (build,) = builds(harness)
    assert "main.cc part.cc -L/opt/ns3/lib64" in build.command
    assert "-O2 -g -DNS3_ASSERT_ENABLE -DNS3_LOG_ENABLE -I/opt/ns3/include" in build.command
    rm = harness.rm
    path, *words = shlex.split(rm.command)
    assert path.startswith("/home/user/.nepiq/.usr/ns3/")
    assert path.endswith("/ns3-main")
    assert words == ["--n=3", "--text=a b"]
    assert (rm.version, harness.state) == ("3.44", State.STARTED)
    launch = harness.host.calls[-1]
    assert launch.env == {"A": "1", "NS_GLOBAL_VALUE": "RngSeed=7;RngRun=3"}
    assert launch.options["ok_exit_codes"] == (0, 3)
    assert f"\n{rm.command} 9>&-\n" in launch.command
    assert harness.exit(0).outcome == "FINISHED"
    assert harness.rm.exitCode == 0


def test_what_was_compiled_is_not_compiled_again() -> None:
    harness = program(source={"main.cc": ""})
    harness.host.answer("test -e .*/ready", 0)
    harness.deploy()
    assert not builds(harness)


def test_other_content_and_other_profiles_are_other_programs() -> None:
    commands = {
        running(**settings).rm.command
        for settings in (
            {"source": {"a.cc": "1"}},
            {"source": {"a.cc": "2"}},
            {"source": {"a.cc": "1", "a.h": ""}},
            {"source": {"a.cc": "1"}, "buildProfile": "debug"},
            {"source": {"a.cc": "1"}, "buildProfile": "release"},
        )
    }
    assert len(commands) == 5


def test_the_compiler_options_are_those_of_the_ns3_found() -> None:
    harness = program(source={"a.cc": ""}, ns3Home=TREE)
    harness.host.answer("try /usr/local", LIBRARIES.replace("core", "core-optimized"))
    harness.deploy()
    (build,) = builds(harness)
    assert "-O3 -march=native" in build.command


def test_a_profile_that_the_ns3_does_not_have() -> None:
    harness = program(source={"a.cc": ""}, ns3Home=TREE, buildProfile="debug")
    harness.host.answer("try /usr/local", "")
    with pytest.raises(HostError, match="no ns-3 of build profile debug in /src/ns-3"):
        harness.deploy()
    assert "suffix='-debug' otherwise=''" in harness.host.commands[-1]


def test_a_compile_error_names_file_and_line() -> None:
    harness = program(source={"a.cc": "x"})
    harness.host.answer("tar -x", lambda _: _failed("a.cc:1:1: error: 'x' does not name a type\n"))
    with pytest.raises(HostError, match=r"a\.cc:1:1: error: 'x' does not name a type"):
        harness.deploy()
    assert harness.host.read("build.log").startswith(b"a.cc:1:1: error")


def _failed(text: str) -> Any:
    return Result(1, text.encode())


# --- Python


def test_a_program_in_python() -> None:
    harness = running(source={"sim.py": "import part", "part.py": ""}, arguments={"n": 1})
    assert harness.rm.command == "/usr/bin/python3 sim.py --n=1"
    assert harness.rm.version == "3.44.post0"
    assert harness.host.read("sim.py") == b"import part"
    assert harness.host.read("part.py") == b""


def test_python_without_ns3() -> None:
    harness = program(source={"sim.py": ""}, python="python3.9")
    lacking = "/usr/bin/python3.9 lacks cppyy\n"
    harness.host.answer("importlib.metadata", Result(1, b"", lacking.encode()))
    with pytest.raises(
        HostError, match=r"no Python with ns-3 on this host: .*python3\.9 lacks cppyy"
    ):
        harness.deploy()


# --- programs of the host


def test_a_program_by_its_path() -> None:
    harness = running(program="/opt/lab/sim", arguments={"n": 1})
    assert harness.rm.command == "/opt/lab/sim --n=1"
    assert "test -x /opt/lab/sim" in harness.host.commands
    script = running(program="/opt/lab/sim.py")
    assert script.rm.command == "/usr/bin/python3 /opt/lab/sim.py"
    missing = program(program="/opt/lab/sim")
    missing.host.answer("test -x", 1)
    with pytest.raises(HostError, match="no program /opt/lab/sim"):
        missing.deploy()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("first", "examples/tutorial/ns3.44-first-default"),
        ("tutorial/first.cc", "examples/tutorial/ns3.44-first-default"),
        ("scratch/lab/main", "scratch/lab/ns3.44-lab_main-default"),
    ],
)
def test_a_program_of_a_tree(name: str, path: str) -> None:
    harness = running(program=name, ns3Home=TREE, env="LD_LIBRARY_PATH=/own", arguments={"n": 1})
    assert harness.rm.command == f"{TREE}/build/{path} --n=1"
    assert harness.rm.version == "3.44"
    assert any(f"./ns3 build {name}" in command for command in harness.host.commands)
    assert harness.host.calls[-1].env == {
        "LD_LIBRARY_PATH": f"/own:{TREE}/build/lib",
        "PYTHONPATH": f"{TREE}/build/bindings/python",
    }


def test_what_is_wrong_with_a_tree() -> None:
    with pytest.raises(HostError, match="2 programs named main: "):
        program(program="main", ns3Home=TREE).deploy()
    with pytest.raises(HostError, match="no program second"):
        program(program="second", ns3Home=TREE).deploy()
    with pytest.raises(HostError, match="configured for the build profile default, not debug"):
        program(program="first", ns3Home=TREE, buildProfile="debug").deploy()
    with pytest.raises(HostError, match="/src is not a configured tree"):
        program(program="first", ns3Home="/src").deploy()
    broken = program(program="first", ns3Home=TREE)
    broken.host.answer("ns3 build", lambda _: _failed("first.cc:3:1: error: no\n"))
    with pytest.raises(HostError, match=r"cannot build first in /src/ns-3: first\.cc:3:1: error"):
        broken.deploy()


# --- how many run at the same time


def test_as_many_as_the_host_has_processors() -> None:
    folder = "/home/user/.nepiq/.usr/ns3/slots/fake"
    default = running(program="/bin/sim").host.calls[-1].command
    assert f"nepiq_slots={folder}\n" in default
    assert "for nepiq_number in 1 2; do" in default
    assert "in 1 2 3; do" in running(program="/bin/sim", perHost=3).host.calls[-1].command
    assert "flock" not in running(program="/bin/sim", perHost=0).host.calls[-1].command


# --- the script


class Host:
    """A run directory in which the script is run by sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots = folder / "slots"
        self.log = folder / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    def launch(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        script = launcher.script(["sh", "-c", command], slots=str(self.slots), **options)
        with (self.folder / "stderr").open("ab") as stderr:
            process = subprocess.Popen(
                ["sh", "-c", script], cwd=self.folder, stderr=stderr, start_new_session=True
            )
        self.started.append(process)
        return process

    def run(self, command: str, **options: Any) -> tuple[int, str]:
        (self.folder / "stderr").unlink(missing_ok=True)
        code = self.launch(command, **options).wait(30)
        text = (self.folder / "stderr").read_text(encoding="utf-8")
        return code, text.rstrip("\n").rpartition("\n")[2]

    def until(self, line: str, count: int = 1) -> None:
        end = time.monotonic() + 30
        while not self.log.exists() or self.log.read_text().split("\n").count(line) < count:
            assert time.monotonic() < end, f"no line {line!r}"
            time.sleep(0.01)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def host(tmp_path: Path) -> Any:
    made = Host(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            'msg="no route to 7", +1.000000000s -1 file=a.cc, line=12\nNS_FATAL, terminating',
            'nepiq: ns-3 aborted: msg="no route to 7", +1.000000000s -1 file=a.cc, line=12',
        ),
        (
            'assert failed. cond="n == 99", file=a.cc, line=16\n#0 main\n#1 start',
            'nepiq: ns-3 aborted: assert failed. cond="n == 99", file=a.cc, line=16',
        ),
        (
            'msg="one", file=a.cc, line=1\nNS_ASSERT failed, cond="x", msg="a\n  b", file=b, '
            "line=2",
            'nepiq: ns-3 aborted: NS_ASSERT failed, cond="x", msg="a b", file=b, line=2',
        ),
        (
            "terminate called after throwing an instance of 'E'\n  what():  thrown\n#0 main",
            "nepiq: ns-3 aborted: thrown",
        ),
    ],
)
def test_the_message_of_an_abort_is_the_last_line(host: Host, text: str, line: str) -> None:
    assert host.run(f"echo {shlex.quote(text)} >&2; kill -ABRT $$") == (134, line)


def test_long_messages_keep_their_beginning(host: Host) -> None:
    code, line = host.run(f"echo 'msg=\"{'x' * 300}\", line=1' >&2; kill -ABRT $$")
    assert code == 134
    assert line == f'nepiq: ns-3 aborted: msg="{"x" * 165}'


def test_other_ends_keep_their_code_and_stderr(host: Host) -> None:
    assert host.run("echo 'msg=\"a\", line=1' >&2; exit 3") == (3, 'msg="a", line=1')
    assert host.run("echo fine >&2") == (0, "fine")
    assert "nepiq" not in host.run("kill -SEGV $$")[1]


def test_the_time_limit(host: Host) -> None:
    assert host.run("sleep 60", stop_after=0.2) == (
        124,
        "nepiq: ended because it ran for 0.2 s (stopAfter)",
    )
    assert host.run("exit 3", stop_after=60)[0] == 3


@pytest.mark.needs("flock")
def test_no_more_than_the_slots_run(host: Host) -> None:
    command = "echo begin >>log; sleep 0.1; echo end >>log"
    started = [host.launch(command, count=2) for _ in range(8)]
    assert [process.wait(60) for process in started] == [0] * 8
    most = running_now = 0
    for line in host.log.read_text().split():
        running_now += 1 if line == "begin" else -1
        most = max(most, running_now)
    assert most == 2


@pytest.mark.needs("flock")
@pytest.mark.parametrize("first", ["end", "kill", "term"])
def test_whichever_slot_is_free_first_is_taken(host: Host, first: str) -> None:
    endless = "echo begin >>log; exec sleep 600"
    ends = f"echo begin >>log; while [ ! -e {first} ]; do sleep 0.02; done"
    host.launch(endless, count=2)
    host.until("begin")
    second = host.launch(ends if first == "end" else endless, count=2)
    host.until("begin", 2)
    third = host.launch("echo third >>log", count=2)
    fourth = host.launch("echo fourth >>log", count=2)
    _until_waiters(host, 2)
    assert "third" not in host.log.read_text()
    if first == "end":
        (host.folder / first).touch()
    else:
        os.killpg(second.pid, signal.SIGKILL if first == "kill" else signal.SIGTERM)
    assert third.wait(30) == fourth.wait(30) == 0
    host.until("third")
    host.until("fourth")
    _until_waiters(host, 0)


@pytest.mark.needs("flock")
def test_children_that_are_left_behind_hold_no_slot(host: Host) -> None:
    assert host.run("sleep 600 >/dev/null 2>&1 & echo $! >pid", count=1)[0] == 0
    assert host.run("true", count=1) == (0, "")
    os.kill(int((host.folder / "pid").read_text()), signal.SIGKILL)


@pytest.mark.needs("flock")
@pytest.mark.parametrize("count", [1, 2])
def test_a_stop_of_one_that_waits_passes_the_queue_on(host: Host, count: int) -> None:
    running = [
        host.launch(f"echo begin {number} >>log; exec sleep 600", count=count)
        for number in range(count)
    ]
    for number in range(count):
        host.until(f"begin {number}")
    waiting = host.launch("echo never >>log", count=count)
    if count > 1:  # with a single slot, nothing but flock waits
        _until_waiters(host, count)
    next_one = host.launch("echo next >>log", count=count)
    os.killpg(waiting.pid, signal.SIGTERM)
    assert waiting.wait(30) == -signal.SIGTERM
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert next_one.wait(30) == 0
    assert host.log.read_text().endswith("\nnext\n")
    assert "never" not in host.log.read_text()


def _until_waiters(host: Host, count: int) -> None:
    """Wait until that many processes wait for the lock of a slot."""
    end = time.monotonic() + 30
    wanted = f"flock\0-s\0{host.slots}/".encode()
    while True:
        found = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += wanted in path.read_bytes()
            except OSError:
                continue
        if found == count:
            return
        assert time.monotonic() < end, f"{found} processes wait, not {count}"
        time.sleep(0.02)


# --- further runs on a host


def searches(harness: Harness[Program]) -> list[str]:
    return [call.command for call in harness.host.calls if "try /usr/local" in call.command]


def test_a_later_run_looks_first_where_ns3_was_and_builds_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "ns3"
    for folder in ("include/ns3", "lib64"):
        (tree / folder).mkdir(parents=True)
    for file in ("include/ns3/core-module.h", "lib64/libns3.44-core.so"):
        (tree / file).touch()
    found = f"{tree}/include\n{tree}/lib64\nlibns3.44-core.so\n/bin/sh\n"

    def deployed(answer: str) -> Harness[Program]:
        monkeypatch.setattr(installation, "_memory", OrderedDict())  # that of one run
        harness = program(source={"a.cc": "int main() {}"}, python=str(tmp_path / "none"))
        harness.host.answer("try /usr/local", answer)
        harness.deploy()
        return harness

    first = deployed(found)
    assert "again" not in searches(first)[0].partition("try()")[2]
    assert len(builds(first)) == 1
    folder = first.rm.command.rpartition("/")[0]

    second = deployed(f"{found}{folder}\n")
    assert second.rm.command == first.rm.command
    assert builds(second) == []

    def printed() -> str:
        script = searches(second)[0].replace(folder, str(tmp_path / "built"))
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        return done.stdout

    assert printed() == found
    (tmp_path / "built").mkdir()
    (tmp_path / "built/ready").touch()
    assert printed() == f"{found}{tmp_path}/built\n"
    (tree / "lib64/libns3.44-core.so").unlink()
    assert str(tree) not in printed()
