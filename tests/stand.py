"""A stand: a Redis and worker processes of a test's own, which it can kill, stop and restart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests import forks, processes
from tests.forks import Forked

from nepiq.controller import ExperimentController, Row
from nepiq.controller.engine import Backend
from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.engine.store import keys
from nepiq.controller.settings import Settings

ROOT = Path(__file__).parents[1]


class Owned(Protocol):
    """What a stand closes."""

    def close(self) -> None: ...


Thing = TypeVar("Thing", bound=Owned)


class Worker:
    """A Celery worker process of a stand."""

    def __init__(self, name: str, process: Forked | subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def signal(self, number: int) -> None:
        """Send a signal to the worker process."""
        self.process.send_signal(number)

    def ended(self, timeout: float = 30.0) -> int:
        """Wait until it has ended; its exit code."""
        return self.process.wait(timeout)

    def text(self) -> str:
        """What it logged."""
        return self.log.read_text(errors="replace")


class Stand:
    """Redis and workers.

    Args:
        folder: where logs and the Redis directory go.
        environment: further variables for workers and scripts.

    Attributes:
        home: home directory of the workers, where localhost nodes keep their files.
        redis_server: the program.
        redis_environment: further variables for Redis, when it is started.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        # Unix socket paths are short; pytest's folders are not.
        self._short = Path(tempfile.mkdtemp(prefix="nq"))
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.socket = self._short / "s"
        self.workers: list[Worker] = []
        self._redis: subprocess.Popen[bytes] | None = None
        self.environment = {
            "NEPIQ_BROKER_URL": f"unix://{self.socket}?db=0",
            "NEPIQ_STATE_URL": f"unix://{self.socket}?db=1",
            "NEPIQ_MACHINE": "here",
            "HOME": str(self.home),
            **environment,
        }
        self.redis_server = "redis-server"
        self.redis_environment: dict[str, str] = {}
        self._owned = ExitStack()
        self._threads = set(threading.enumerate())

    def __enter__(self) -> Stand:
        self.start_redis()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._owned.close()
        finally:
            self._end_workers()
        try:
            self._no_threads()
        finally:
            self.stop_redis()
            shutil.rmtree(self._short, ignore_errors=True)

    def _end_workers(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGCONT)
                worker.signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.ended(15.0)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def _no_threads(self) -> None:
        """Wait for what clients do beside the test: in a later one it would go on, and disturb."""
        for thread in threading.enumerate():
            if thread.name.startswith("nepiq-") and thread not in self._threads:
                thread.join(30.0)
                assert not thread.is_alive(), f"{thread.name} was left by an experiment"

    # -- Redis ------------------------------------------------------------------------------

    def start_redis(self) -> None:
        """Start Redis with an append-only file, and wait until it answers."""
        command = [self.redis_server, "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        command += ["--appendonly", "yes", "--dir", str(self._short)]
        command += ["--maxmemory-policy", "noeviction", "--loglevel", "warning"]
        with (self.folder / "redis.log").open("ab") as log:
            environment = {**os.environ, **self.redis_environment}
            self._redis = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until(self.socket.exists, 10.0, "redis-server made no socket")

    def stop_redis(self, number: int = signal.SIGTERM) -> None:
        """End Redis."""
        if self._redis is not None:
            self._redis.send_signal(number)
            self._redis.wait(30.0)
            self._redis = None

    # -- workers ----------------------------------------------------------------------------

    def start_worker(
        self, name: str = "", *, threads: int = 16, wait: bool = True, **environment: str
    ) -> Worker:
        """Start a worker process; by default wait until it serves."""
        name = name or f"w{len(self.workers)}"
        log = self.folder / f"{name}.log"
        options = ["--pool", "threads", "--concurrency", str(threads), "--loglevel", "INFO"]
        options += ["--without-mingle", "--without-gossip", "--hostname", f"{name}@here"]
        command = [sys.executable, "-m", "nepiq.workers", *options]
        process = forks.start(command, self._environment(environment), ROOT, log, log)
        worker = Worker(name, process, log)
        self.workers.append(worker)
        if wait:
            until(
                lambda: process.poll() is not None or " ready." in worker.text(),
                60.0,
                f"worker {name} did not start",
            )
            assert process.poll() is None, worker.text()
        return worker

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**forks.environment(), **self.environment, **more}

    def pretend_worker(self) -> None:
        """Give the sign of life of a worker that is not there, so that a deploy goes ahead."""
        redis = self.backend().redis
        told = {"machine": "here", "queues": ["nepiq"], "pid": 0, "version": "0"}
        redis.hset(keys.WORKERS, "pretended", json.dumps(told))
        redis.zadd(keys.BEATS, {"pretended": time.time()})

    def drop_messages(self, queue: str) -> int:
        """Lose the messages of a queue; how many there were."""
        client = connect(self.environment["NEPIQ_BROKER_URL"])
        try:
            count = int(client.llen(f"nepiq:{queue}"))
            client.delete(f"nepiq:{queue}")
            return count
        finally:
            client.close()

    # -- clients ----------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What a client of this stand is given."""
        return Settings(
            broker_url=self.environment["NEPIQ_BROKER_URL"],
            state_url=self.environment["NEPIQ_STATE_URL"],
            cache_home=self.folder / "cache",
        )

    def backend(self) -> Backend:
        """A backend that is closed with the stand."""
        return self.owned(Backend(self.settings))

    def owned(self, thing: Thing) -> Thing:
        """Have something closed with the stand."""
        self._owned.callback(thing.close)
        return thing

    def experiment(self, exp_id: str = "test", **options: Any) -> ExperimentController:
        """An experiment of this stand."""
        return ExperimentController(exp_id, settings=self.settings, **options)

    def run_directories(self, rows: Iterable[Row]) -> list[Path]:
        """The directories on this machine of ended runs of a campaign."""
        base = self.home / ".nepiq"
        return [base / row.run_id for row in rows if (base / row.run_id).exists()]

    def milestone(self, ec: ExperimentController, guid: int, milestone: str) -> float:
        """When a resource reached a state, seconds since the epoch by Redis' clock."""
        return self.backend().run(ec.run_id).record(guid).milestones[milestone]

    def experiment_of(self, exp_id: str) -> ExperimentController:
        """Attach to the latest run of an experiment."""
        return ExperimentController.attach(exp_id, settings=self.settings)

    def command(self, *words: str) -> str:
        """Run a command of nepiq with this stand's environment; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "nepiq.controller.cli", *words],
            env=self._environment({}),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60.0,
            check=False,
        )
        return done.stdout

    def script(self, text: str, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A Python script in a process of its own, with its arguments and this environment."""
        return subprocess.Popen(
            [sys.executable, "-c", text, *words],
            env=self._environment(environment),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def until(happened: Callable[[], object], seconds: float, message: str) -> None:
    """Wait for something that gives no event; fail with a message."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"{message} within {seconds:g} s")
        time.sleep(0.02)


def bearers(mark: str) -> list[int]:
    """Processes whose environment says that they belong to a run, by the start of NEPIQ_ID."""
    return list(processes.identities(mark))
