"""A campaign that tests export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nepiq.controller.campaign.crate.content import Content
from nepiq.controller.campaign.crate.terms import Terms
from nepiq.controller.campaign.host_facts import HostFacts
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.provenance import Provenance, SourceTree
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.space import point_id, run_seed
from nepiq.controller.engine.campaign_records import CampaignRecord

TERMS = Terms.parse(
    "cc-by-4.0",
    "Ada Lovelace <ada@example.org> 0000-0002-1825-0097",
    "University of London https://ror.org/04cw6st05",
)
TEMPLATE = {
    "nepiq": 1,
    "exp_id": "delay",
    "resources": {
        "here": {"type": "linux::Node", "hostname": "localhost"},
        "ping": {"type": "linux::Ping", "node": "here", "target": "10.0.0.${n}", "count": 2},
    },
}
PLAN = {
    "space": {"grid": {"n": [1, 2]}},
    "added": [{"space": {"points": [{"n": 7}, {"n": 8}]}, "repetitions": 5}],
    "repetitions": {"min": 2, "max": 3},
    "seed": 9,
    "seeds": "independent",
    "metrics": {"rtt": "ping.rttAvg"},
    "stop": {"metric": "rtt", "within": "5%"},
    "timeout": "2m",
}
TREE = SourceTree("c0ffee" * 6 + "abcd", diff="--- a/x\n+++ b/x\n+caf\udce9\n")
PROVENANCE = Provenance("2026-11-30T08:00:00+00:00", "ada", {"nepiq": "0.1.0"}, tree=TREE)
HOSTS = [HostFacts("localhost", 1.8e9, {"kernel": "6.1"}, {"ping": {"programVersion": "s2022"}})]


def rows(plan: CampaignPlan) -> Iterator[Row]:
    """A row for each run of a plan; every third run has failed."""
    number = 0
    for space, repetitions in ((plan.space, plan.repetitions), *plan.added):
        for repetition in range(repetitions):
            for point in space:
                number += 1
                yield row(number, point, repetition)


def row(number: int, point: Mapping[str, Any], repetition: int) -> Row:
    failed = number % 3 == 0
    return Row(
        "sweep",
        point_id(point),
        point,
        repetition + 1,
        run_seed(9, repetition),
        f"run{number}",
        {"here": "localhost"},
        1.8e9 + number,
        1.8e9 + number + 0.5,
        "failed" if failed else "finished",
        "CommandError ping: exited with 2" if failed else "",
        metrics={} if failed else {"rtt": 1.5 + number},
    )


def content(plan: Mapping[str, Any] = PLAN, **changes: Any) -> Content:
    described = CampaignPlan.of(plan)
    record = CampaignRecord(
        "sweep", "finished", "", 1.8e9, described.runs, described.runs, *[0] * 8, parallel=8
    )
    values = {
        "template": TEMPLATE,
        "provenance": PROVENANCE,
        "hosts": HOSTS,
        "read": lambda: rows(described),
        **changes,
    }
    return Content(record, "delay", plan=described, **values)
