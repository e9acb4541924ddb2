"""A Redis that answers, but does not do what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(60)]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path / "stand") as made:
        yield made


def test_a_user_without_the_rights(stand: Stand, tmp_path: Path) -> None:
    redis = stand.backend().redis
    redis.execute_command("ACL", "SETUSER", "half", "on", ">word", "+@all", "-zrevrange", "~*")
    redis.execute_command("ACL", "SETUSER", "half", "-smembers")
    urls = {
        name: url.replace("unix://", "unix://half:word@")
        for name, url in stand.environment.items()
        if name.endswith("_URL")
    }
    user = stand.owned(Installation(tmp_path / "user", **urls))
    for verb in (("ls",), ("top", "--once")):
        done = user.nepiq(*verb)
        assert done.code == 3
        assert "refuses" in done.complaint
        assert "docs/security.md" in done.complaint
        assert "Traceback" not in done.err


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Installation:
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    return stand.owned(Installation(tmp_path / "user", **urls))


def test_a_replica(stand: Stand, user: Installation) -> None:
    stand.pretend_worker()
    stand.backend().redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    done = user.nepiq("drain", "pretended", "--no-wait")
    assert done.code == 3
    assert "not a replica" in done.complaint


def test_a_redis_that_is_full(stand: Stand, user: Installation) -> None:
    stand.pretend_worker()
    stand.backend().redis.config_set("maxmemory", 1)
    done = user.run("""
        with ExperimentController("refused") as ec:
            ec.register_resource("nepiq::Null")
            ec.deploy()
    """)
    assert done.code == 3
    assert "nepiq forget" in done.complaint
    found = user.nepiq("doctor")
    assert found.code == 3
    assert "!!  redis: " in found.out
    assert "nepiq forget" in found.out
