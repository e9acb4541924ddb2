"""The Redis user of deploy/redis/users.acl: enough for all that nepiq does, for nothing else."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError
from tests.security import calls
from tests.security.site import Site
from tests.stand import until

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, TaskStatus
from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.errors import RedisUnreachable

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Redis with users, and two workers."""
    folder = tmp_path_factory.mktemp("site")
    with Site(folder, NEPIQ_IMPORTS="tests.security.calls") as made:
        made.start_worker(wait=False)
        made.start_worker()
        yield made


def refused(site: Site) -> list[str]:
    """What Redis has refused anybody, and forget it."""
    with site.operator() as operator:
        said = [f"{entry['reason']} {entry['object']}" for entry in operator.acl_log()]
        operator.acl_log_reset()
    return said


def test_it_suffices_for_workers_clients_and_monitors(site: Site, tmp_path: Path) -> None:
    user = site.user(tmp_path)
    source = tmp_path / "input.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    with site.experiment("acl", release_after=600) as ec:
        node = ec.register_resource("linux::Node", label="here")
        app: dict[str, Any] = {"connectedTo": node}
        server = ec.register_resource(
            "linux::Application", label="server", command="echo up; exec sleep 300", **app
        )
        app["files"] = str(source)
        client = ec.register_resource("linux::Application", label="client", command="echo 7", **app)
        ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED, "100ms")
        ec.deploy()
        assert ec.wait_finished(client, timeout=30)
        assert ec.trace(client, "stdout") == "7\n"
        ec.upload(server, source, "input.bin")
        ec.stop(server)
        soon = datetime.now(timezone.utc) + timedelta(seconds=0.2)
        task = ec.schedule(soon, functools.partial(calls.greet, "you"))
        until(lambda: ec.get_task(task).status is not TaskStatus.NEW, 20.0, "not called")
        assert ec.get_task(task).result == "hello you"
        for verb in ("ls", "doctor", "status last", "why last client", "timeline last"):
            done = user.nepiq(*verb.split())
            assert done.code == 0, done.out + done.err
        logs = user.begin("logs", "last", "server", "--follow")
        logs.wrote("up")
        with ExperimentController.attach(ec.run_id, settings=site.settings) as second:
            assert second.state("server") is ResourceState.STOPPED
        done = user.nepiq("download", "last", "server", "input.bin", "-o", "got")
        assert done.code == 0, done.err
        assert (tmp_path / "got").read_bytes() == source.read_bytes()
        assert user.nepiq("release", "last").code == 0
        logs.ended()
    celery = (sys.executable, "-m", "celery", "-A", "nepiq.workers.app")
    # With a destination it returns once that has answered, else after exactly a second.
    answers = ("--timeout", "30", "--destination", "w0@here")
    inspected = user.start(*celery, "inspect", *answers, "ping").ended()
    assert inspected.code == 0, inspected.out + inspected.err
    watching = user.start(*celery, "events", "--dump")
    with site.operator() as operator:
        until(lambda: operator.pubsub_numpat() > 1, 20.0, "nobody subscribed to events")
    watching.signal(signal.SIGTERM)
    watching.ended()
    assert refused(site) == []


FORBIDDEN = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET *",
    "CONFIG SET dir /tmp",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DEBUG SLEEP 0",
    "MODULE LIST",
    "SHUTDOWN NOSAVE",
    "SAVE",
    "BGREWRITEAOF",
    "ACL LIST",
    "ACL WHOAMI",
    "REPLICAOF NO ONE",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SLOWLOG GET",
    "SWAPDB 0 1",
    "MIGRATE 127.0.0.1 1 nepiq:x 0 1",
    "RESTORE nepiq:x 0 x",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "GET other",
    "SET other 1",
    "DEL other",
    "RENAME nepiq:runs other",
    "COPY other nepiq:stolen",
    "SUBSCRIBE other",
    "PUBLISH other 1",
    "SORT nepiq:runs BY other*",
]


@pytest.mark.parametrize("command", FORBIDDEN)
def test_it_may_do_nothing_else(site: Site, command: str) -> None:
    with site.redis() as redis, pytest.raises(ResponseError) as caught:
        redis.execute_command(*command.split())
    # DEBUG is refused to everybody, before Redis looks who it is; a part of SORT has its own words.
    said = str(caught.value)
    refusal = "not allowed" in said or "insufficient ACL permissions" in said
    assert isinstance(caught.value, NoPermissionError) or refusal


def test_nor_through_a_script(site: Site) -> None:
    with site.redis() as redis:
        for script in ("return redis.call('FLUSHALL')", "return redis.call('GET', 'other')"):
            with pytest.raises(ResponseError, match=r"can.t run|can.t access|No permission"):
                redis.eval(script, 0)


def test_nobody_else_comes_in(site: Site) -> None:
    for url in (
        site.url(1).replace("nepiq:", "default:"),
        site.url(1, password="wrong"),
        f"redis://127.0.0.1:{site.port}/1",
    ):
        with pytest.raises(RedisUnreachable) as caught:
            connect(url)
        assert "write user and password into the URL" in str(caught.value)
        assert site.password not in str(caught.value)


def test_the_password_is_nowhere_in_the_process_list_or_the_files(site: Site) -> None:
    shown = [
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]
    assert not [line for line in shown if site.password in line]
    written = [path for path in (site._short / "data").rglob("*") if path.is_file()]
    assert written
    for path in written:
        assert site.password.encode() not in path.read_bytes()
    assert (site._short / "data" / "users.acl").stat().st_mode & 0o077 == 0
