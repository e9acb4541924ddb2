"""A Redis of its own for the tests that need one: on a unix socket, without persistence."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from tests.conftest import Need

from nepiq.controller.engine.store import RunStore

RUN_ID = "20251122101112131415"


@dataclass(frozen=True)
class RedisServer:
    """A running redis-server.

    Attributes:
        socket: path of its unix socket.
        pid: its process.
    """

    socket: str
    pid: int

    @property
    def url(self) -> str:
        """Its URL, as settings take it."""
        return f"unix://{self.socket}"

    def client(self) -> Redis:
        """A new client, which gives bytes."""
        return Redis(unix_socket_path=self.socket)


@pytest.fixture(scope="session")
def redis_server(need: Need) -> Iterator[RedisServer]:
    """One server for the tests of this process."""
    program = shutil.which("redis-server")
    need("redis-server", program, "not on PATH")
    # Not under pytest's folder: the path of a unix socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="nepiq-redis-"))
    socket = str(folder / "socket")
    options = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *options, "--dir", str(folder)], stdout=log, stderr=log
        )
    try:
        _wait_until_ready(socket, process)
        yield RedisServer(socket, process.pid)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _wait_until_ready(socket: str, process: subprocess.Popen[bytes]) -> None:
    client = Redis(unix_socket_path=socket)
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(RedisConnectionError):
            client.ping()
            client.close()
            return
        time.sleep(0.01)
    pytest.fail("redis-server did not start")


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of an empty server."""
    client = redis_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def run_store(redis_client: Redis) -> RunStore:
    """The records of a run that has just been created."""
    store = RunStore(redis_client, RUN_ID)
    assert store.create("creator", "exp")[0] == "OK"
    return store
