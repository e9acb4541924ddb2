"""The Redis and the workers that a benchmark run starts for itself and ends again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from celery import Celery

ROOT = Path(__file__).parents[2]
WORKERS = 2
THREADS = 16
START_SECONDS = 60.0


class Server(NamedTuple):
    """A Redis that runs."""

    socket: Path
    pid: int


@contextmanager
def redis_server(folder: Path) -> Iterator[Server]:
    """A Redis on a unix socket in the folder, without persistence."""
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
    command += ["--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            if not any("eady to accept connections" in line for line in server.stdout):
                raise RuntimeError(f"redis-server ended with {server.wait()}")
            yield Server(socket, server.pid)
        finally:
            server.terminate()
            server.wait()


def broker_url(socket: Path, database: int) -> str:
    """The URL by which Celery reaches a database of the server."""
    return f"redis+socket://{socket}?virtual_host={database}"


def state_url(socket: Path, database: int) -> str:
    """The URL by which redis-py reaches a database of the server."""
    return f"unix://{socket}?db={database}"


@contextmanager
def workers(
    app: Celery, module: str, environment: Mapping[str, str], logs: Path, count: int = WORKERS
) -> Iterator[list[int]]:
    """Celery workers of a module, in processes of their own, ready when the block begins.

    Yields their process ids.

    Args:
        app: an application on the same broker, to ask them whether they are there.
        module: what ``celery -A`` loads.
        environment: variables added to ours.
        logs: the folder that keeps what they say.
        count: how many.
    """
    command = [sys.executable, "-m", "celery", "-A", module, "worker", "--pool", "threads"]
    command += ["--concurrency", str(THREADS), "--loglevel", "WARNING"]
    command += ["--without-mingle", "--without-gossip"]
    ours = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    processes = []
    try:
        for number in range(count):
            name = f"{module.rpartition('.')[2]}{number}@bench"
            with (logs / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [*command, "--hostname", name], env=ours, cwd=ROOT, stdout=log, stderr=log
                    )
                )
        _wait_ready(app, processes, logs)
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _end(process)


def _wait_ready(app: Celery, processes: list[subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while len(app.control.ping(timeout=1.0, limit=len(processes)) or ()) < len(processes):
        if time.monotonic() > deadline or any(item.poll() is not None for item in processes):
            raise RuntimeError(f"the workers did not start: {_last_lines(logs)}")


def _last_lines(logs: Path) -> str:
    texts = {path: path.read_text(errors="replace").splitlines() for path in logs.glob("*.log")}
    return "; ".join(f"{path}: {lines[-1]}" for path, lines in texts.items() if lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
