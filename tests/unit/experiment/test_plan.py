"""What would run where, found out by rehearsing hooks."""

from __future__ import annotations

import pytest

from nepiq.controller import (
    Attribute,
    ConditionCycle,
    Connection,
    Context,
    InvalidValue,
    Later,
    ResourceManager,
)
from nepiq.controller.description.description import Description
from nepiq.controller.reports.plan.planner import PlannedResource, Planner
from nepiq.controller.reports.plan.text import text
from nepiq.controller.resources.linux.node import Node


class Router(ResourceManager, rtype="planned::Router"):
    """Asks its host, and acts on the answer."""

    name = Attribute(str, "r", help="Its name.")
    node = Connection(Node, required=True, help="Where it is.")

    def do_provision(self, context: Context) -> None:
        """Tell others something."""
        self.name = "chosen"

    def do_deploy(self, context: Context) -> None:
        """Read a number that the host would print."""
        context.host.write("config", b"12345", mode=0o600)
        int(context.host.run("vtysh -c 'show version'", mutates=False).text)

    def do_start(self, context: Context) -> Later:
        """Wait for something."""
        context.host.run(f"start {context.run_dir}", sudo=True)
        return Later("2s")


class User(ResourceManager, rtype="planned::User"):
    """Uses what its router reports."""

    router = Connection(Router, required=True, waits=True, help="What it uses.")

    def do_deploy(self, context: Context) -> None:
        """Name it."""
        context.host.run(f"use {self.router.name}")


@pytest.fixture
def described() -> Description:
    made = Description("lab")
    made.add("linux::Node", 1, "gw", hostname="gw.example.org", username="me")
    made.add("linux::Node", 2, "fit", hostname="fit01", gateway="me@gw.example.org", site="lab")
    made.add(
        "linux::Application", 3, "app", command="run ${RUN_HOME}/x", sudo=True, env="A=1", stdin="x"
    )
    made.connect("app", "fit")
    return made


def planned(description: Description) -> dict[str, PlannedResource]:
    return {item.label: item for item in Planner(description).plan().resources}


def test_where(described: Description) -> None:
    plan = planned(described)
    assert plan["gw"].where == "me@gw.example.org, by the workers of site default"
    assert plan["fit"].where == "fit01 via me@gw.example.org, by the workers of site lab"
    assert (plan["app"].where, plan["app"].host) == ("fit", 2)


def test_the_exact_command(described: Description) -> None:
    (start,) = [step for step in planned(described)["app"].steps if step.action == "start"]
    (call,) = start.calls
    assert (call.verb, call.env, call.stdin) == ("supervise", {"A": "1"}, b"x")
    assert call.command == 'export RUN_HOME="$PWD"; run ${RUN_HOME}/x'
    told = text(Planner(described).plan())
    assert '$ export RUN_HOME="$PWD"; run ${RUN_HOME}/x' in told
    for note in ("(as root)", "(with A=1)", "(reads 1 B)"):
        assert note in told


def test_hooks_that_want_answers(described: Description) -> None:
    described.add("planned::Router", 4, "router")
    described.connect("router", "fit")
    described.add("planned::User", 5, "user")
    described.connect("user", "router")
    plan = planned(described)
    deploy, start = plan["router"].steps
    assert [call.verb for call in deploy.calls] == ["write", "run"]
    assert deploy.open.startswith("do_deploy needs an answer: invalid literal for int()")
    assert start.calls[0].command == "start ~/.nepiq/RUN/2/4/1"
    assert start.open == "do_start runs again after 2 s"
    (used,) = plan["user"].steps
    assert used.calls[0].command == "use chosen"
    told = text(Planner(described).plan())
    assert "deploy   write config, 5 B\n" in told
    assert "(read-only; further steps depend on the answer)" in told
    assert "(more may follow: do_start runs again after 2 s)" in told
    assert described.get("router", "name") == "r"


def test_conditions_and_later_deployments(described: Description) -> None:
    described.add("linux::Application", 6, "next", command="true")
    described.connect("next", "gw")
    described.condition("next", "START", ["app"], "STARTED", "1500ms")
    described.condition("next", "STOP", ["app", "gw"], "STOPPED")
    planner = Planner(described)
    first = planner.plan([1, 2, 3], together=False)
    assert [item.guid for item in first.resources] == [1, 2, 3]
    second = planner.plan()
    (item,) = second.resources
    steps = {step.action: step for step in item.steps}
    assert steps["start"].when == ["app STARTED + 1.5 s"]
    assert steps["stop"].when == ["app, gw STOPPED"]
    assert [call.verb for call in steps["stop"].calls] == ["end"]
    assert "next (linux::Application) on gw" in text(second)
    assert planner.plan().resources == []


def test_long_looks_are_shortened(described: Description) -> None:
    described.set("app", "depends", "iperf3")
    told = text(Planner(described).plan())
    assert "deploy   $ set -- iperf3\n" in told
    assert "more lines, see --json" in told


def test_what_deploy_would_refuse(described: Description) -> None:
    described.condition("app", "DEPLOY", ["app"], "READY")
    with pytest.raises(ConditionCycle):
        Planner(described).plan()
    alone = Description("alone")
    alone.add("linux::Application", 1, "app", command="true")
    with pytest.raises(InvalidValue, match="connection 'node'"):
        Planner(alone).plan()


def test_how_an_application_ends_is_shown() -> None:
    made = Description("life")
    made.add("linux::Node", 1, "node")
    attributes = {"timeout": "5m", "stopSignal": "INT", "restart": "on-failure"}
    made.add("linux::Application", 2, "app", command="run", tearDown="undo", **attributes)
    made.connect(2, 1)
    shown = text(Planner(made).plan())
    for line in (
        "(ended after 5 min 0 s)",
        "(stopped by INT)",
        "(restarted after a failure, 10 times)",
        "$ undo",
        "(unless the start failed)",
    ):
        assert line in shown
