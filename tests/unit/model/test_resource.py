"""What a resource class declares, and its instances."""

from __future__ import annotations

from typing import Any

import pytest

from nepiq.controller.errors import InvalidValue, NotAllowed
from nepiq.controller.model import (
    Action,
    Attribute,
    Connection,
    Context,
    Later,
    Placement,
    ResourceManager,
    Retry,
    State,
    Trace,
    registry,
)


class Base(ResourceManager):
    size = Attribute(int, 1, help="A size.")
    extra = Attribute(str, help="Only of the base.")
    deadlines = {Action.START: 5.0}
    retries = {"do_start": Retry(1, "1s")}

    def do_start(self, context: Context) -> None: ...


class Thing(Base, rtype="test.resource::Thing"):
    extra = None  # type: ignore[assignment]
    mark = Attribute(str, help="A mark.")
    log = Trace(help="A log.", file="thing.log")
    out = Trace(help="Output.")
    peer = Connection("test.resource::Thing", help="Another.")
    others = Connection("test.resource::Thing", many=True)
    deadlines = {Action.STOP: 7.0}

    def do_provision(self, context: Context) -> None: ...

    def do_deploy(self, context: Context) -> None: ...


def test_declarations_are_inherited_and_taken_out() -> None:
    assert list(Thing.attributes) == ["critical", "hardRelease", "size", "mark"]
    assert {name: trace.file for name, trace in Thing.traces.items()} == {
        "log": "thing.log",
        "out": "out",
    }
    assert set(Thing.connections) == {"peer", "others"}
    assert Thing.rtype == "test.resource::Thing"
    assert Base.rtype == ""


def test_deadlines_and_retries_are_merged() -> None:
    rm = Thing.load(guid=1)
    assert rm.deadline_for(Action.START) == 5.0
    assert rm.deadline_for(Action.STOP) == 7.0
    assert rm.deadline_for(Action.DEPLOY) == 600.0
    assert set(Thing.retries) == {"do_start"}


def test_hooks_are_those_that_the_class_defines() -> None:
    assert Thing.hooks_for(Action.DEPLOY) == (
        (State.PROVISIONED, "do_provision"),
        (State.READY, "do_deploy"),
    )
    assert Thing.hooks_for(Action.START) == ((State.STARTED, "do_start"),)
    assert Thing.hooks_for(Action.RELEASE) == ()
    assert ResourceManager.hooks_for(Action.DEPLOY) == ()


def test_hooks_that_have_work_for_some_only() -> None:
    class Rack(ResourceManager):
        power = Attribute(str, help="x")
        cable = Attribute(str, help="x")
        called_for = {"do_deploy": ("power", "cable")}

        def do_deploy(self, context: Any) -> None: ...

        def do_start(self, context: Any) -> None: ...

    class Shelf(Rack):
        pass

    class Cabinet(Rack):
        def do_deploy(self, context: Any) -> None: ...

    def names(cls: type[ResourceManager], **given: str) -> list[str]:
        loaded = cls.load(guid=1, attributes=given)
        return [hook.name for action in Action for hook in loaded.hooks(action)]

    for cls in (Rack, Shelf):
        assert names(cls) == ["do_start"]
        assert names(cls, cable="red") == ["do_deploy", "do_start"]
        assert [hook.name for hook in cls.hooks_for(Action.DEPLOY)] == ["do_deploy"]
        assert cls.hooks_for(Action.DEPLOY, {"critical"}) == ()
    # What a class defines anew is called as it says itself.
    assert names(Cabinet) == ["do_deploy", "do_start"]


@pytest.mark.parametrize("entry", [{"do_deploy": ("powr",)}, {"do_cook": ("power",)}])
def test_hooks_called_for_what_is_not_there(entry: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(TypeError, match=r"unknown names in called_for: (powr|do_cook)"):
        type("Oven", (ResourceManager,), {"power": Attribute(str, help="x"), "called_for": entry})


def test_what_is_left_to_the_release_of_the_host() -> None:
    class Beacon(ResourceManager):
        log = Attribute(str, help="x")
        left_to_host = {"do_release": ("log",)}

        def do_release(self, context: Any) -> None: ...

    class Buoy(Beacon):
        def do_release(self, context: Any) -> None: ...

    assert Beacon.is_left_to_host({"critical"})
    assert not Beacon.is_left_to_host({"log"})
    assert not Buoy.is_left_to_host(())  # what it does is not known
    assert not Thing.is_left_to_host(())
    node = registry.find("linux::Node")
    assert node.ends_all_first({"hostname"})
    assert not node.ends_all_first({"tearDown"})
    with pytest.raises(TypeError, match="unknown names in ends_all: tide"):
        type("Pier", (ResourceManager,), {"ends_all": {"do_release": ("tide",)}})


def test_changes_are_what_was_assigned_since_loading() -> None:
    given = {"size": 4}
    rm = Thing.load(guid=1, label="t", attributes=given)
    assert rm.changes() == {}
    assert (rm.size, rm.mark) == (4, "")
    rm.size += 1
    rm.mark = "x"
    assert rm.changes() == {"size": 5, "mark": "x"}
    assert (rm.size, given) == (5, {"size": 4})


def test_peers_are_loaded_when_asked_for_and_once() -> None:
    loaded = []

    def load() -> list[ResourceManager]:
        loaded.append(1)
        return [Thing.load(guid=2, label="b")]

    rm = Thing.load(guid=1, peers={"peer": load, "others": load})
    assert not loaded
    assert rm.peer.label == "b"
    assert rm.peer is rm.peer
    assert len(loaded) == 1
    assert [other.guid for other in rm.others] == [2]
    assert dict(rm.peers).keys() == {"peer", "others"}


def test_absent_peers() -> None:
    rm = Thing.load(guid=1)
    assert rm.peer is None
    assert rm.others == []


def test_peers_cannot_be_changed() -> None:
    rm = Thing.load(guid=1, label="a", peers={"peer": [Thing.load(guid=2, label="b")]})
    with pytest.raises(NotAllowed, match="through a connection"):
        rm.peer.size = 5
    with pytest.raises(AttributeError, match="register_connection"):
        rm.peer = None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"__init__": lambda self: None}, "__init__ is not allowed"),
        ({"do_strat": lambda self, context: None}, "do_strat is not a hook"),
        ({"retries": {"start": Retry(1, 1)}}, "start is not a hook"),
        ({"label": Attribute(str, help="")}, "the name 'label' cannot be declared"),
        ({"load": Trace(help="")}, "the name 'load' cannot be declared"),
        ({"attributes": Connection("x")}, "the name 'attributes' cannot be declared"),
        ({"_x": Attribute(str, help="")}, "the name '_x' cannot be declared"),
        ({"provides_host": True}, r"must define placement\(\)"),
    ],
)
def test_classes_that_make_no_sense(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        type("Odd", (ResourceManager,), body)


def test_a_connection_needs_a_type() -> None:
    with pytest.raises(TypeError, match="has no rtype"):
        Connection(Base)


def test_placement_is_for_hosts() -> None:
    class Host(ResourceManager):
        provides_host = True

        def placement(self) -> Placement:
            return Placement("lab", local=False, limit=4)

    assert Host.load(guid=1).placement() == Placement("lab", local=False, limit=4)
    with pytest.raises(NotImplementedError):
        Thing.load(guid=1).placement()


def test_later_and_retry() -> None:
    assert Later("1m").seconds == 60.0
    with pytest.raises(InvalidValue):
        Later("soon")
    retry = Retry(3, "2s")
    assert [retry.wait(failures) for failures in range(1, 5)] == [2.0, 4.0, 8.0, None]
    assert Retry(2, 1, backoff=1).wait(2) == 1.0
    for times, backoff in ((-1, 2.0), (1, 0.5)):
        with pytest.raises(InvalidValue):
            Retry(times, 1, backoff)


def test_one_may_look_at_them() -> None:
    rm = Thing.load(guid=3, label="t")
    shown = (rm, Thing.size, Thing.log, Thing.peer, Later(2))
    assert [repr(item) for item in shown] == [
        "<Thing t>",
        "<Attribute size: int>",
        "<Trace log: thing.log>",
        "<Connection peer: test.resource::Thing>",
        "Later(2)",
    ]
