"""linux::Node and linux::Application."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import (
    CommandError,
    FencedError,
    HostError,
    InvalidValue,
    NotAllowed,
    StartTimeout,
)
from nepiq.controller.model import Action, Context, Exit, Life, Login, State
from nepiq.controller.resources.linux.application import Application
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.linux.tags import resolve
from nepiq.controller.testing import Harness


def application(node: Harness[Any] | None = None, **settings: Any) -> Harness[Application]:
    return Harness(Application, node=node or Harness(Node), **settings)


def running(**settings: Any) -> Harness[Application]:
    app = application(**settings)
    app.deploy()
    app.start()
    return app


# --- the node


def test_a_node_prepares_its_host_and_reports_facts() -> None:
    node = Harness(Node, cleanExperiment=True)
    node.deploy()
    assert node.host.calls[0].verb == "prepare"
    assert node.host.calls[0].options == {
        "clean_experiment": True,
        "clean_processes": False,
        "clean_home": False,
        "mode": 0o700,
    }
    rm = node.rm
    assert (rm.system, rm.cpus, rm.user) == ("Linux 6.1.0", 2, "user")
    assert rm.addresses == "10.0.0.1"
    assert (rm.kernel, rm.arch, rm.memory) == ("6.1.0", "x86_64", 4 << 30)
    assert rm.interfaces == {
        "eth0": {
            "state": "up",
            "mac": "02:00:00:00:00:01",
            "mtu": 1500,
            "addresses": ["10.0.0.1/24"],
        }
    }
    assert rm.qdiscs == "fq_codel netem pfifo_fast tbf"
    assert rm.linkKinds == "bridge dummy veth"
    assert (rm.clockOffset, rm.clockError) == (0.0, 0.001)
    node.start()
    assert node.state is State.STARTED
    assert len(node.host.calls) == 1


def test_a_node_tells_unknown_from_none() -> None:
    node = Harness(Node)
    node.host.facts = replace(
        node.host.facts, qdiscs=None, link_kinds=(), clock_offset=None, clock_error=None
    )
    node.deploy()
    rm = node.rm
    assert (rm.qdiscs, rm.linkKinds, rm.clockOffset) == ("unknown", "", None)


@pytest.mark.parametrize("hard", [False, True])
def test_a_node_leaves_files_unless_told_otherwise(hard: bool) -> None:
    node = Harness(Node, hardRelease=hard)
    node.deploy()
    node.release()
    assert (node.host.calls[-1].verb, node.host.calls[-1].options) == (
        "dismantle",
        {"remove": hard},
    )
    with pytest.raises(FencedError):
        node.host.run("touch x")


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
def test_this_machine(hostname: str) -> None:
    node = Node.load(guid=1, attributes={"hostname": hostname, "site": "lab"})
    assert node.placement()._asdict().items() >= {"site": "lab", "local": True, "limit": 8}.items()


def test_which_hosts_are_the_worker_machine() -> None:
    def local(**attributes: Any) -> bool:
        return Node.load(guid=1, attributes=attributes).placement().local

    assert local()
    assert local(hostname="127.0.0.1", username="somebody")
    assert not local(hostname="localhost", port=2222)
    assert not local(hostname="fit01")


def test_the_login_of_a_node() -> None:
    plain = Node.load(guid=1, attributes={"hostname": "fit01"}).login()
    assert plain == Login("fit01")
    given = {
        "hostname": "fit01",
        "username": "root",
        "port": 2222,
        "identity": "/keys/a",
        "gateway": "outer,me@[fe80::1]:22",
        "gatewayUser": "slice",
        "connectTimeout": "3s",
        "strictHostKeyChecking": "accept-new",
    }
    login = Node.load(guid=1, attributes=given).login()
    assert str(login) == "root@fit01:2222"
    assert login.accept_new
    assert login.connect_timeout == 3.0
    inner = login.gateway
    assert inner is not None
    assert (str(inner), inner.identity, inner.connect_timeout) == (
        "me@[fe80::1]:22",
        "/keys/a",
        3.0,
    )
    assert str(inner.gateway) == "slice@outer"
    secrets = {"password": "env:LAB", "gatewayPassword": "file:/etc/gateway"}
    by_password = Node.load(guid=1, attributes={**given, **secrets}).login()
    assert by_password.password == "env:LAB"
    hop = by_password.gateway
    while hop is not None:
        assert hop.password == "file:/etc/gateway"
        hop = hop.gateway
    assert login.password == inner.password == ""
    straight = Node.load(guid=1, attributes={"hostname": "fit01", "gateway": "none"}).login()
    assert straight.direct
    assert straight.gateway is None


@pytest.mark.parametrize("text", ["", "-oProxyCommand=x", "a b", "a,b", "user@host", "a/b"])
def test_odd_names_of_hosts(text: str) -> None:
    with pytest.raises(InvalidValue, match="hostname"):
        Description().add("linux::Node", hostname=text)


@pytest.mark.parametrize("name", ["password", "gatewayPassword", "sudoPassword"])
def test_a_password_itself_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidValue, match="env:NAME or file:PATH") as caught:
        Description().add("linux::Node", **{name: "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", [",", "a,", "@a", "a:x", "a:0", "a b", "[::1", "-o"])
def test_odd_gateways(text: str) -> None:
    with pytest.raises(InvalidValue, match="gateway"):
        Description().add("linux::Node", gateway=text)


@pytest.mark.parametrize(
    "settings", [{"site": "a/b"}, {"home": "here"}, {"env": "A"}, {"maxSteps": 0}]
)
def test_odd_nodes(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        Description().add("linux::Node", **settings)
    with pytest.raises(NotAllowed):
        Description().add("linux::Node", cpus=4)


# --- the application


def test_an_application_is_one_call_of_its_host() -> None:
    app = running(
        command="iperf3 -s",
        stdin="hello\n",
        env={"B": "own", "C": 3},
        node=Harness(Node, env="A=node B=node"),
        okExitCodes="0,3",
        startedWhen="port:5201",
        startTimeout="5s",
        sudo=True,
    )
    assert app.state is State.STARTED
    call = app.host.calls[-1]
    assert [call.verb for call in app.host.calls] == ["prepare", "supervise"]
    assert (call.command, call.stdin) == ("iperf3 -s", b"hello\n")
    assert call.env == {"A": "node", "B": "own", "C": "3"}
    assert call.options == {
        "ok_exit_codes": (0, 3),
        "started_when": "port:5201",
        "start_timeout": 5.0,
        "sudo": True,
    }


def test_any_exit_code() -> None:
    app = running(command="grep x", okExitCodes="any")
    assert app.host.calls[-1].options["ok_exit_codes"] is None
    assert app.exit(1).outcome == "FINISHED"


def test_its_end_is_noticed() -> None:
    app = running(command="ping -c1 h")
    app.exit(0, stdout=b"1 received\n")
    assert (app.state, app.rm.exitCode) == (State.FINISHED, 0)
    assert app.host.read("stdout") == b"1 received\n"


def test_a_bad_end_fails_it() -> None:
    app = running(command="ping -c1 h")
    app.exit(2)
    assert (app.state, app.rm.exitCode) == (State.FAILED, 2)


def test_an_end_before_the_start_was_committed() -> None:
    app = application(command="true")
    app.host.answer("true", 0)
    app.deploy()
    app.start()
    assert app.state is State.FINISHED
    assert State.STARTED in app.milestones


def test_without_a_command_it_is_finished_at_once() -> None:
    app = running()
    assert app.state is State.FINISHED
    assert app.host.commands == []


def test_stopping() -> None:
    app = running(command="sleep 100")
    app.stop()
    assert app.state is State.STOPPED
    assert app.host.calls[-1].verb == "end"


def test_starting_again_is_a_new_occasion() -> None:
    app = running(command="sleep 100")
    first = app.host.run_dir
    app.stop()
    app.start()
    assert app.state is State.STARTED
    assert app.host.run_dir != first
    assert app.host.commands == ["sleep 100", "sleep 100"]


def test_releasing() -> None:
    app = running(command="sleep 100")
    app.release()
    assert [call.verb for call in app.host.calls[-1:]] == ["clear"]
    hard = running(command="sleep 100", hardRelease=True)
    hard.release()
    assert hard.host.commands[-1] == f"rm -rf -- {hard.host.run_dir}"
    assert hard.host.calls[-1].options["sudo"] is False
    roots = running(command="sleep 100", hardRelease=True, sudo=True)
    roots.release()
    assert roots.host.calls[-1].options["sudo"] is True


def test_a_password_is_no_reference_to_one() -> None:
    with pytest.raises(InvalidValue, match="sudoPassword cannot be the value given") as caught:
        Harness(Node, sudoPassword="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_start_that_takes_too_long() -> None:
    app = application(command="serve", startedWhen="file:ready")
    app.host.answer("serve", StartTimeout("not ready"))
    app.deploy()
    with pytest.raises(StartTimeout):
        app.start()
    assert app.state is State.FAILED


def test_the_start_timeout_adds_to_the_deadline() -> None:
    app = application(command="serve", startTimeout="10m")
    assert app.rm.deadline_for(Action.START) == 660.0
    assert app.rm.deadline_for(Action.STOP) == 60.0


@pytest.mark.parametrize(
    "settings",
    [
        {"startedWhen": "3333"},
        {"okExitCodes": "none"},
        {"startTimeout": "5"},
        {"env": "no assignment"},
        {"command": ["ls"]},
        {"depends": "bash -y"},
        {"depends": "$(reboot)"},
        {"depends": {"bash": 1}},
    ],
)
def test_odd_applications(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        application(**settings)


def test_the_exit_code_is_reported_only() -> None:
    with pytest.raises(NotAllowed):
        application(exitCode=0)
    assert Exit(0, "FINISHED") == Exit(0, "FINISHED", 0.0, "", {})


# --- packages


def test_packages_are_looked_for_only_if_there_are_any() -> None:
    assert running(command="true").host.commands == ["true"]
    app = running(command="true", depends="a,b  c;a")
    looked, started = app.host.calls[-2:]
    assert looked.command.startswith("set -- a b c\n")
    assert looked.options["mutates"] is False
    assert started.verb == "supervise"


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "yum"])
def test_missing_packages_are_installed_as_root(manager: str) -> None:
    app = application(command="true", depends="a b")
    app.host.answer("^set --", f"{manager}\nb\n")
    app.deploy()
    call = app.host.calls[-1]
    assert manager in call.command
    assert call.command.count("install b") >= 1
    assert call.options["sudo"] is True


def test_packages_that_cannot_be_installed() -> None:
    app = application(command="true", depends="b")
    app.host.answer("^set --", "apt-get\nb\n")
    app.host.answer("install b", CommandError("x", 100, "one\nE: Unable to locate package b\n"))
    with pytest.raises(
        HostError, match=r"apt-get cannot install b .exit code 100.: one \| E: Unable"
    ):
        app.deploy()


def test_a_host_without_a_package_manager() -> None:
    app = application(command="true", depends="b")
    app.host.answer("^set --", "none\n")
    with pytest.raises(HostError, match="neither apt-get nor rpm"):
        app.deploy()


# --- places and the end


def test_a_command_that_mentions_no_place_stays_as_it_is() -> None:
    assert resolve("echo $RUN ${HOME}", {"A": "$B"}) == ("echo $RUN ${HOME}", {"A": "$B"})


def test_places_are_set_where_they_are_mentioned() -> None:
    command, env = resolve("${BIN}/x", {"A": "a b:${RUN_HOME}:$C`", "D": "$C"})
    exported, made, variable, rest = command.split("; ")
    assert exported == 'export RUN_HOME="$PWD" BIN="${PWD%/*/*/*/*}/.usr/bin"'
    assert made == 'mkdir -p "$BIN" || exit'
    assert variable == """export A='a b:'"${RUN_HOME}":"$C"'`'"""
    assert (rest, env) == ("${BIN}/x", {"D": "$C"})


def test_the_life_of_an_application() -> None:
    settings: dict[str, Any] = {"timeout": "90s", "stopSignal": "sigint", "grace": "2s"}
    settings |= {"restart": "on-failure", "restartLimit": 3, "restartDelay": "500ms"}
    app = running(command="tcpdump", **settings)
    life = Life(90.0, "INT", 2.0, "on-failure", 3, 0.5)
    assert app.host.calls[-1].options["life"] == life
    app.stop()
    assert app.host.calls[-1].options["grace"] == 2.0
    app.release()
    assert app.host.calls[-1].options["grace"] == 2.0


def test_the_usual_grace() -> None:
    app = running(command="sleep 100")
    app.stop()
    assert app.host.calls[-1].options["grace"] == 10.0
    app.release()
    assert app.host.calls[-1].options["grace"] == 5.0
    assert app.rm.deadline_for(Action.STOP) == 60.0
    assert application(command="x", grace="5m").rm.deadline_for(Action.STOP) == 360.0


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": "soon"},
        {"stopSignal": "STOP"},
        {"stopSignal": 9},
        {"restart": "sometimes"},
        {"restartLimit": -1},
        {"grace": -1},
    ],
)
def test_odd_lives(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        application(**settings)


def test_nothing_is_undone_that_was_not_done() -> None:
    app = running(command="ip netns add lab", tearDown="ip netns del lab")
    app.exit(1)
    app.release()
    assert "ip netns del lab" not in app.host.commands
    always = running(command="ip netns add lab", tearDown="ip netns del lab", tearDownAlways=True)
    always.exit(1)
    always.release()
    assert always.host.commands[-1] == "ip netns del lab"
    never = application(command="ip netns add lab", tearDown="ip netns del lab")
    never.deploy()
    never.release()
    assert never.host.commands == []


def test_an_application_without_a_command_is_torn_down() -> None:
    app = running(tearDown="rm -f left")
    app.release()
    assert app.host.commands == ["rm -f left"]
    assert app.host.calls[-1].env == {"NEPIQ_STARTED": "1"}


def test_a_node_whose_deployment_failed_is_not_torn_down() -> None:
    class Broken(Node, rtype="test::Broken"):
        def do_deploy(self, context: Context) -> None:
            """Prepare, and fail."""
            super().do_deploy(context)
            raise HostError("broken")

    for always, commands in ((False, []), (True, ["halt"])):
        node = Harness(Broken, tearDown="halt", tearDownAlways=always)
        with pytest.raises(HostError):
            node.deploy()
        node.release()
        assert node.host.commands == commands
    assert node.host.calls[-2].env == {"NEPIQ_STARTED": ""}


def test_tearing_down() -> None:
    app = running(command="sleep 100", tearDown="ip link del tap0", hardRelease=True, sudo=True)
    app.host.answer("ip link", 1)
    app.release()
    verbs = [(call.verb, call.command) for call in app.host.calls[-3:]]
    assert verbs == [
        ("clear", ""),
        ("run", "ip link del tap0"),
        ("run", f"rm -rf -- {app.host.run_dir}"),
    ]
    assert app.host.calls[-2].options["sudo"] is True
    assert (app.state, len(app.errors)) == (State.RELEASED, 1)


def test_a_node_is_torn_down_once() -> None:
    node = Harness(Node, tearDown="halt")
    node.deploy()
    node.release()
    assert [call.verb for call in node.host.calls[-2:]] == ["run", "dismantle"]
    again = Harness(Node, tearDown="halt")
    again.deploy()
    again.host.fenced = True  # an earlier attempt has come to the end
    again.release()
    assert again.errors == []
    assert again.host.calls[-1].verb == "dismantle"


def test_what_scripts_of_nepi_set_in_vain() -> None:
    node = Harness(Node, cleanProcessesAfter=False, cleanHome=True)
    node.deploy()
    assert node.host.calls[0].options["clean_home"] is True
    assert running(command="true", splitStderr=True, node=node).state is State.STARTED
