"""linux::Pool, linux::Reservation and nodes with a pool."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import DeadlineError, HostError, InvalidValue, NotAllowed
from nepiq.controller.model import State
from nepiq.controller.model.pools import HostLease, Queued, Requester, Want
from nepiq.controller.resources.linux.leased_host import LeasedHost
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.linux.pool import Pool, key_of
from nepiq.controller.resources.linux.reservation import Reservation
from nepiq.controller.resources.linux.where import Where
from nepiq.controller.testing import FakePools, Harness

HOST = {
    "arch": "x86_64",
    "memory": 4_100_000_000,
    "kernel": "6.10.3-amd64",
    "cpus": 4,
    "wifi": "atheros",
    "rack": 7,
    "fast": True,
    "spare": False,
}

# --- expressions


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arch == 'x86_64' and memory >= '4GB' and wifi == 'atheros'",
        "memory > '3.8GiB'",
        "memory < '4GiB'",
        "memory >= 4000000000",
        "kernel >= '6.9'",
        "kernel < '6.11' and not kernel < '6.10.3'",
        "rack == 7 and rack == '7'",
        "rack in [6, 7] and arch in ('x86_64', 'aarch64')",
        "wifi not in ['intel'] and 'ath' in wifi",
        "fast and not spare and fast == True",
        "not wired and wired != 'x' and wired not in ['x']",
        "2 < cpus <= 4",
        "(arch == 'arm' or cpus == 4) and rack != 8",
        "\n  arch == 'x86_64'\n  and cpus > 1",
    ],
)
def test_what_fits(text: str) -> None:
    assert Where.parse(text).matches(HOST)


@pytest.mark.parametrize(
    "text",
    [
        "arch == 'aarch64'",
        "memory >= '4GiB'",
        "memory >= 'much'",
        "wired == 'x' or wired > 1 or wired in ['x']",
        "kernel < '6.9'",
        "spare",
        "'7a' == rack",
    ],
)
def test_what_does_not_fit(text: str) -> None:
    assert not Where.parse(text).matches(HOST)


def test_labels_as_a_mapping() -> None:
    where = Where.parse({"wifi": "atheros", "rack": 7})
    assert where.matches(HOST)
    assert not where.matches({**HOST, "rack": 8})
    assert str(where) == "wifi == 'atheros' and rack == 7"
    assert where.names == {"wifi", "rack"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch == 'x86' and", "column 18: invalid syntax"),
        ("  rack = 7", "column 8: invalid syntax"),
        ("rack == 7 and open('/etc')", r"column 15: open\('/etc'\) is not possible here"),
        ("  rack.real == 7", "column 3: rack.real is not possible here"),
        ("rack is 7", "column 1: write == instead of is"),
        ("rack + 1 == 8", r"column 1: rack \+ 1 is not possible here"),
        ("[x for x in rack]", "column 1: "),
        ("(" * 500 + "rack" + ")" * 500, "column|simpler"),
        ("not " * 1000 + "rack", "at most 2000|simpler"),
        (7, "must be an expression"),
        ({"rack": [7]}, "must compare 'rack' with"),
    ],
)
def test_what_is_no_expression(text: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Node.attributes["where"].check(text)


# --- pools


def entries(**attributes: Any) -> list[Any]:
    return Pool.load(guid=1, label="lab", attributes=attributes).entries()


def test_hosts_as_text() -> None:
    found = entries(hosts="root@fit[01-03,7],r2lab:2222, [::1]:22", gateway="me@gw", port=22)
    assert [entry.key for entry in found] == [
        *("fit01:22", "fit02:22", "fit03:22", "fit7:22", "r2lab:2222", "[::1]:22")
    ]
    assert found[0].login == {
        "gateway": "me@gw",
        "port": 22,
        "hostname": "fit01",
        "username": "root",
    }
    assert found[4].login["port"] == 2222


def test_hosts_as_a_list() -> None:
    found = entries(
        hosts=[
            "a[1-2]",
            {"hostname": "b", "username": "me", "labels": {"rack": 1}},
            {"hostname": "10.0.0.1", "gateway": "one", "name": "one-1"},
            {"hostname": "10.0.0.1", "gateway": "two", "name": "two-1"},
        ],
        labels={"rack": 2, "room": "x"},
        username="root",
    )
    assert [entry.key for entry in found] == ["a1:22", "a2:22", "b:22", "one-1", "two-1"]
    assert found[2].labels == {"hostname": "b", "rack": 1, "room": "x"}
    assert [entry.login["username"] for entry in found[1:3]] == ["root", "me"]


@pytest.mark.parametrize(
    ("hostname", "port", "key"),
    [
        ("Fit01.", None, "fit01:22"),
        ("fit01", 22, "fit01:22"),
        ("2001:DB8::0:1", 23, "[2001:db8::1]:23"),
        ("192.0.2.1", None, "192.0.2.1:22"),
    ],
)
def test_hosts_are_told_apart_by_name_and_port(hostname: str, port: int | None, key: str) -> None:
    assert key_of(hostname, port) == key


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("fit[3-1]", "from small to large"),
        ("fit[a-b]", r"ranges such as \[01-37\]"),
        ("fit[1-999999]", "from small to large"),
        ("-x", "not a machine"),
        ([{"username": "x"}], "a hostname for each host"),
        ([{"hostname": "x", "colour": "red"}], "without 'colour'"),
        ([{"hostname": "x", "port": 0}], "from 1 to 65535"),
        ([{"hostname": "x", "labels": {"a": [1]}}], "as 'a'"),
        ([7], "or a list of hosts"),
    ],
)
def test_hosts_that_are_refused(hosts: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Pool.attributes["hosts"].check(hosts)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "either hosts or name"),
        ({"hosts": "a", "name": "b"}, "either hosts or name"),
        ({"hosts": "a,A."}, "a:22 is in the pool twice"),
        ({"hosts": "localhost"}, "the worker machine itself"),
    ],
)
def test_pools_that_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Pool.load(guid=1, label="lab", attributes=attributes).validate(())


# --- nodes and their reservation


def deployed(nodes: list[dict[str, Any]], pools: FakePools | None = None, **pool: Any) -> Any:
    """Reserve hosts for nodes; the reservation and the nodes."""
    lab = Harness(Pool, label="lab", **pool) if pool else None
    peers = {} if lab is None else {"inventory": lab}
    made = [Harness(Node, **{"pool": "lab", **peers, **node}) for node in nodes]
    reservation = Harness(Reservation, nodes=made)
    for node in made:
        node._peers["reservation"] = [reservation]
        node.pools = pools or reservation.pools
    reservation.pools = pools or reservation.pools
    reservation.deploy()
    for node in made:
        node.deploy()
    return reservation, made


def test_a_node_gets_a_host_and_gives_it_back() -> None:
    reservation, (one, two) = deployed(
        [{}, {"username": "own"}], hosts="root@fit[1-3]:23", gateway="gw", home="/srv"
    )
    pools = reservation.pools
    assert pools.leases == {"fit1:23": one.guid, "fit2:23": two.guid}
    (call,) = one.host.calls
    assert call.options["lease"] == ("fit1:23", 1)
    node = one.rm
    assert (node.hostname, node.home) == ("fit1", "/srv")
    assert str(node.login()) == "root@fit1:23"
    assert str(node.login().gateway) == "gw"
    assert str(two.rm.login()) == "own@fit2:23"
    assert pools.known["fit1:23"]["cpus"] == 2
    one.release()
    assert pools.leases == {"fit2:23": two.guid}
    reservation.release()
    assert pools.leases == {}


def test_hosts_are_chosen_by_labels_and_facts() -> None:
    pools = FakePools()
    pools.known["a:22"] = {"inspected": 1.0, "cpus": 64}
    hosts = [
        *({"hostname": "a", "labels": {"rack": 1}}, {"hostname": "b", "labels": {"rack": 1}}),
        *({"hostname": "c", "labels": {"rack": 2}}, {"hostname": "d", "site": "other"}),
    ]
    _, (one, two) = deployed([{"where": "cpus < 64"}, {"where": "rack == 1"}], pools, hosts=hosts)
    # That of b and c was not known, and was looked up.
    assert one.rm.hostname == "b"
    assert two.rm.hostname == "a"


def test_a_host_that_has_changed_is_refused() -> None:
    pools = FakePools()
    pools.known["a:22"] = {"inspected": 1.0, "cpus": 64}
    with pytest.raises(HostError, match="host a:22 does not fulfil cpus == 64"):
        deployed([{"where": "cpus == 64"}], pools, hosts="a")
    assert pools.known["a:22"]["cpus"] == 2


def test_a_pool_that_is_kept() -> None:
    pools = FakePools()
    pools.kept["lab"] = {"hosts": "fit[1-2]", "username": "root"}
    _, (node,) = deployed([{}], pools)
    assert str(node.rm.login()) == "root@fit1"
    _, (node,) = deployed([{}], pools, name="lab")
    assert str(node.rm.login()) == "root@fit2"


@pytest.mark.parametrize(
    ("nodes", "pool", "message"),
    [
        ([{}], {}, "there is no pool 'lab'"),
        ([{}, {}], {"hosts": "a"}, "pool lab has 1 hosts at site default, and 2 nodes"),
        ([{"where": "x"}], {"hosts": "a"}, "pool lab has 0 hosts at site default that fulfil x"),
        ([{"site": "far"}], {"hosts": "a"}, "pool lab has 0 hosts at site far"),
        (
            [{"where": "hostname == 'a'"}, {"where": "hostname != 'b'"}],
            {"hosts": "a,b"},
            "1 hosts too few",
        ),
    ],
)
def test_what_can_never_be_granted(
    nodes: list[dict[str, Any]], pool: dict[str, Any], message: str
) -> None:
    with pytest.raises((InvalidValue, HostError), match=message):
        deployed(nodes, **pool)


def test_hosts_that_a_campaign_requests() -> None:
    description = Description("x")
    lab = description.add("linux::Pool", label="lab", hosts="a,b,c")
    nodes = [description.add("linux::Node", pool="lab") for _ in range(2)]
    (guid,) = description.complete([lab, *nodes])
    requester = description.instance(guid)
    pools = FakePools()
    assert isinstance(requester, Reservation)
    assert isinstance(requester, Requester)
    assert requester.requested(pools) == [Want(nodes, ["a:22", "b:22", "c:22"])]
    assert requester.requested(pools, ["b:22"]) == [Want(nodes, ["a:22", "c:22"])]
    # With too few others, the host is used all the same.
    assert requester.requested(pools, ["a:22", "b:22"])[0].hosts == ["a:22", "b:22", "c:22"]
    with pytest.raises(HostError, match="host d:22 is not in the pools any more"):
        requester.accept(pools, {nodes[0]: HostLease("d:22", 7)})
    requester.accept(pools, {nodes[0]: HostLease("c:22", 7), nodes[1]: HostLease("a:22", 7)})
    assert requester.assignments() == {nodes[0]: ("c:22", "c"), nodes[1]: ("a:22", "a")}
    # A run that begins with them requests none.
    reservation = Harness(Reservation)
    reservation.attributes = requester.changes()
    reservation.deploy()
    assert reservation.pools.leases == {}


@pytest.mark.parametrize(
    ("ago", "since", "hosts"),
    [
        (9, 9, "b"),  # at least ten seconds
        (11, 11, "b,a"),
        (30, 61, "b"),  # as long as it has lasted: 31 seconds
        (30, 59, "b,a"),
        (299, 9000, "b"),  # at most five minutes
        (301, 9000, "b,a"),
    ],
)
def test_a_host_that_was_unreachable_is_passed_over(ago: float, since: float, hosts: str) -> None:
    description = Description("x")
    lab = description.add("linux::Pool", label="lab", hosts="a,b")
    node = description.add("linux::Node", pool="lab")
    requester = description.instance(description.complete([lab, node])[0])
    pools, now = FakePools(), time.time()
    pools.known["a:22"] = {"unreachable": now - ago, "unreachableSince": now - since}
    assert isinstance(requester, Reservation)
    (want,) = requester.requested(pools)
    assert want.hosts == [f"{host}:22" for host in hosts.split(",")]
    # Without enough others it is used all the same.
    (want,) = requester.requested(pools, ["b:22"])
    assert "a:22" in want.hosts


def test_how_long_a_host_is_unreachable_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Harness(Node, pool="lab", inventory=Harness(Pool, hosts="a"))
    leased = LeasedHost(host="a:22", token=1, request=1, login={"hostname": "a"}, labels={})
    for now in (100.0, 130.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        leased.suspect(node.pools)
    assert node.pools.known["a:22"] == {"unreachable": 130.0, "unreachableSince": 100.0}
    leased.confirm(node.pools, node.host.facts, None)
    assert "unreachableSince" not in node.pools.known["a:22"]


def test_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Harness(Node, pool="lab", inventory=Harness(Pool, hosts="a"), poolTimeout="90s")
    reservation = Harness(Reservation, nodes=[node])
    monkeypatch.setattr(reservation.pools, "lease", lambda _: Queued(reservation.clock()))
    with pytest.raises(DeadlineError, match="no 1 free hosts within 90 s"):
        reservation.deploy()
    assert (reservation.state, reservation.clock()) == (State.FAILED, 90.0)


def test_a_node_without_a_lease_has_no_machine() -> None:
    node = Node.load(guid=3, label="n", attributes={"pool": "lab", "site": "far"})
    assert not node.assigned()
    assert (node.placement().site, node.placement().local) == ("far", False)
    with pytest.raises(NotAllowed, match="no host of pool lab is leased for it yet"):
        node.login()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"pool": "lab", "hostname": "x"}, "either hostname or pool"),
        ({"where": "x"}, "need a pool"),
        ({"poolTimeout": "5s"}, "need a pool"),
    ],
)
def test_nodes_that_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Node.load(guid=1, attributes=attributes).validate(())


# --- descriptions


def test_a_node_may_be_connected_to_its_pool() -> None:
    description = Description("x")
    lab = description.add("linux::Pool", hosts="a[1-9]")
    node = description.add("linux::Node", where="hostname == 'a1'")
    description.connect(node, lab)
    description.check()
    description.set(node, "hostname", "a1")
    with pytest.raises(InvalidValue, match="either hostname or pool"):
        description.check()


def test_nodes_of_one_deployment_share_a_reservation() -> None:
    description = Description("x")
    lab = description.add("linux::Pool", label="lab", hosts="a[1-9]")
    by_guid = description.add("linux::Node", pool=lab)
    by_label = description.add("linux::Node", pool="lab", critical=False)
    connected = description.add("linux::Node")
    description.connect(connected, lab)
    kept = description.add("linux::Node", pool="elsewhere")
    plain = description.add("linux::Node")
    every = [lab, by_guid, by_label, connected, kept, plain]
    (joint,) = description.complete(every)
    assert description.complete(every) == [joint]
    nodes = [by_guid, by_label, connected, kept]
    assert description.resource(joint).peers == {"nodes": nodes}
    assert [description.resource(guid).peers.get("inventory") for guid in (*nodes, plain)] == [
        *([lab], [lab], [lab], None, None)
    ]
    description.check([*every, joint])
    assert [gate.target for gate in description.spec(by_guid).gates] == [joint]
    assert description.spec(joint).queue == "nepiq.default"
    later = description.add("linux::Node", pool="lab", critical=False)
    (other,) = description.complete([later])
    assert other != joint
    assert description.get(other, "critical") is False


def test_a_copy_of_a_description_has_no_lease() -> None:
    description = Description("x")
    node = description.add("linux::Node", pool="lab")
    description.complete([node])
    lease = {"host": "a:22", "token": 1, "request": 2, "login": {"hostname": "a"}, "labels": {}}
    description.note(node, {"lease": lease, "hostname": "a", "serverKey": "ssh-x", "os": "y"})
    copy = Description("y")
    copy.adopt(description)
    assert list(copy) == [node]
    assert (copy.resource(node).attrs, copy.resource(node).peers) == ({"pool": "lab"}, {})
    copy.check()
