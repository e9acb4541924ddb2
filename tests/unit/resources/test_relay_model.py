"""The draws of the relay, and its program as one file."""

from __future__ import annotations

import io
import math
import zipfile
from itertools import pairwise

import pytest

from nepiq.controller.resources.linux.network.program import archive
from nepiq.controller.resources.linux.network.relay.model import DROP, PASS, TWICE, Model
from nepiq.controller.resources.linux.network.relay.netlink import Refused

MANY = 50_000


def verdicts(**values: float) -> list[int]:
    model = Model({"seed": 1, **values})
    return [model.draw()[1] for _ in range(MANY)]


def test_a_plain_delay() -> None:
    model = Model({"delay": 0.025})
    assert model.is_plain
    assert {model.draw() for _ in range(10)} == {(25_000_000, PASS)}


@pytest.mark.parametrize("loss", [0.5, 10, 100])
def test_the_share_of_losses(loss: float) -> None:
    share = loss / 100
    deviation = math.sqrt(MANY * share * (1 - share))
    assert abs(verdicts(loss=loss).count(DROP) - MANY * share) <= 3 * deviation


def test_losses_in_bursts() -> None:
    drawn = verdicts(loss=10, burst=5)
    lost = drawn.count(DROP)
    bursts = sum(a != DROP and b == DROP for a, b in pairwise(drawn))
    assert lost / MANY == pytest.approx(0.1, rel=0.1)
    assert lost / bursts == pytest.approx(5, rel=0.1)


def test_jitter_is_even_and_never_negative() -> None:
    model = Model({"delay": 0.01, "jitter": 0.02, "seed": 1})
    held = [model.draw()[0] / 1e9 for _ in range(MANY)]
    assert min(held) == 0
    assert max(held) == pytest.approx(0.03, rel=0.01)
    assert sum(delay > 0.02 for delay in held) / MANY == pytest.approx(0.25, rel=0.05)


def test_reordering_and_duplicates() -> None:
    model = Model({"delay": 0.01, "reorder": 30, "duplicate": 20, "seed": 1})
    drawn = [model.draw() for _ in range(MANY)]
    assert sum(delay == 0 for delay, _ in drawn) / MANY == pytest.approx(0.3, rel=0.05)
    assert sum(verdict == TWICE for _, verdict in drawn) / MANY == pytest.approx(0.2, rel=0.05)


def test_a_seed_repeats_the_draws() -> None:
    assert verdicts(loss=20) == verdicts(loss=20)
    assert verdicts(loss=20) != verdicts(loss=20, seed=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": -1}, "loss must be a number from 0 to 100, not -1"),
        ({"delay": "5ms"}, "delay must be a number from 0 to 3600, not '5ms'"),
        ({"limit": 0}, "limit must be a number from 1 to 1e"),
        ({"speed": 1}, "unknown parameter 'speed'"),
    ],
)
def test_refused_parameters(values: dict[str, float], message: str) -> None:
    with pytest.raises(Refused, match=message):
        Model(values)


def test_the_program_is_one_file_that_needs_no_other() -> None:
    assert archive() == archive()
    with zipfile.ZipFile(io.BytesIO(archive())) as files:
        names = set(files.namelist())
        assert {"__main__.py", "relay/__main__.py", "relay/end.py"} <= names
        for name in names:
            assert b"nepiq.controller" not in files.read(name)
