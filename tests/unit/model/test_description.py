"""Describing an experiment."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.kinds import null

from nepiq.controller.description.conditions import Condition
from nepiq.controller.description.description import Description
from nepiq.controller.errors import (
    ConditionCycle,
    InvalidValue,
    NotAllowed,
    UnknownAttribute,
    UnknownResource,
    UnknownType,
)
from nepiq.controller.model import Action, State
from nepiq.controller.model.spec import Gate, ResourceSpec

START, STOP = Action.START, Action.STOP


@pytest.fixture
def d() -> Description:
    return Description("test")


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
    assert d.spec(b).peers == {}
    with pytest.raises(UnknownResource):
        d.remove(a)


def test_types(d: Description) -> None:
    a = null(d)
    d.add("nepiq::Sleep")
    assert d.of_type("nepiq::Null") == [a]
    with pytest.raises(UnknownType):
        d.of_type("nepiq::Nul")


# --- conditions


def test_all_pairs_without_repetition(d: Description) -> None:
    a, b, c = (null(d) for _ in range(3))
    made = d.condition([a, b], "start", [c, c], "started", "5s")
    assert made == [Condition(guid, START, c, State.STARTED, 5.0) for guid in (a, b)]
    assert d.condition([a, b], START, c, State.STARTED, "5s") == []
    assert len(d.condition(a, START, c, State.STARTED)) == 1
    assert len(d.conditions()) == 3
    assert d.spec(a).gates == [Gate("start", c, "STARTED", 5.0), Gate("start", c, "STARTED", 0.0)]


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
    assert d.spec(guid) == ResourceSpec(
        guid=1,
        rtype="nepiq::Null",
        label="null-1",
        attributes={"critical": False},
        critical=False,
        batch=True,
        idle=["deploy", "start", "stop", "set", "release"],
        queue="nepiq",
        host=None,
        peers={},
        gates=[],
        after=[],
    )


def test_what_is_idle_depends_on_what_was_given(d: Description) -> None:
    node = d.add("LinuxNode")
    app = d.add("linux::Application", command="ls", node=node)
    assert d.spec(app).idle == ["deploy", "set"]
    # What the engine is told of before it is deployed may still be given something.
    assert d.spec(app, settled=False).idle == ["set"]
    d.set(app, "depends", "netcat")
    assert d.spec(app).idle == ["set"]


def test_spec_of_a_host_and_what_acts_on_it(d: Description) -> None:
    node = d.add("LinuxNode", site="lab", maxSteps=3)
    app = d.add("linux::Application", command="ls", node=node)
    d.condition(app, STOP, app, State.STARTED, "20s")
    assert d.spec(node) == ResourceSpec(
        guid=node,
        rtype="linux::Node",
        label="node-1",
        attributes={"site": "lab", "maxSteps": 3},
        critical=True,
        batch=False,
        idle=["start", "stop", "set"],
        queue="nepiq.lab",
        host=node,
        peers={},
        gates=[],
        after=[],
        is_host=True,
        local=True,
        site="lab",
        limit=3,
    )
    assert d.spec(app) == ResourceSpec(
        guid=app,
        rtype="linux::Application",
        label="application-2",
        attributes={"command": "ls"},
        critical=True,
        batch=False,
        idle=["deploy", "set"],
        joint=("start", "stop", "release"),
        left_to_host=True,
        queue="nepiq.lab",
        host=node,
        peers={"node": [node]},
        gates=[
            Gate("deploy", node, "READY", need=True),
            Gate("stop", app, "STARTED", 20.0),
        ],
        after=[node],
    )


def test_whose_release_is_left_to_the_host(d: Description) -> None:
    node, strict = d.add("linux::Node"), d.add("linux::Node", tearDown="halt")
    emulated = d.add("netns::Node", node=node)
    plain, inside = (d.add("linux::Application", command="ls", node=n) for n in (node, emulated))
    others = [
        d.add("linux::Application", command="ls", node=strict),
        d.add("linux::Application", command="ls", node=node, grace="30s"),
        d.add("linux::Application", command="ls", node=node, tearDown="rm x"),
        d.add("linux::Application", command="ls", node=node, hardRelease=True),
        d.add("test.description::Reader", node=node, writer=plain),
        emulated,
        node,
    ]
    assert [d.spec(guid).left_to_host for guid in (plain, inside)] == [True, True]
    assert [d.spec(guid).left_to_host for guid in others] == [False] * len(others)
    assert not d.spec(plain, settled=False).left_to_host


def test_what_does_not_wait_makes_no_gates(d: Description) -> None:
    node = d.add("linux::Node")
    switch = d.add("test.description::Switch")
    port = d.add("test.description::FastPort", node=node, switch=switch)
    assert d.spec(port).after == [node]
    assert d.spec(switch).gates == []
    assert d.spec(switch).queue == "nepiq"


def test_a_description_can_be_made_again_from_its_specs(d: Description) -> None:
    node = d.add("linux::Node")
    apps = [d.add("linux::Application", command="ls", node=node) for _ in range(2)]
    d.condition(apps[0], START, apps[1], State.STARTED, "1s")
    again = Description("test")
    for guid in reversed(list(d)):
        again.restore(d.spec(guid))
    assert {guid: again.spec(guid) for guid in again} == {guid: d.spec(guid) for guid in d}
    assert again.host_of(apps[0]) == node
    assert null(again) == 4
    with pytest.raises(InvalidValue, match="taken"):
        again.restore(d.spec(node))


def test_committed_values_are_noted(d: Description) -> None:
    app = d.add("linux::Application", stdin="x")
    d.note(app, {"exitCode": 3, "stdin": None})
    assert d.spec(app).attributes == {"exitCode": 3}


def test_the_time_grows_with_the_number_of_resources() -> None:
    def describe(count: int) -> None:
        d = Description("x")
        for guid in [null(d) for _ in range(count)]:
            d.spec(guid)

    def least(count: int) -> float:
        def once() -> float:
            began = time.process_time()
            describe(count)
            return time.process_time() - began

        return min(once() for _ in range(5))

    # Ten times as many take ten times as long; if each looked at all others, a hundred times.
    assert least(5000) < 30 * least(500)
