"""Runs of a campaign whose hosts are requested before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.segment import Segment
from nepiq.controller.engine.campaign_records import Begin, Placed, Refusal, Slot
from nepiq.controller.model.pools import HostLease, Pools, Want
from nepiq.controller.resources.linux.reservation import Reservation
from nepiq.controller.testing import FakePools

SLOT = Slot(0)


def definition(hosts: str) -> Definition:
    """A campaign whose runs need two hosts."""
    node = {"type": "linux::Node", "pool": "lab"}
    resources = {
        "lab": {"type": "linux::Pool", "hosts": hosts},
        "left": node,
        "right": node,
        "app": {"type": "linux::Application", "node": "left", "command": "true"},
    }
    plan = CampaignPlan.of({"space": {"grid": {"n": [1, 2]}}})
    data = Definition.data("study", {"nepiq": 1, "resources": resources}, plan)
    return Definition("study", data, [Segment.data(plan)])


def placed(guids: list[int], *hosts: str) -> Placed:
    leases = {guid: HostLease(host, 7) for guid, host in zip(guids, hosts, strict=True)}
    return Placed("20261122101112131415", SLOT._replace(origin="placed"), leases)


def test_a_run_begins_with_the_hosts_that_were_requested_for_it() -> None:
    made, pools = definition("a,b,c"), FakePools()
    assert made.places(0)
    requests = made.requests([SLOT, Slot(1)], [[], ["a:22"]], pools)
    (guid, [first]), (_, [other]) = [it for it in requests if not isinstance(it, Refusal)]
    assert guid == made.request_of(0)
    assert (first.hosts, other.hosts) == (["a:22", "b:22", "c:22"], ["b:22", "c:22"])
    assert made.pool_size == 3
    begin = made.begin_placed(placed(list(first.guids), "c:22", "a:22"), pools)
    assert isinstance(begin, Begin)
    assert len(begin.arguments) > len(made.arguments(0))
    (leases,) = [it for it in begin.arguments if isinstance(it, str) and '"token":7' in it]
    assert '"hostname":"c"' in leases
    # A host that left the pool since is no reason to refuse the slot.
    assert made.begin_placed(placed(list(first.guids), "c:22", "d:22"), pools) is None
    assert not isinstance(made.requests([SLOT], [[]], pools)[0], Refusal)


def test_a_pool_that_is_too_small_is_a_refusal() -> None:
    (refusal,) = definition("a").requests([SLOT], [[]], FakePools())
    assert isinstance(refusal, Refusal)
    assert "pool lab has 1 hosts" in refusal.cause


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A type that cannot use what it was granted."""

    def accept(self: Reservation, pools: Pools, leases: Mapping[int, HostLease]) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Reservation, "accept", accept)


@pytest.mark.usefixtures("faulty")
def test_a_run_that_cannot_begin_with_any_hosts_is_refused_once() -> None:
    made, pools = definition("a,b"), FakePools()
    assert made.begin_placed(placed([2, 3], "a:22", "b:22"), pools) is None
    (refusal,) = made.requests([SLOT], [[]], pools)
    assert isinstance(refusal, Refusal)
    assert refusal.cause == "ZeroDivisionError: division by zero"
    (again,) = made.requests([SLOT], [[]], pools)
    assert again[1] == [Want([2, 3], ["a:22", "b:22"])]
