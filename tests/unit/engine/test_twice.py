"""Each script executed twice in a row leaves what it leaves when executed once.

The Redis client repeats a call whose reply was lost. What a script drains of the to-do list is
the exception: twice drains more of it; so both runs are drained to the end before they are
compared.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.calls import Calls
from tests.reference.model import Model

from nepiq.controller.engine.store.timing import Timing

_TIMING = Timing(lease=0.08, grace=0.01, horizon=0.2, limit=3)
_PROGRESS = ("go_on", "sweep", "expire")


def settled(model: Model) -> dict[str, object]:
    """All records once nothing is left to do; the original goes on as it is."""
    copy = Model(model.clock, model.timing)
    copy.restore(model)
    if copy.meta and copy.meta["phase"] != "EXPIRED":
        while copy.go_on().more:
            pass
    return copy.dump()


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 120))
def test_twice_is_once(seed: int, length: int) -> None:
    rng = random.Random(seed)
    now = 1000.0
    model = Model(lambda: now, _TIMING)
    calls = Calls(rng, model)
    for _ in range(length):
        call = calls.next()
        now += rng.choice([0.0005, 0.002, 0.02])
        twice = Model(model.clock, model.timing)
        twice.restore(model)
        getattr(twice, call.name)(*call.args)
        first = getattr(model, call.name)(*call.args)
        if call.name in _PROGRESS:
            continue
        second = getattr(twice, call.name)(*call.args)
        assert settled(twice) == settled(model), call
        if call.name == "claim":
            assert [bool(one) for one in first[1]] == [bool(one) for one in second[1]], call
