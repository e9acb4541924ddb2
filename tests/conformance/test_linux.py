"""Cases 24, 28, 29, 31 and 32: commands on this machine."""

from __future__ import annotations

import pytest
from tests.conformance.conftest import Make

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, TraceAttr

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

SERVER = """
import socket
s = socket.create_server(("127.0.0.1", 0))
open("port", "w").write(str(s.getsockname()[1]))
c, _ = s.accept()
c.sendall(b"HOLA\\n")
"""

CLIENT = """
import socket, sys
address = ("127.0.0.1", int(open(sys.argv[1]).read()))
print(socket.create_connection(address).recv(9).decode(), end="")
"""


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


def test_cases_29_and_31_traces_of_many(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    apps = [application(ec, node, f"for i in 1 2 3 4 5; do echo {n} $i; done") for n in range(50)]
    ec.deploy()
    assert ec.wait_finished(apps, timeout=60)
    for number, app in enumerate(apps):
        text = ec.trace(app, "stdout")
        assert text == "".join(f"{number} {i}\n" for i in range(1, 6))
        assert ec.trace(app, "stdout", TraceAttr.SIZE) == len(text)
    block = ec.trace(apps[0], "stdout", TraceAttr.STREAM, block=5, offset=1)
    assert block == ec.trace(apps[0], "stdout")[5:10]
    assert ec.trace(apps[0], "stdout", TraceAttr.PATH).endswith("/stdout")


def test_case_32_a_client_after_its_server(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    server = application(
        ec, node, f"python3 -c '{SERVER}'", label="server", startedWhen="file:port"
    )
    client = application(ec, node, f"python3 -c '{CLIENT}' ../../{server}/1/port")
    ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED)
    ec.deploy()
    assert ec.wait_started(server, timeout=30)
    assert ec.wait_finished([server, client], timeout=30), ec.failures
    assert ec.trace(client, "stdout") == "HOLA\n"


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
