"""The page of hosts on a real Redis, with a real worker: pools, requests, workers, queues."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.web.browser import Browser
from tests.stand import Stand

from nepiq.controller.engine.pools import Want

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.xdist_group("web"),
    pytest.mark.timeout(120),
]


def leased(data: dict[str, Any]) -> dict[str, str]:
    """The runs by the host that they have leased."""
    hosts = [host for pool in data["pools"] for host in pool["hosts"]]
    return {host["host"]: host["lease"]["name"] for host in hosts if host["lease"]}


def test_who_has_and_who_waits_for_hosts(stand: Stand, browser: Browser) -> None:
    pools = stand.backend().pools
    with (
        stand.experiment("holds", quiet=True) as holds,
        stand.experiment("waits", quiet=True) as waits,
        browser.stream("/hosts/events") as stream,
    ):
        assert stream.until("pools")["pools"] == []
        for ec in (holds, waits):
            ec.register_resource("nepiq::Null", label="one")
            ec.deploy()
        labelled = {"hosts": [{"hostname": "a", "labels": {"cpu": "<b>\x1b"}}, "b"]}
        pools.install("lab", labelled)
        pools.install("broken", {"hosts": ["b", "b"]})
        pools.request(str(holds.run_id), 1, "1.deploy", [Want([1], ["a:22"])])
        pools.request(str(holds.run_id), 2, "2.deploy", [Want([2], ["other:22"])])
        pools.request(str(waits.run_id), 1, "1.deploy", [Want([1], ["a:22"])])
        data = stream.until("pools", lambda data: len(leased(data)) == 2 and len(data["pools"]) > 2)
        broken, lab, others = data["pools"]
        assert "host b:22 is in the pool twice" in broken["problem"]
        first, second = lab["hosts"]
        assert (first["host"], first["labels"]) == ("a:22", {"cpu": r"<b>\x1b"})
        lease = first["lease"]
        assert (lease["run"], lease["guid"], lease["kept"]) == (holds.run_id, 1, True)
        assert 0 <= data["now"] - lease["since"] < 100
        assert second["lease"] is None
        assert [host["host"] for host in others["hosts"]] == ["other:22"]

        [request] = stream.until("requests", lambda data: data["requests"])["requests"]
        assert (request["name"], request["guids"]) == ("waits", [1])
        assert f"run {holds.run_id} (holds) has a:22; first in the queue" in request["text"]

        pools.give_back(str(holds.run_id), 1)
        stream.until("pools", lambda data: leased(data).get("a:22") == "waits")
        assert stream.until("requests")["requests"] == []
        for name in ("lab", "broken"):
            pools.uninstall(name)
        pools.give_back(str(holds.run_id), 2)
        pools.give_back(str(waits.run_id), 1)
        stream.until("pools", lambda data: not data["pools"])


def test_workers_and_queues(stand: Stand, browser: Browser) -> None:
    with browser.stream("/hosts/events") as stream:
        data = stream.until("workers")
        [worker] = data["workers"]
        assert (worker["state"], worker["sites"]) == ("alive", ["default"])
        assert worker["slots"] > 0
        served = {queue["name"]: queue["served"] for queue in data["queues"]}
        assert served["nepiq.default"] == 1
        # It sends heartbeats.
        later = stream.until("workers", lambda data: data["workers"][0]["beat"] > worker["beat"])
        assert 0 <= later["now"] - later["workers"][0]["beat"] < 60
