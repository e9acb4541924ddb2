"""nepiq::Set: a change of attributes as a resource."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import InvalidValue, NotAllowed
from nepiq.controller.model import NO_HOST, Action, Context, Deadline, perform, registry
from nepiq.controller.resources.nepiq.setting import Set


def described(**settings: Any) -> tuple[Description, list[int]]:
    """A link with an impairment, and a change of both."""
    d = Description("test")
    node = d.add("linux::Node")
    ends = [d.add("netns::Node", node=node, label=label) for label in ("a", "b")]
    link = d.add("netns::Link", ends=ends)
    impairment = d.add("linux::Impairment", target=link, delay="5ms")
    made = d.add("nepiq::Set", **settings)
    for guid in (link, impairment):
        d.connect(made, guid)
    return d, [link, impairment, made]


def test_it_is_connected_to_what_has_connections_for_any_type() -> None:
    d, (link, impairment, made) = described(name="loss", value=5)
    assert d.resource(made).peers == {"resources": [link, impairment]}
    assert d.resource(impairment).peers == {"target": [link]}


@pytest.mark.parametrize(
    ("rtype", "name", "value", "error"),
    [
        ("nepiq::Null", "los", 1, InvalidValue),
        ("netns::Link", "up", "maybe", InvalidValue),
        ("linux::Impairment", "loss", 101, InvalidValue),
        ("netns::Link", "ip1", "10.0.0.1/30", NotAllowed),
        ("linux::Ping", "loss", 1.0, NotAllowed),
    ],
)
def test_changes_that_are_refused(rtype: str, name: str, value: object, error: type) -> None:
    target = registry.find(rtype).load(guid=1, label="x")
    change = Set.load(
        guid=2,
        label="change",
        attributes={"name": name, "value": value},
        peers={"resources": [target]},
    )
    with pytest.raises(error):
        change.validate([])


@pytest.mark.parametrize("value", [False, 0, 2.5, "10ms", ["a"], {"a": 1}])
def test_it_requests_the_change_of_each(value: object) -> None:
    calls: list[Any] = []
    null = registry.find("nepiq::Null")
    peers = [null.load(guid=guid, label=str(guid)) for guid in (3, 4)]
    change = Set.load(
        guid=2, attributes={"name": "critical", "value": value}, peers={"resources": peers}
    )

    def call(text: str) -> str:
        calls.append(json.loads(text))
        return "null"

    log = logging.getLogger("test")
    context = Context(NO_HOST, {}, 1, Deadline.after("10s"), log, call)
    launch = perform(change, Action.START, context).launch
    assert launch is not None
    assert launch.exit is not None
    assert launch.exit.outcome == "FINISHED"
    assert [call["args"] for call in calls] == [[guid, "critical", value] for guid in (3, 4)]
    assert {call["method"] for call in calls} == {"set"}
