"""Runs of a campaign have the values of their point, although its template is compiled once."""

from __future__ import annotations

import json

from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.segment import Segment

PLAN = {"space": {"grid": {"n": [1, 2]}}, "repetitions": 2}
TEMPLATE = {
    "nepiq": 1,
    "resources": {
        "here": {"type": "linux::Node", "hostname": "localhost"},
        "ping": {"type": "linux::Ping", "node": "here", "target": "127.0.0.1", "count": "${n}"},
        "app": {"type": "linux::Application", "node": "here", "command": "./run ${n} ${seed}"},
    },
}


def test_a_command_with_a_parameter_that_decides_about_more_than_itself() -> None:
    plan = CampaignPlan.of(PLAN)
    data = Definition.data("study", TEMPLATE, plan)
    definition = Definition("study", data, [Segment.data(plan)])
    for slot in range(definition.total):
        values = definition.place(slot).values
        expected = json.dumps(f"./run {values['n']} {values['seed']}")
        assert expected in definition.arguments(slot)
    assert len({definition.place(slot).seed for slot in range(4)}) == 2
