"""Random experiments on the real engine: each history must be one that the protocol admits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.histories.replay import Call, replayed
from tests.histories.session import Session

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.xdist_group("histories"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Redis and two workers for all experiments of these tests."""
    with Session(tmp_path_factory.mktemp("histories")) as made:
        yield made


@pytest.mark.parametrize("first", [0, 25])
def test_histories_are_admitted(session: Session, first: int) -> None:
    bad = session.carry_out(range(first, first + 25))
    assert not bad, "\n".join(bad)


@pytest.fixture(scope="session")
def watched(session: Session) -> dict[str, list[Call]]:
    """The scripts that the runs of some experiments went through."""
    return session.watched(range(50, 56))


def test_the_model_ends_like_redis(session: Session, watched: dict[str, list[Call]]) -> None:
    redis = session.stand.backend().redis
    for run_id, calls in watched.items():
        assert replayed(calls, redis, run_id) == []


@pytest.mark.parametrize("name", ["claim", "commit", "deploy", "release"])
def test_a_call_that_is_left_out_shows(
    session: Session, watched: dict[str, list[Call]], name: str
) -> None:
    redis = session.stand.backend().redis
    run_id, calls = max(watched.items(), key=lambda item: len(item[1]))
    gone = next(number for number, call in enumerate(calls) if call.name == name)
    assert replayed(calls[:gone] + calls[gone + 1 :], redis, run_id) != []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1000, 1500, 50))
def test_more_histories_are_admitted(session: Session, first: int) -> None:
    bad = session.carry_out(range(first, first + 50))
    assert not bad, "\n".join(bad)
