"""Describing an experiment."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.errors import (
    ConditionCycle,
    InvalidValue,
    NotAllowed,
    UnknownAttribute,
    UnknownResource,
    UnknownType,
)
from nepiq.controller.model import (
    Action,
    Attribute,
    Condition,
    Connection,
    Description,
    Flag,
    ResourceManager,
    State,
)

START, STOP = Action.START, Action.STOP


class Switch(ResourceManager, rtype="test.description::Switch"):
    """Many ports; says nothing about order."""

    does_io = False
    ports = Connection("test.description::Port", many=True)
    region = Attribute(str, "eu", help="A region.", flags=Flag.GLOBAL)
    secret = Attribute(str, help="A path.", flags=Flag.NO_READ)


class Port(ResourceManager, rtype="test.description::Port"):
    speed = Attribute(int, required=True, help="A speed.")
    node = Connection("LinuxNode", required=True)
    switch = Connection(Switch)


class FastPort(Port, rtype="test.description::FastPort"):
    speed = Attribute(int, 10, help="A speed.")


class Cable(ResourceManager, rtype="test.description::Cable"):
    """Acts on the host of its left end."""

    left = Connection(Port, required=True)
    right = Connection(Port, required=True)


class Peer(ResourceManager, rtype="test.description::Peer"):
    other = Connection("test.description::Peer")


class Child(ResourceManager, rtype="test.description::Child"):
    parent = Connection("test.description::Child", waits=True)


@pytest.fixture
def d() -> Description:
    return Description("test")


def null(d: Description, **settings: Any) -> int:
    return d.add("nepiq::Null", **settings)


# --- guids and labels


def test_guids_count_on_from_the_highest(d: Description) -> None:
    assert [null(d, guid=10), null(d), null(d, guid=5), null(d)] == [10, 11, 5, 12]
    assert list(d) == [10, 11, 5, 12]
    assert len(d) == 4


@pytest.mark.parametrize("guid", [0, -1, True, 1.0, "1", 2**53])
def test_odd_guids(d: Description, guid: Any) -> None:
    with pytest.raises(InvalidValue, match="cannot be a guid"):
        null(d, guid=guid)


def test_taken_guids_and_labels(d: Description) -> None:
    null(d, guid=3, label="a")
    with pytest.raises(InvalidValue, match="guid 3 is taken by a"):
        null(d, guid=3)
    with pytest.raises(InvalidValue, match="label 'a' is taken by guid 3"):
        null(d, label="a")


def test_labels(d: Description) -> None:
    assert d.label(d.add("linux::Application")) == "application-1"
    assert d.label(null(d, label="null-3")) == "null-3"
    assert d.label(null(d)) == "null-3-2"
    assert d.label(d.add("LinuxNode")) == "node-4"


@pytest.mark.parametrize("label", ["", "a b", "a/b", "x" * 64, "ü", "-a", "..", "17", "a;b", 5])
def test_odd_labels(d: Description, label: Any) -> None:
    with pytest.raises(InvalidValue, match="label"):
        null(d, label=label)
    assert len(d) == 0


def test_odd_experiment_names() -> None:
    with pytest.raises(InvalidValue, match="exp_id"):
        Description("my experiment")


@given(st.text())
def test_a_label_is_safe_or_refused(label: str) -> None:
    d = Description("x")
    try:
        guid = null(d, label=label)
    except InvalidValue:
        return
    assert d.resolve(label) == guid
    assert 0 < len(label) < 64
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_resolving(d: Description) -> None:
    a, b = null(d, label="alpha"), null(d)
    assert d.resolve("alpha") == d.resolve(a) == d.resolve(str(a)) == a
    assert d.resolve_all(["alpha", a, b]) == [a, b]
    assert d.resolve_all(None) == [a, b]
    assert d.resolve_all("alpha") == [a]
    assert d.resolve_all([]) == []
    assert "alpha" in d
    assert b in d
    assert 99 not in d
    with pytest.raises(UnknownResource, match=r"'alhpa'.*did you mean 'alpha'"):
        d.resolve("alhpa")
    for unknown in (99, True, "99", None, 1.0):
        with pytest.raises(KeyError):
            d.resolve(unknown)  # type: ignore[arg-type]


def test_nothing_is_added_if_anything_is_wrong(d: Description) -> None:
    with pytest.raises(UnknownType):
        d.add("linux::Nod")
    with pytest.raises(UnknownAttribute, match=r"'comand'.*did you mean 'command'"):
        d.add("linux::Application", comand="ls")
    with pytest.raises(InvalidValue):
        d.add("linux::Application", command=5)
    with pytest.raises(NotAllowed, match="reports it"):
        d.add("linux::Application", exitCode=0)
    with pytest.raises(UnknownResource):
        d.add("linux::Application", node="nowhere")
    with pytest.raises(NotAllowed):
        d.add("linux::Application", node=null(d))
    assert [d.label(guid) for guid in d] == ["null-1"]


def test_removing(d: Description) -> None:
    node = d.add("linux::Node")
    a, b = (d.add("linux::Application", node=node) for _ in range(2))
    d.condition(a, START, b, State.STARTED)
    d.condition(b, START, a, State.STARTED)
    d.remove(a)
    assert list(d) == [node, b]
    assert d.conditions() == []
    assert d.condition(b, START, node, State.STARTED)
    d.remove("node-1")
    assert d.host_of(b) is None
    assert d.spec(b)["peers"] == {}
    with pytest.raises(UnknownResource):
        d.remove(a)


def test_types(d: Description) -> None:
    a = null(d)
    d.add("nepiq::Sleep")
    assert d.of_type("nepiq::Null") == [a]
    with pytest.raises(UnknownType):
        d.of_type("nepiq::Nul")


# --- attributes


def test_get_and_set(d: Description) -> None:
    app = d.add("linux::Application", command="ls", startTimeout="1m")
    assert d.get(app, "command") == "ls"
    assert d.get(app, "startTimeout") == "1m"
    assert d.get(app, "stdin") == ""
    assert d.set(app, "stdin", "x") == "x"
    assert d.spec(app)["attrs"] == {"command": "ls", "startTimeout": "1m", "stdin": "x"}
    d.set(app, "startTimeout", None)
    d.set(app, "stdin", "")
    assert d.spec(app)["attrs"] == {"command": "ls"}
    with pytest.raises(UnknownAttribute):
        d.get(app, "comand")
    with pytest.raises(InvalidValue):
        d.set(app, "critical", "yes")


def test_flags_are_enforced(d: Description) -> None:
    app, switch = d.add("linux::Application"), d.add("test.description::Switch")
    assert d.checked(app, "hardRelease", True, deployed=True) is True
    assert d.get(app, "hardRelease") is False
    d.set(app, "hardRelease", True, deployed=True)
    with pytest.raises(NotAllowed, match=r"application-1: attribute 'command' .* before deploy"):
        d.set(app, "command", "ls", deployed=True)
    with pytest.raises(NotAllowed):
        d.set(app, "exitCode", 1)
    with pytest.raises(NotAllowed, match="cannot be read"):
        d.get(switch, "secret")
    with pytest.raises(NotAllowed, match="set_global"):
        d.set(switch, "region", "us")


def test_globals_hold_for_later_resources(d: Description) -> None:
    before = d.add("linux::Application")
    d.set_global("LinuxApplication", "okExitCodes", "any")
    after, own = d.add("linux::Application"), d.add("linux::Application", okExitCodes=0)
    assert [d.get(guid, "okExitCodes") for guid in (before, after, own)] == [0, "any", 0]
    assert d.get_global("linux::Application", "okExitCodes") == "any"
    assert d.get_global("linux::Application", "stdin") == ""
    d.set_global("test.description::Switch", "region", "us")
    assert d.get(d.add("test.description::Switch"), "region") == "us"
    with pytest.raises(InvalidValue):
        d.set_global("linux::Application", "okExitCodes", 1000)
    with pytest.raises(UnknownAttribute):
        d.set_global("linux::Application", "codes", 1)


def test_globals_are_this_experiments(d: Description) -> None:
    d.set_global("linux::Application", "okExitCodes", "any")
    other = Description("other")
    assert other.get(other.add("linux::Application"), "okExitCodes") == 0


# --- connections


def test_connecting_finds_the_side_that_declares_it(d: Description) -> None:
    node, app = d.add("linux::Node"), d.add("linux::Application")
    d.connect(node, app)
    d.connect(app, node)
    assert d.spec(app)["peers"] == {"node": [node]}
    assert d.spec(node)["peers"] == {}
    assert d.connected(node) == [app]
    assert d.connected(app) == [node]


def test_derived_classes_fit(d: Description) -> None:
    switch, port = d.add("test.description::Switch"), d.add("test.description::FastPort")
    d.connect(switch, port)
    assert d.spec(port)["peers"] == {"switch": [switch]}
    assert d.spec(switch)["peers"] == {"ports": [port]}


def test_a_second_connection_is_refused_on_both_sides(d: Description) -> None:
    one, two = (d.add("test.description::Switch") for _ in range(2))
    port = d.add("test.description::FastPort", switch=one)
    with pytest.raises(NotAllowed, match="fastport-3: connection 'switch' holds one"):
        d.connect(two, port)
    assert d.spec(two)["peers"] == {}


def test_what_does_not_fit_is_refused(d: Description) -> None:
    a, b, app = null(d), null(d), d.add("linux::Application")
    with pytest.raises(NotAllowed, match="neither can be connected to anything"):
        d.connect(a, b)
    with pytest.raises(NotAllowed, match="linux::Application can be connected to linux::Node"):
        d.connect(a, app)
    with pytest.raises(NotAllowed, match="itself"):
        d.connect(app, app)
    with pytest.raises(UnknownResource):
        d.connect(app, 99)


def test_connections_by_name(d: Description) -> None:
    one, two = (d.add("test.description::FastPort", label=name) for name in ("one", "two"))
    cable = d.add("test.description::Cable", right="one", left=two)
    assert d.spec(cable)["peers"] == {"left": [two], "right": [one]}
    loose = d.add("test.description::Cable", right=two)
    assert d.spec(loose)["peers"] == {"right": [two]}
    d.connect(loose, one)
    assert d.spec(loose)["peers"] == {"right": [two], "left": [one]}
    switch = d.add("test.description::Switch", ports=["one", "two"])
    assert d.spec(switch)["peers"] == {"ports": [one, two]}
    with pytest.raises(NotAllowed, match="'left' takes no nepiq::Null"):
        d.add("test.description::Cable", left=null(d))


def test_equals_know_each_other_and_a_child_its_parent(d: Description) -> None:
    a, b = (d.add("test.description::Peer") for _ in range(2))
    d.connect(a, b)
    assert (d.spec(a)["peers"], d.spec(b)["peers"]) == ({"other": [b]}, {"other": [a]})
    child, parent = (d.add("test.description::Child") for _ in range(2))
    d.connect(child, parent)
    assert (d.spec(child)["peers"], d.spec(parent)["peers"]) == ({"parent": [parent]}, {})
    d.check()


def test_the_nearest_host_along_connections_that_wait(d: Description) -> None:
    n1, n2 = (d.add("linux::Node") for _ in range(2))
    switch = d.add("test.description::Switch")
    p1 = d.add("test.description::FastPort", switch=switch, node=n1)
    p2 = d.add("test.description::FastPort", switch=switch, node=n2)
    cable = d.add("test.description::Cable", left=p1, right=p2)
    assert [d.host_of(guid) for guid in (n1, p1, p2, cable, switch)] == [n1, n1, n2, n1, None]


def test_the_host_is_known_when_it_is_connected_last(d: Description) -> None:
    port = d.add("test.description::FastPort")
    cable = d.add("test.description::Cable", left=port)
    assert d.host_of(cable) is None
    node = d.add("linux::Node")
    d.connect(node, port)
    assert d.host_of(cable) == node


def test_managers_see_their_peers(d: Description) -> None:
    node = d.add("linux::Node", env="A=1")
    app = d.add("linux::Application", node=node)
    rm = d.instance(app)
    assert (rm.label, rm.exp_id) == ("application-2", "test")
    assert rm.peers["node"][0].env == {"A": "1"}


# --- conditions


def test_all_pairs_without_repetition(d: Description) -> None:
    a, b, c = (null(d) for _ in range(3))
    made = d.condition([a, b], "start", [c, c], "started", "5s")
    assert made == [Condition(guid, START, c, State.STARTED, 5.0) for guid in (a, b)]
    assert d.condition([a, b], START, c, State.STARTED, "5s") == []
    assert len(d.condition(a, START, c, State.STARTED)) == 1
    assert len(d.conditions()) == 3
    assert d.spec(a)["conds"] == [["start", c, "STARTED", 5.0], ["start", c, "STARTED", 0.0]]


def test_withdrawing(d: Description) -> None:
    a, b = null(d), null(d)
    kept = d.condition(a, START, b, State.STARTED)
    made = d.condition(a, START, b, State.FINISHED)
    d.withdraw(made)
    d.withdraw(made)
    assert d.conditions() == kept
    assert d.condition(a, START, b, State.FINISHED) == made


@pytest.mark.parametrize(
    ("action", "state", "time", "problem"),
    [
        ("release", "STARTED", None, "release cannot have conditions"),
        ("set", "STARTED", None, "set cannot have conditions"),
        ("go", "STARTED", None, "'go' is not a resource action"),
        ("start", "NEW", None, "every resource begins there"),
        ("start", "RUNNING", None, "'RUNNING' is not a resource state"),
        ("start", "STARTED", "soon", "'soon' is not a duration"),
    ],
)
def test_odd_conditions(
    d: Description, action: str, state: str, time: str | None, problem: str
) -> None:
    a = null(d)
    with pytest.raises(InvalidValue, match=problem):
        d.condition(a, action, a, state, time)
    assert d.conditions() == []


def test_self_conditions_and_empty_lists(d: Description) -> None:
    a = null(d)
    assert d.condition([], START, a, State.STARTED) == []
    assert len(d.condition(a, STOP, a, State.STARTED, "20s")) == 1
    d.check()


def test_nothing_is_made_if_one_is_unknown(d: Description) -> None:
    a = null(d)
    with pytest.raises(UnknownResource):
        d.condition([a, 99], START, a, State.READY)
    assert d.conditions() == []


# --- check


def test_missing_things_are_named(d: Description) -> None:
    d.add("linux::Application", label="ping")
    d.add("test.description::Port", label="p")
    with pytest.raises(InvalidValue, match="connection 'node' of ping to a linux::Node") as caught:
        d.check()
    assert "attribute 'speed' of p" in caught.value.message
    d.check([])
    for _ in range(6):
        d.add("linux::Application")
    with pytest.raises(InvalidValue, match="and 4 more"):
        d.check()


def test_circles_are_named_by_label(d: Description) -> None:
    a, b = null(d, label="a"), null(d, label="b")
    d.condition(a, START, b, State.STARTED)
    d.condition(b, START, a, State.STARTED)
    with pytest.raises(ConditionCycle, match=r"a\.start waits for b STARTED, b\.start waits for a"):
        d.check()
    d.check(states={a: State.STARTED})


def test_circles_through_groups_and_connections(d: Description) -> None:
    node = d.add("linux::Node", label="n")
    app = d.add("linux::Application", label="app", node=node)
    d.condition(node, Action.DEPLOY, app, State.STARTED)
    with pytest.raises(ConditionCycle, match=r"app\.deploy waits for n READY"):
        d.check()
    d.withdraw(d.conditions())
    d.condition(app, Action.DEPLOY, node, State.STARTED)
    d.check(groups={"1": [node], "2": [app]})
    with pytest.raises(ConditionCycle, match="group 1"):
        d.check(groups={"1": [node, app]})


# --- specs


def test_spec_of_a_resource_without_host(d: Description) -> None:
    guid = null(d, critical=False)
    assert d.spec(guid) == {
        "g": 1,
        "rtype": "nepiq::Null",
        "label": "null-1",
        "attrs": {"critical": False},
        "critical": False,
        "batch": True,
        "idle": ["deploy", "start", "stop", "set", "release"],
        "queue": "nepiq",
        "host": None,
        "peers": {},
        "needs": [],
        "after": [],
        "conds": [],
    }


def test_what_is_idle_depends_on_what_was_given(d: Description) -> None:
    node = d.add("LinuxNode")
    app = d.add("linux::Application", command="ls", node=node)
    assert d.spec(app)["idle"] == ["deploy", "set"]
    # What the engine is told of before it is deployed may still be given something.
    assert d.spec(app, settled=False)["idle"] == ["set"]
    d.set(app, "depends", "netcat")
    assert d.spec(app)["idle"] == ["set"]


def test_spec_of_a_host_and_what_acts_on_it(d: Description) -> None:
    node = d.add("LinuxNode", site="lab", maxSteps=3)
    app = d.add("linux::Application", command="ls", node=node)
    d.condition(app, STOP, app, State.STARTED, "20s")
    assert d.spec(node) == {
        "g": node,
        "rtype": "linux::Node",
        "label": "node-1",
        "attrs": {"site": "lab", "maxSteps": 3},
        "critical": True,
        "batch": False,
        "idle": ["start", "stop", "set"],
        "queue": "nepiq.lab",
        "host": node,
        "peers": {},
        "needs": [],
        "after": [],
        "conds": [],
        "local": True,
        "site": "lab",
        "limit": 3,
    }
    assert d.spec(app) == {
        "g": app,
        "rtype": "linux::Application",
        "label": "application-2",
        "attrs": {"command": "ls"},
        "critical": True,
        "batch": False,
        "idle": ["deploy", "set"],
        "queue": "nepiq.lab",
        "host": node,
        "peers": {"node": [node]},
        "needs": [["deploy", node, "READY"]],
        "after": [node],
        "conds": [["stop", app, "STARTED", 20.0]],
    }


def test_what_does_not_wait_makes_no_gates(d: Description) -> None:
    node = d.add("linux::Node")
    switch = d.add("test.description::Switch")
    port = d.add("test.description::FastPort", node=node, switch=switch)
    assert d.spec(port)["after"] == [node]
    assert d.spec(switch)["needs"] == []
    assert d.spec(switch)["queue"] == "nepiq"


def test_a_description_can_be_made_again_from_its_specs(d: Description) -> None:
    node = d.add("linux::Node")
    apps = [d.add("linux::Application", command="ls", node=node) for _ in range(2)]
    d.condition(apps[0], START, apps[1], State.STARTED, "1s")
    again = Description("test")
    for guid in reversed(list(d)):
        again.restore(json.loads(json.dumps(d.spec(guid))))
    assert {guid: again.spec(guid) for guid in again} == {guid: d.spec(guid) for guid in d}
    assert again.host_of(apps[0]) == node
    assert null(again) == 4
    with pytest.raises(InvalidValue, match="taken"):
        again.restore(d.spec(node))


def test_committed_values_are_noted(d: Description) -> None:
    app = d.add("linux::Application", stdin="x")
    d.note(app, {"exitCode": 3, "stdin": None})
    assert d.spec(app)["attrs"] == {"exitCode": 3}


def test_five_thousand_resources_take_no_time() -> None:
    def describe() -> None:
        d = Description("x")
        for guid in [null(d) for _ in range(5000)]:
            d.spec(guid)

    def least() -> float:
        began = time.process_time()
        describe()
        return time.process_time() - began

    assert min(least() for _ in range(5)) < 0.2  # 20 ms on an idle machine
