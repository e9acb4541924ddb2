"""Connecting described resources, and the host that each acts on."""

from __future__ import annotations

import pytest
from tests.unit.model.kinds import null

from nepiq.controller.description.description import Description
from nepiq.controller.errors import NotAllowed, UnknownResource, UnknownType
from nepiq.controller.model import Action

START, STOP = Action.START, Action.STOP


@pytest.fixture
def d() -> Description:
    return Description("test")


def test_connecting_finds_the_side_that_declares_it(d: Description) -> None:
    node, app = d.add("linux::Node"), d.add("linux::Application")
    d.connect(node, app)
    d.connect(app, node)
    assert d.spec(app).peers == {"node": [node]}
    assert d.spec(node).peers == {}
    assert d.connected(node) == [app]
    assert d.connected(app) == [node]


def test_derived_classes_fit(d: Description) -> None:
    switch, port = d.add("test.description::Switch"), d.add("test.description::FastPort")
    d.connect(switch, port)
    assert d.spec(port).peers == {"switch": [switch]}
    assert d.spec(switch).peers == {"ports": [port]}


def test_a_second_connection_is_refused_on_both_sides(d: Description) -> None:
    one, two = (d.add("test.description::Switch") for _ in range(2))
    port = d.add("test.description::FastPort", switch=one)
    with pytest.raises(NotAllowed, match="fastport-3: connection 'switch' already has its only"):
        d.connect(two, port)
    assert d.spec(two).peers == {}


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


def test_the_rtype_of_a_base_class_only_names_it_in_connections(d: Description) -> None:
    node, bridge, route = (d.add(f"linux::{kind}") for kind in ("Node", "Bridge", "Route"))
    d.connect(bridge, node)
    d.connect(route, bridge)
    assert d.spec(route).peers == {"interface": [bridge]}
    with pytest.raises(NotAllowed, match="linux::Route can be connected to linux::AnyInterface"):
        d.connect(d.add("linux::Route"), null(d))
    with pytest.raises(UnknownType):
        d.add("linux::AnyInterface")


def test_connections_by_name(d: Description) -> None:
    one, two = (d.add("test.description::FastPort", label=name) for name in ("one", "two"))
    cable = d.add("test.description::Cable", right="one", left=two)
    assert d.spec(cable).peers == {"left": [two], "right": [one]}
    loose = d.add("test.description::Cable", right=two)
    assert d.spec(loose).peers == {"right": [two]}
    d.connect(loose, one)
    assert d.spec(loose).peers == {"right": [two], "left": [one]}
    switch = d.add("test.description::Switch", ports=["one", "two"])
    assert d.spec(switch).peers == {"ports": [one, two]}
    with pytest.raises(NotAllowed, match="'left' does not accept nepiq::Null"):
        d.add("test.description::Cable", left=null(d))


def test_equals_know_each_other_and_a_child_its_parent(d: Description) -> None:
    a, b = (d.add("test.description::Peer") for _ in range(2))
    d.connect(a, b)
    assert (d.spec(a).peers, d.spec(b).peers) == ({"other": [b]}, {"other": [a]})
    child, parent = (d.add("test.description::Child") for _ in range(2))
    d.connect(child, parent)
    assert (d.spec(child).peers, d.spec(parent).peers) == ({"parent": [parent]}, {})
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
