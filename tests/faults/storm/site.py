"""A Redis machine, worker machines and hosts, each with a network of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.stand import ROOT, until
from tests.testbed import Host, Testbed

from nepiq.controller.engine import Backend
from nepiq.controller.settings import Settings

HOSTS = 6
WORKERS = 3
KINDS = "tests.faults.storm.kinds,tests.faults.network_kinds"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")

#: MB that a worker has in memory at most, whatever hosts send. An idle one has about 120.
MEMORY = 400
#: MB at which a worker is killed, so that it does not take this machine down.
_TOO_MUCH = 1000

_REDIS = 6379
_PROXY = 6380


class WorkerMachine:
    """A machine with one worker, which is started again when it dies, as a service would be.

    Args:
        name: its name.
        host: whose network it has.
        command: the worker.
        environment: its environment.
        log: where it logs.

    Attributes:
        memory: the most that any of its workers had in memory, in MB.
    """

    def __init__(
        self, name: str, host: Host, command: list[str], environment: dict[str, str], log: Path
    ) -> None:
        self.name = name
        self.host = host
        self.log = log
        self.deaths = 0
        self.memory = 0
        self.stopped = False
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the worker process."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                ["nsenter", "-t", str(self.host.space.pid), "-n", "--", *self._command],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send the worker a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    @contextmanager
    def out_of_order(self) -> Iterator[None]:
        """Have no other fault hit it while the block runs."""
        self.stopped = True
        yield
        self.stopped = False

    def weigh(self) -> None:
        """Note how much it has had in memory; its peak is kept by the kernel while it lives."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with suppress(OSError):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.memory = max(self.memory, int(line.split()[1]) // 1024)
        if self.memory > _TOO_MUCH:
            process.kill()

    def look(self) -> None:
        """Start it again if it is dead."""
        if self._process is not None and self._process.poll() is not None:
            self.deaths += 1
            self.start()

    def end(self) -> None:
        """End it for good."""
        self.weigh()
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ready(self) -> bool:
        """It has said that it serves."""
        return " ready." in self.log.read_text(errors="replace")


class Site:
    """Everything that a storm goes over.

    Args:
        folder: where logs and the data of Redis go.
        bed: at least as many hosts as there are machines here.
        skewed: one worker's clock is so many seconds off.
    """

    def __init__(self, folder: Path, bed: Testbed, skewed: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.bed = bed
        self.hosts: Sequence[Host] = bed.hosts[:HOSTS]
        self._redis_host = bed.hosts[HOSTS]
        self._data = folder / "redis"
        self._data.mkdir()
        self._redis: subprocess.Popen[bytes] | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._backends: list[Backend] = []
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.redis_lock = threading.Lock()
        self.workers: list[WorkerMachine] = []
        self._skewed = skewed

    def __enter__(self) -> Site:
        self.start_redis()
        self._proxy = self._inside(
            [sys.executable, str(Path(__file__).with_name("proxy.py")), str(_PROXY)], "proxy"
        )
        hosts = self.bed.hosts[HOSTS + 1 : HOSTS + 1 + WORKERS]
        for number, host in enumerate(hosts, start=1):
            self.workers.append(self._worker(number, host))
        for worker in self.workers:
            until(worker.ready, 90.0, f"{worker.name} did not start")
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join()
        for worker in self.workers:
            worker.end()
        for backend in self._backends:
            backend.close()
        for process in (self._proxy, self._redis):
            if process is not None:
                process.kill()
                process.wait()

    def _keep(self) -> None:
        while not self._over.wait(0.2):
            for worker in self.workers:
                worker.weigh()
                worker.look()

    # -- Redis ------------------------------------------------------------------------------

    def start_redis(self) -> None:
        """Start Redis, and wait until it answers."""
        command = ["redis-server", "--bind", "0.0.0.0", "--port", str(_REDIS)]
        command += ["--protected-mode", "no", "--save", "", "--dir", str(self._data)]
        command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        command += ["--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction"]
        self._redis = self._inside([*command, "--loglevel", "warning"], "redis")
        until(self._answers, 20.0, "Redis did not answer")

    def _answers(self) -> bool:
        backend = Backend(self.settings)
        try:
            return bool(backend.redis.ping())
        except Exception:  # noqa: BLE001 - it is not there yet
            return False
        finally:
            backend.close()

    def signal_redis(self, number: int) -> None:
        """Send Redis a signal."""
        assert self._redis is not None
        self._redis.send_signal(number)

    def end_redis(self, number: int) -> None:
        """End Redis with a signal."""
        self.signal_redis(number)
        assert self._redis is not None
        self._redis.wait(30.0)

    @property
    def log_of_redis(self) -> Path:
        """What Redis has written down most recently."""
        return max(self._data.glob("appendonlydir/*.incr.aof"), key=lambda path: path.name)

    def lose_replies(self) -> None:
        """Lose the replies of the next scripts of workers."""
        assert self._proxy is not None
        self._proxy.send_signal(signal.SIGUSR1)

    @property
    def settings(self) -> Settings:
        """What a client is given."""
        address = f"redis://{self._redis_host.address}:{_REDIS}"
        return Settings(
            broker_url=f"{address}/0", state_url=f"{address}/1", cache_home=self.folder / "cache"
        )

    def backend(self) -> Backend:
        """A backend that is closed with the site."""
        self._backends.append(Backend(self.settings))
        return self._backends[-1]

    # -- inside -----------------------------------------------------------------------------

    def _inside(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        """Start something in the network of the Redis machine."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                ["nsenter", "-t", str(self._redis_host.space.pid), "-n", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _worker(self, number: int, host: Host) -> WorkerMachine:
        name = f"m{number}"
        home = self.folder / name
        home.mkdir()
        address = self._redis_host.address
        path = [str(ROOT / ".typing"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "HOME": str(home),
            "NEPIQ_BROKER_URL": f"redis://{address}:{_REDIS}/0",
            "NEPIQ_STATE_URL": f"redis://{address}:{_PROXY}/1",
            "NEPIQ_MACHINE": name,
            "NEPIQ_IMPORTS": KINDS,
            "NEPIQ_SSH_CONFIG": str(self.bed.ssh_config),
        }
        if self._skewed and number == 1:
            environment |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME": f"{self._skewed:+g}s",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NEPIQ_IMPORTS": f"tests.faults.faked,{KINDS}",
            }
        command = [sys.executable, "-m", "nepiq.workers"]
        command += ["--pool", "threads", "--concurrency", "16", "--loglevel", "INFO"]
        command += ["--without-mingle", "--without-gossip", "--hostname", f"w@{name}"]
        return WorkerMachine(name, host, command, environment, self.folder / f"{name}.log")


def wait(seconds: float, over: threading.Event) -> None:
    """Let time pass; less if the storm is called off."""
    end = time.monotonic() + seconds
    with suppress(AssertionError):
        until(lambda: over.is_set() or time.monotonic() >= end, seconds + 1.0, "")
