"""The keeper: the process that owns the embedded Redis and the local worker.

``python -m nepiq.controller.services.daemon DATA SOCKETS IDLE`` returns once its child listens on
``SOCKETS/keeper.sock``; :mod:`.embedded` is what talks with it. The keeper sleeps until a client
speaks or leaves, a child ends, or a time has come. It ends both servers when, for ``IDLE``
seconds, no client was connected and no run was active.
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
from .embedded import Place, private, tail

_QUICK_SECONDS = 60.0  # a worker that ends sooner did not really start
_REDIS_PAUSES, _WORKER_PAUSES = Backoff(0.1, 5.0), Backoff(0.3)
_QUICK_ENDS = 3  # so many in a row are a failure that clients must hear of
_RETIRE_SECONDS = 10.0  # by then a worker that was asked to end takes no more steps
_TELL_SECONDS = 10.0  # a failure to start is kept so long for the client that asked
_STOP_SECONDS = 20.0  # given to a server to end before it is killed


@dataclass
class Client:
    """A connected client.

    Attributes:
        unread: the beginning of a line that has not arrived whole.
        waiting: it is to be told when Redis answers.
        behind: workers that must not get its steps any more: they lack what these need.
        holds: it keeps the stack up; one that asks for the status does not.
    """

    channel: socket.socket
    unread: bytes = b""
    waiting: bool = False
    behind: Sequence[subprocess.Popen[bytes]] = ()
    holds: bool = False


class Keeper:
    """The loop over clients, children and time."""

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
        self._worker_began = 0.0
        self._redis_began = 0.0
        self._redis_quick_ends = 0
        self._quick_ends = 0
        self._workers_made = 0
        # What must happen at a time: name -> (monotonic time, what).
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._watch_signals()

    def _watch_signals(self) -> None:
        bell, ring = socket.socketpair()
        bell.setblocking(False)
        ring.setblocking(False)
        signal.set_wakeup_fd(ring.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        self._ring = ring
        self._selector.register(bell, selectors.EVENT_READ, lambda: bell.recv(4096))

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Keep the stack until it is told to end, or nobody needs it."""
        self._start_redis()
        self._after("idle", self.idle, self._leave_if_unused)
        while not self.ending:
            now = time.monotonic()
            soonest = min((at for at, _ in self._timers.values()), default=now + 3600)
            for key, _ in self._selector.select(max(0.0, soonest - now)):
                key.data()
            self._reap()
            now = time.monotonic()
            for name, (at, what) in list(self._timers.items()):
                if at <= now and name in self._timers:
                    del self._timers[name]
                    what()
        self._say_goodbye()
        self._stop_children()

    def _say_goodbye(self) -> None:
        """Who holds the stack would take an end without a word for a kill, and start it again."""
        for client in list(self.clients.values()):
            if client.holds and not client.waiting:
                stopped = "the embedded stack has been stopped"
                self._tell(client, {"error": stopped, "hint": "nepiq up starts it again"})

    def _after(self, name: str, seconds: float, what: Callable[[], None]) -> None:
        self._timers[name] = (time.monotonic() + seconds, what)

    def _end(self) -> None:
        self.ending = True

    # -- clients ------------------------------------------------------------------------------

    def _accept(self) -> None:
        channel, _ = self._listener.accept()
        channel.setblocking(False)
        client = Client(channel)
        self.clients[channel.fileno()] = client
        self._selector.register(channel, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: Client) -> None:
        try:
            data = client.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(client)
            return
        *lines, client.unread = (client.unread + data).split(b"\n")
        for line in lines:
            self._serve(client, json.loads(line))

    def _serve(self, client: Client, request: dict[str, Any]) -> None:
        verb = request["verb"]
        if verb == "join":
            client.holds = True
            self._timers.pop("idle", None)
            self.pinned = self.pinned or request["pinned"]
            if request["worker"]:
                self._require_worker(request["imports"], request["path"])
                client.behind = tuple(self.retiring) if request["imports"] else ()
            if self.redis is None and "redis" not in self._timers:
                self._tell(client, {"error": self.failure, "hint": self.hint})
                self._after("end", 0.0, self._end)
            else:
                client.waiting = True
                self._answer()
        elif verb == "status":
            self._tell(client, self._status())
        elif verb == "down":
            self._tell(client, {})
            self._end()

    def _answer(self) -> None:
        """Answer those whose time has come."""
        for client in list(self.clients.values()):
            behind = any(worker in self.retiring for worker in client.behind)
            if client.waiting and self.ready and not behind:
                client.waiting = False
                self._tell(client, {"redis": str(self.place.redis)})

    def _status(self) -> dict[str, Any]:
        return {
            "keeper": os.getpid(),
            "redis": self.redis.pid if self.redis else None,
            "worker": self.worker.pid if self.worker else None,
            "clients": sum(client.holds for client in self.clients.values()),
            "pinned": self.pinned,
            "failure": self.failure,
            "logs": str(self.place.data),
        }

    def _tell(self, client: Client, message: dict[str, Any]) -> None:
        try:
            client.channel.send(json.dumps(message).encode() + b"\n")
        except OSError:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        if client.channel.fileno() < 0:
            return
        self._selector.unregister(client.channel)
        self.clients.pop(client.channel.fileno(), None)
        client.channel.close()
        # Who only asked for the status does not begin the time anew.
        if client.holds and not any(other.holds for other in self.clients.values()):
            self._after("idle", self.idle, self._leave_if_unused)

    def _leave_if_unused(self) -> None:
        if any(client.holds for client in self.clients.values()) or self.pinned:
            return
        if self._active_runs():
            self._after("idle", self.idle, self._leave_if_unused)
        else:
            self._end()

    def _active_runs(self) -> int:
        # Only a client that leaves makes it necessary to know what Redis holds.
        from ..engine import Stack
        from ..settings import Settings

        place = self.place
        settings = Settings.from_environment()
        stack = Stack(replace(settings, broker_url=place.broker_url, state_url=place.state_url))
        try:
            return sum(run.phase != "RELEASED" for run in stack.runs())
        except InfrastructureError:
            return 0
        finally:
            stack.close()

    # -- Redis --------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        try:
            self.redis = servers.start_redis(self.place, self.lock)
        except EmbeddedError as error:
            self._fail_redis(error.message, error.hint)
            return
        self._redis_began = time.monotonic()
        output = self.redis.stdout
        assert output is not None  # noqa: S101 - stdout is a pipe
        log = self.place.log("redis")
        self._redis_log = open(log, "ab", buffering=0, opener=private)  # noqa: SIM115 - as there
        self._selector.register(output, selectors.EVENT_READ, lambda: self._read_redis(output))

    def _read_redis(self, output: IO[bytes]) -> bool:
        """Keep what Redis says; False if it says nothing any more."""
        data = os.read(output.fileno(), 65536)
        if not data:
            self._selector.unregister(output)
            output.close()
            return False
        self._redis_log.write(data)
        # Its last line of start-up, after the files have been loaded: 6.2 and 7 agree on it.
        if not self.ready and b"ccept connections" in data:
            self.ready = True
            self._answer()
        return True

    def _fail_redis(self, message: str, hint: str) -> None:
        self.ready = False
        self._complain(message, hint)
        # Who made us start is on the way, unless somebody has been told already.
        told = any(client.waiting for client in self.clients.values())
        self._after("end", 0.0 if told else _TELL_SECONDS, self._end)

    # -- the local worker ---------------------------------------------------------------------

    def _require_worker(self, imports: list[str], path: list[str]) -> None:
        """Have a worker that can import these; one that cannot is asked to end."""
        new = self.needs.add(imports, path)
        if self.failure and self.redis is not None:
            # Somebody may have mended it: a new client is a new chance.
            self.failure, self._quick_ends = "", 0
        old = self.worker
        if old is None:
            if "worker" not in self._timers:
                self._start_worker()
        elif new:
            # Its successor starts at once; it takes no more steps, but ends those it has begun.
            self.retiring.append(old)
            old.terminate()
            self._start_worker()
            self._after(f"retire {old.pid}", _RETIRE_SECONDS, self._retire)

    def _retire(self) -> None:
        """What a worker does so long after its end was asked for is to end its steps only."""
        for client in self.clients.values():
            client.behind = ()
        self._answer()

    def _start_worker(self) -> None:
        self._workers_made += 1
        name = f"embedded-{os.getpid()}-{self._workers_made}@{platform.node()}"
        self.worker = servers.start_worker(self.place, name, self.needs, self.mask)
        self._worker_began = time.monotonic()

    def _reap(self) -> None:
        self.retiring = [process for process in self.retiring if process.poll() is None]
        self._answer()
        if self.redis is not None and self.redis.poll() is not None and not self.ending:
            self._redis_ended(self.redis)
        if self.worker is None or self.worker.poll() is None or self.ending:
            return
        code, self.worker = self.worker.returncode, None
        quick = time.monotonic() - self._worker_began < _QUICK_SECONDS
        self._quick_ends = self._quick_ends + 1 if quick else 0
        if self._quick_ends < _QUICK_ENDS:
            self._after("worker", _WORKER_PAUSES.pause(self._quick_ends + 1), self._start_worker)
            return
        said = tail(self.place.log("worker"))
        self._complain(
            f"the local worker does not start (code {code}): {said}",
            f"its log: {self.place.log('worker')}",
        )

    def _redis_ended(self, redis: subprocess.Popen[bytes]) -> None:
        """Start Redis again if it has served; else it will not the next time either."""
        output = redis.stdout
        while output is not None and not output.closed and self._read_redis(output):
            pass
        self._redis_log.close()
        self.redis = None
        if self.ready:
            self.ready = False
            quick = time.monotonic() - self._redis_began < _QUICK_SECONDS
            self._redis_quick_ends = self._redis_quick_ends + 1 if quick else 0
            pause = _REDIS_PAUSES.pause(self._redis_quick_ends + 1)
            self._after("redis", pause, self._start_redis)
            return
        said = tail(self.place.log("redis"))
        self._fail_redis(
            f"the embedded Redis ended (code {redis.returncode}): {said}",
            f"logs are in {self.place.data}",
        )

    def _complain(self, message: str, hint: str) -> None:
        self.failure, self.hint = message, hint
        for client in list(self.clients.values()):
            self._tell(client, {"error": message, "hint": hint})

    # -- the end ------------------------------------------------------------------------------

    def _stop_children(self) -> None:
        """End the workers, which need Redis to do so, and then Redis."""
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
    """Listen, leave a child behind that keeps the stack, and return."""
    place = Place(Path(arguments[0]), Path(arguments[1]))
    place.make()
    # All that it and Redis write is for this user alone; what applications write is their business.
    mask = os.umask(0o077)
    lock = os.open(place.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A former keeper may be about to end, or its Redis may be: it is not waited for in vain.
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
    Keeper(place, float(arguments[2]), lock, listener, mask).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
