"""The simulator notices when a rule of the protocol is missing; so its silence means something."""

from __future__ import annotations

import pytest
from tests.reference.ablations import ABLATIONS
from tests.reference.simulator import simulate

_ENOUGH = 400


@pytest.mark.parametrize("rule", ABLATIONS)
def test_a_missing_rule_shows(rule: str) -> None:
    ablation = ABLATIONS[rule]
    for seed in range(_ENOUGH):
        shown = {violation.what for violation in simulate(seed, ablation.faults, ablation.rules)}
        if shown & set(ablation.shows):
            return
    pytest.fail(f"without the rule that {rule}, {_ENOUGH} random experiments show nothing")
