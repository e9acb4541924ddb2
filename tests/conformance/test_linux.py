"""Cases 24, 28, 29, 31, 32 and 35: commands on this machine, and the machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import processes
from tests.conformance.conftest import Make
from tests.net import free_port

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, TraceAttr

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


def application(ec: ExperimentController, node: int, command: str, **options: object) -> int:
    return ec.register_resource("linux::Application", command=command, connectedTo=node, **options)


def test_case_24_deployed_as_it_is_registered(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node", autoDeploy=True)
    app = application(ec, node, "echo at once", autoDeploy=True)
    assert ec.wait_finished(app, timeout=30)
    assert ec.trace(app, "stdout") == "at once\n"


def test_case_28_stdout(ec: ExperimentController) -> None:
    node = ec.register_resource("LinuxNode")
    app = application(ec, node, "echo 'HOLA'")
    ec.deploy()
    assert ec.wait_finished(app, timeout=30)
    assert ec.state(node) is ResourceState.STARTED
    assert ec.state(app) is ResourceState.FINISHED
    assert ec.trace(app, "stdout").strip() == "HOLA"
    assert {trace.name for trace in ec.get_traces(app)} >= {"stdout", "stderr"}
    assert ec.trace_enabled(app, "stdout")


def assert_traces(ec: ExperimentController, app: int) -> None:
    """What case 29 demands of the output of a ping."""
    text = ec.trace(app, "stdout")
    assert "5 packets transmitted, 5 received" in text
    assert ec.trace(app, "stdout", TraceAttr.SIZE) == len(text)
    assert ec.trace(app, "stdout", TraceAttr.STREAM, block=5, offset=1) == text[5:10]
    assert ec.trace(app, "stdout", TraceAttr.PATH).endswith(f"/{app}/1/stdout")


@pytest.mark.needs("ping")
def test_case_29_ping(ec: ExperimentController) -> None:
    node = ec.register_resource("LinuxNode")
    app = application(ec, node, "ping -c5 -i0.2 127.0.0.1; pwd")
    ec.deploy()
    assert ec.wait_finished(app, timeout=30)
    assert ec.state(app) is ResourceState.FINISHED
    assert_traces(ec, app)
    run_home = ec.trace(app, "stdout").splitlines()[-1]
    path = ec.trace(app, "stdout", TraceAttr.PATH)
    assert path.startswith("~/.nepiq/")
    assert f"{run_home}/stdout".endswith(path.removeprefix("~"))


@pytest.mark.needs("ping")
def test_case_31_fifty_at_the_same_time(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    apps = [application(ec, node, "ping -c5 -i0.2 127.0.0.1") for _ in range(50)]
    ec.deploy()
    assert ec.wait_finished(apps, timeout=60)
    assert {ec.state(app) for app in apps} == {ResourceState.FINISHED}
    for app in apps:
        assert_traces(ec, app)


@pytest.mark.needs("nc")
def test_case_32_a_client_after_its_server(ec: ExperimentController) -> None:
    port = free_port()
    node = ec.register_resource("linux::Node")
    server = application(ec, node, f"echo 'HOLA' | nc -N -l {port}", startedWhen=f"port:{port}")
    client = application(ec, node, f"nc 127.0.0.1 {port}")
    ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED)
    ec.deploy()
    assert ec.wait_finished([server, client], timeout=30), ec.failures
    assert ec.trace(client, "stdout") == "HOLA\n"
    assert {ec.state(server), ec.state(client)} == {ResourceState.FINISHED}
    assert ec.get_start_time(client) >= ec.get_start_time(server)


def test_case_35_processes_and_their_status(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    runs = application(ec, node, "exec sleep 300")
    ends = application(ec, node, "echo fine")
    wrong = application(ec, node, "no-such-command-here", critical=False)
    ec.deploy()
    assert ec.wait_finished([ends, wrong], timeout=30)
    assert ec.wait_started(runs, timeout=30)
    assert (ec.state(ends), ec.get(ends, "exitCode")) == (ResourceState.FINISHED, 0)
    # An unknown command: the exit code of sh, and what it said.
    assert (ec.state(wrong), ec.get(wrong, "exitCode")) == (ResourceState.FAILED, 127)
    assert "not found" in ec.trace(wrong, "stderr")
    assert "not found" in str(ec.failures[0])
    # One that still runs: no exit code, no error, and a process that a stop ends.
    assert (ec.state(runs), ec.get(runs, "exitCode")) == (ResourceState.STARTED, None)
    assert ec.trace(runs, "stderr") == ""
    assert len(commands_of(ec, runs)) == 1
    ec.stop(runs)
    assert ec.state(runs) is ResourceState.STOPPED
    assert commands_of(ec, runs) == []


def commands_of(ec: ExperimentController, app: int) -> list[str]:
    """Command lines of the living processes of an application."""
    found = processes.identities(f"{ec.run_id}.{app}.")
    lines = [processes.command(pid) for pid in found]
    return [line for line in lines if line.startswith("sleep ")]


def test_case_35_files_there_and_back(ec: ExperimentController, tmp_path: Path) -> None:
    node = ec.register_resource("linux::Node")
    app = application(ec, node, "tr a-z A-Z <in >out")
    content = "".join(f"line {number}\n" for number in range(10_000))
    (tmp_path / "in").write_text(content)
    arrived = ec.register_resource("nepiq::Null")
    ec.register_condition(app, ResourceAction.START, arrived, ResourceState.STARTED)
    ec.deploy([node, app])
    assert ec.wait_deployed(app, timeout=30)
    ec.upload(app, tmp_path / "in")
    ec.deploy(arrived)
    assert ec.wait_finished(app, timeout=30)
    ec.download(app, "out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == content.upper()
    ec.download(app, "in", tmp_path / "back")
    assert (tmp_path / "back").read_text() == content


def test_case_35_cleaning(make: Make, tmp_path: Path) -> None:
    """cleanExperiment keeps what runs share, cleanHome does not. Packages are in test_ported."""
    base = tmp_path / ".nepiq"

    def run(exp_id: str, **clean: bool) -> str:
        ec = make(exp_id)
        node = ec.register_resource("linux::Node", home=str(tmp_path), **clean)
        app = application(ec, node, "touch ${SHARE}/shared")
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
        ec.shutdown()
        return ec.run_id

    def left() -> set[str]:
        return {path.parent.parent.name for path in base.glob("*/*/exp")}

    first, other = run("first"), run("other")
    assert left() == {first, other}
    again = run("first", cleanExperiment=True)
    assert left() == {other, again}
    assert (base / ".usr/share/shared").exists()
    (base / ".usr/share/mark").touch()
    last = run("last", cleanHome=True)
    assert left() == {last}
    assert not (base / ".usr/share/mark").exists()


def test_d11_a_stop_on_this_machine(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    app = application(ec, node, "sleep 300")
    ec.deploy()
    assert ec.wait_started(app, timeout=30)
    ec.stop(app)
    assert ec.state(app) is ResourceState.STOPPED


def test_d12_the_command_of_this_run(make: Make) -> None:
    for word in ("A", "B"):
        ec = make("again")
        node = ec.register_resource("linux::Node")
        app = application(ec, node, f"echo {word}")
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
        assert ec.trace(app, "stdout") == f"{word}\n"


def test_d14_a_command_that_fails(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    app = application(ec, node, "echo why >&2; exit 3", critical=False)
    ec.deploy()
    assert ec.wait_finished(app, timeout=30)
    assert ec.state(app) is ResourceState.FAILED
    assert ec.get(app, "exitCode") == 3
    assert "why" in str(ec.failures[0])
