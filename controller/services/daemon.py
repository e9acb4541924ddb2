"""The daemon of the local services: the parent process of the private Redis and the worker.

``python -m nepiq.controller.services.daemon DATA SOCKETS IDLE`` returns once its child listens on
``SOCKETS/keeper.sock``; :mod:`.embedded` is its client. The daemon sleeps until a client sends a
request or disconnects, a child ends, or a timer expires. It stops both servers when no client has
been connected and no run has been active for ``IDLE`` seconds.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..errors import EmbeddedError, InfrastructureError
from ..model.durations import Backoff
from . import servers
from .place import Place, private, tail

_EARLY_SECONDS = 60.0  # a server that exits sooner counts as not started
_REDIS_PAUSES, _WORKER_PAUSES = Backoff(0.1, 5.0), Backoff(0.3)
_MAX_EARLY_EXITS = 3  # early exits of the worker in a row that are reported to clients
_RETIRE_SECONDS = 10.0  # time after which a retiring worker accepts no more steps
_LINGER_SECONDS = 10.0  # time that a failed daemon waits for the client that started it
_STOP_SECONDS = 20.0  # time for a server to exit on SIGTERM before it is killed


@dataclass
class Client:
    """A connected client.

    Attributes:
        buffer: the received part of an incomplete line.
        waiting: its join is answered once Redis is ready.
        outdated: retiring workers that lack its imports; the answer waits until they are gone.
        joined: it keeps the services up; a client that only requests the status does not.
    """

    channel: socket.socket
    buffer: bytes = b""
    waiting: bool = False
    outdated: Sequence[subprocess.Popen[bytes]] = ()
    joined: bool = False


class Daemon:
    """The event loop over clients, child processes and timers."""

    def __init__(
        self, place: Place, idle: float, lock: int, listener: socket.socket, mask: int
    ) -> None:
        self.place = place
        self.mask = mask
        self.idle = idle
        self.lock = lock
        self.clients: dict[int, Client] = {}
        self.redis: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.retiring: list[subprocess.Popen[bytes]] = []
        self.needs = servers.Needs()
        self.ready = False
        self.pinned = False
        self.failure = ""
        self.hint = ""
        self.ending = False
        self._worker_start_time = 0.0
        self._redis_start_time = 0.0
        self._redis_early_exits = 0
        self._worker_early_exits = 0
        self._worker_count = 0
        # Name -> (monotonic time, callback).
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._watch_signals()

    def _watch_signals(self) -> None:
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        self._wakeup = sender
        self._selector.register(receiver, selectors.EVENT_READ, lambda: receiver.recv(4096))

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Run the services until they are stopped or idle."""
        self._start_redis()
        self._after("idle", self.idle, self._end_if_idle)
        while not self.ending:
            now = time.monotonic()
            soonest = min((at for at, _ in self._timers.values()), default=now + 3600)
            for key, _ in self._selector.select(max(0.0, soonest - now)):
                key.data()
            self._reap()
            now = time.monotonic()
            for name, (at, callback) in list(self._timers.items()):
                if at <= now and name in self._timers:
                    del self._timers[name]
                    callback()
        self._notify_clients()
        self._stop_children()

    def _notify_clients(self) -> None:
        """Send joined clients an error; without it they would restart the services."""
        for client in list(self.clients.values()):
            if client.joined and not client.waiting:
                error = "the local services have been stopped"
                self._send(client, {"error": error, "hint": "start them again with nepiq up"})

    def _after(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        self._timers[name] = (time.monotonic() + seconds, callback)

    def _end(self) -> None:
        self.ending = True

    # -- clients ------------------------------------------------------------------------------

    def _accept(self) -> None:
        channel, _ = self._listener.accept()
        channel.setblocking(False)
        client = Client(channel)
        self.clients[channel.fileno()] = client
        self._selector.register(channel, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: Client) -> None:
        try:
            data = client.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._disconnect(client)
            return
        *lines, client.buffer = (client.buffer + data).split(b"\n")
        for line in lines:
            self._handle(client, json.loads(line))

    def _handle(self, client: Client, request: dict[str, Any]) -> None:
        verb = request["verb"]
        if verb == "join":
            client.joined = True
            self._timers.pop("idle", None)
            self.pinned = self.pinned or request["pinned"]
            if request["worker"]:
                self._require_worker(request["imports"], request["path"])
                client.outdated = tuple(self.retiring) if request["imports"] else ()
            if self.redis is None and "redis" not in self._timers:
                self._send(client, {"error": self.failure, "hint": self.hint})
                self._after("end", 0.0, self._end)
            else:
                client.waiting = True
                self._answer_joins()
        elif verb == "status":
            self._send(client, self._status())
        elif verb == "down":
            self._send(client, {})
            self._end()

    def _answer_joins(self) -> None:
        """Answer waiting clients if Redis is ready and no outdated worker can take their steps."""
        for client in list(self.clients.values()):
            outdated = any(worker in self.retiring for worker in client.outdated)
            if client.waiting and self.ready and not outdated:
                client.waiting = False
                self._send(client, {"redis": str(self.place.redis)})

    def _status(self) -> dict[str, Any]:
        return {
            "keeper": os.getpid(),
            "redis": self.redis.pid if self.redis else None,
            "worker": self.worker.pid if self.worker else None,
            "clients": sum(client.joined for client in self.clients.values()),
            "pinned": self.pinned,
            "failure": self.failure,
            "logs": str(self.place.data),
        }

    def _send(self, client: Client, message: dict[str, Any]) -> None:
        try:
            client.channel.send(json.dumps(message).encode() + b"\n")
        except OSError:
            self._disconnect(client)

    def _disconnect(self, client: Client) -> None:
        if client.channel.fileno() < 0:
            return
        self._selector.unregister(client.channel)
        self.clients.pop(client.channel.fileno(), None)
        client.channel.close()
        # A client that only requested the status does not restart the timer.
        if client.joined and not any(other.joined for other in self.clients.values()):
            self._after("idle", self.idle, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if any(client.joined for client in self.clients.values()) or self.pinned:
            return
        if self._active_runs():
            self._after("idle", self.idle, self._end_if_idle)
        else:
            self._end()

    def _active_runs(self) -> int:
        # Imported late: needed only after the last client has disconnected.
        from ..engine import Backend
        from ..settings import Settings

        place = self.place
        settings = Settings.from_environment()
        backend = Backend(replace(settings, broker_url=place.broker_url, state_url=place.state_url))
        try:
            runs = sum(run.phase != "RELEASED" for run in backend.runs())
            return runs + len(backend.busy_campaigns())
        except InfrastructureError:
            return 0
        finally:
            backend.close()

    # -- Redis --------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        try:
            self.redis = servers.start_redis(self.place, self.lock)
        except EmbeddedError as error:
            self._fail_redis(error.message, error.hint)
            return
        self._redis_start_time = time.monotonic()
        output = self.redis.stdout
        assert output is not None  # noqa: S101 - stdout is a pipe
        log = self.place.log("redis")
        self._redis_log = open(log, "ab", buffering=0, opener=private)  # noqa: SIM115 - open as long as Redis runs
        self._selector.register(output, selectors.EVENT_READ, lambda: self._read_redis(output))

    def _read_redis(self, output: IO[bytes]) -> bool:
        """Copy output of Redis to its log; return False at its end."""
        data = os.read(output.fileno(), 65536)
        if not data:
            self._selector.unregister(output)
            output.close()
            return False
        self._redis_log.write(data)
        # The last line of a start, after the files are loaded; the same in Redis 6.2 and 7.
        if not self.ready and b"ccept connections" in data:
            self.ready = True
            self._answer_joins()
        return True

    def _fail_redis(self, message: str, hint: str) -> None:
        self.ready = False
        self._fail(message, hint)
        # Unless a waiting client has received the error, the client that started us will connect.
        delivered = any(client.waiting for client in self.clients.values())
        self._after("end", 0.0 if delivered else _LINGER_SECONDS, self._end)

    # -- the local worker ---------------------------------------------------------------------

    def _require_worker(self, imports: list[str], path: list[str]) -> None:
        """Start a worker with these imports; replace one that lacks them."""
        new = self.needs.add(imports, path)
        if self.failure and self.redis is not None:
            # The user may have fixed the cause: retry for each new client.
            self.failure, self._worker_early_exits = "", 0
        old = self.worker
        if old is None:
            if "worker" not in self._timers:
                self._start_worker()
        elif new:
            # Its successor starts at once; the old worker only finishes its running steps.
            self.retiring.append(old)
            old.terminate()
            self._start_worker()
            self._after(f"retire {old.pid}", _RETIRE_SECONDS, self._retire)

    def _retire(self) -> None:
        """Answer clients although retiring workers still finish their running steps."""
        for client in self.clients.values():
            client.outdated = ()
        self._answer_joins()

    def _start_worker(self) -> None:
        self._worker_count += 1
        name = f"embedded-{os.getpid()}-{self._worker_count}@{platform.node()}"
        self.worker = servers.start_worker(self.place, name, self.needs, self.mask)
        self._worker_start_time = time.monotonic()

    def _reap(self) -> None:
        self.retiring = [process for process in self.retiring if process.poll() is None]
        self._answer_joins()
        if self.redis is not None and self.redis.poll() is not None and not self.ending:
            self._on_redis_exit(self.redis)
        if self.worker is None or self.worker.poll() is None or self.ending:
            return
        code, self.worker = self.worker.returncode, None
        early = time.monotonic() - self._worker_start_time < _EARLY_SECONDS
        self._worker_early_exits = self._worker_early_exits + 1 if early else 0
        if self._worker_early_exits < _MAX_EARLY_EXITS:
            self._after(
                "worker", _WORKER_PAUSES.pause(self._worker_early_exits + 1), self._start_worker
            )
            return
        log = tail(self.place.log("worker"))
        self._fail(
            f"the local worker does not start (code {code}): {log}",
            f"see {self.place.log('worker')}",
        )

    def _on_redis_exit(self, redis: subprocess.Popen[bytes]) -> None:
        """Restart Redis if it was ready before; otherwise report the failure and end."""
        output = redis.stdout
        while output is not None and not output.closed and self._read_redis(output):
            pass
        self._redis_log.close()
        self.redis = None
        if self.ready:
            self.ready = False
            early = time.monotonic() - self._redis_start_time < _EARLY_SECONDS
            self._redis_early_exits = self._redis_early_exits + 1 if early else 0
            pause = _REDIS_PAUSES.pause(self._redis_early_exits + 1)
            self._after("redis", pause, self._start_redis)
            return
        log = tail(self.place.log("redis"))
        self._fail_redis(
            f"the local Redis ended (code {redis.returncode}): {log}",
            f"see the logs in {self.place.data}",
        )

    def _fail(self, message: str, hint: str) -> None:
        self.failure, self.hint = message, hint
        for client in list(self.clients.values()):
            self._send(client, {"error": message, "hint": hint})

    # -- the end ------------------------------------------------------------------------------

    def _stop_children(self) -> None:
        """Stop the workers, which need Redis for their shutdown, then Redis."""
        workers = [*self.retiring, *([self.worker] if self.worker else [])]
        for group in (workers, [self.redis] if self.redis else []):
            for process in group:
                process.terminate()
            for process in group:
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for path in (self.place.redis, self.place.control):
            path.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Listen on the socket, fork the daemon, and return."""
    # A thread that receives no signals may have started this program.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    place = Place(Path(arguments[0]), Path(arguments[1]))
    place.make()
    # Files of the daemon and Redis are private; the worker and its applications keep the old umask.
    mask = os.umask(0o077)
    lock = os.open(place.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A former daemon, or its Redis, may still be exiting.
    fcntl.flock(lock, fcntl.LOCK_EX)
    place.control.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place.control))
    listener.listen(64)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    for name in ("redis", "worker"):
        log = place.log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
    Daemon(place, float(arguments[2]), lock, listener, mask).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
