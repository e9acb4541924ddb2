"""Clients of the local services: a private Redis and a worker, for users who configured no Redis.

They exist once per user, machine and installation. The first client starts them, later clients
join, and they stop a minute after the last client has disconnected, unless a run is active. A
separate process, the daemon (:mod:`.daemon`), is the parent of both servers. Clients connect to it
over a unix socket and exchange JSON objects, one per line. The services stay up while such a
connection is open, so a killed client does not keep them up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine import threads
from ..errors import EmbeddedError
from .place import Place, private, tail

_IDLE_SECONDS = 60.0
# Includes the time in which Redis loads its file.
_JOIN_SECONDS = 30.0
DAEMON_PID = "NEPIQ_KEEPER_PID"
"""Environment variable of the local worker with the pid of its daemon."""


class _ConnectionClosed(EmbeddedError):
    """Error of a connection that the daemon closed instead of answering."""


class LocalServices:
    """A client's connection to the local services, which stay up as long as it is open.

    A thread receives messages of the daemon; if the daemon is killed, it restarts the services
    with their data.

    Args:
        place: the directories of the services.
        channel: the connection to the daemon.
        request: the join request, which is repeated after a restart.
    """

    def __init__(self, place: Place, channel: socket.socket, request: Mapping[str, Any]) -> None:
        self.place = place
        self._channel = channel
        self._request = request
        self._failure: EmbeddedError | None = None
        self._closed = threading.Event()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="nepiq-embedded", daemon=True)
        threads.start(self._thread)

    def failure(self) -> EmbeddedError | None:
        """Return the error if the services were stopped or do not start, or None."""
        return self._failure

    def _run(self) -> None:
        while True:
            self._receive()
            if self._closed.is_set() or self._failure is not None:
                return
            try:
                channel = _join(self.place, self._request)
            except EmbeddedError as error:
                self._failure = error
                return
            with self._lock:
                self._channel.close()
                self._channel = channel
                if self._closed.is_set():
                    channel.close()
                    return

    def _receive(self) -> None:
        """Receive errors from the daemon until the connection is closed."""
        buffer = b""
        while True:
            try:
                data = self._channel.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for message in map(json.loads, lines):
                if message.get("error"):
                    error = EmbeddedError(message["error"], hint=message.get("hint", ""))
                    self._failure = self._failure or error

    def keep_over_exec(self) -> None:
        """Keep the connection open across ``exec``, until the new program exits."""
        with self._lock:
            self._closed.set()
            os.set_inheritable(self._channel.fileno(), True)
            self._channel.detach()

    def close(self) -> None:
        """Close the connection."""
        if os.getpid() != self._pid:  # a forked child has no thread
            self._channel.close()
            return
        with self._lock:
            self._closed.set()
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join(1.0)
        with self._lock:
            self._channel.close()


def join(
    home: Path,
    *,
    worker: bool = True,
    imports: Sequence[str] = (),
    pinned: bool = False,
) -> LocalServices:
    """Connect to the local services; start them if they are not running.

    Returns when Redis is ready. The local worker, which takes longer, is not waited for: tasks
    may be submitted before.

    Args:
        home: nepiq's state directory.
        worker: start the local worker too; False for a client that only reads.
        imports: modules that the local worker must import.
        pinned: keep the services up until :func:`down`, even without clients.

    Raises:
        EmbeddedError: the services did not start; the message quotes the end of the log.
    """
    place = Place.of(home)
    request = {
        "verb": "join",
        "worker": worker,
        "pinned": pinned,
        "imports": list(imports),
        "path": _import_path() if imports else [],
    }
    return LocalServices(place, _join(place, request), request)


def _join(place: Place, request: Mapping[str, Any]) -> socket.socket:
    """Connect to the services, starting them if needed; return the connection.

    Raises:
        EmbeddedError: the services did not start.
    """
    for retries in (2, 1, 0):
        channel = _connect(place) or _start(place)
        try:
            answer = _request(place, channel, request)
        except _ConnectionClosed:
            # The daemon was about to exit when we connected; start a new one.
            if retries:
                continue
            raise
        if answer.get("error"):
            channel.close()
            raise EmbeddedError(answer["error"], hint=answer.get("hint", ""))
        return channel
    raise AssertionError("unreachable")


def revive(home: Path, imports: Sequence[str], daemon_pid: str) -> None:
    """Restart the services if this process is the local worker and its daemon was killed.

    They then stay up as long as a run is active or a client is connected.

    Args:
        home: nepiq's state directory.
        imports: modules that the next worker must import.
        daemon_pid: value of :data:`DAEMON_PID` at the start of this worker; empty for other
            workers.

    Raises:
        EmbeddedError: the services did not start.
    """
    if daemon_pid and os.getppid() != int(daemon_pid):
        join(home, imports=imports).close()


def status(home: Path) -> dict[str, Any] | None:
    """Return the pids and the number of clients of the services; None if they are not running."""
    place = Place.of(home)
    channel = _connect(place)
    if channel is None:
        return None
    with channel:
        try:
            return _request(place, channel, {"verb": "status"})
        except _ConnectionClosed:
            return None


def down(home: Path) -> bool:
    """Stop the local services; return when all their processes have exited.

    Returns:
        False if they were not running.
    """
    place = Place.of(home)
    channel = _connect(place)
    if channel is None:
        return False
    with channel, contextlib.suppress(_ConnectionClosed):
        _request(place, channel, {"verb": "down"})
    # The daemon and Redis hold this lock until they exit.
    with _locked(place.data / "lock"):
        return True


def _import_path() -> list[str]:
    """Return the import path of this process for modules of the user, script directory first."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    script = str(Path(main).resolve().parent) if main else str(Path.cwd())
    return [script, *(str(Path(item).absolute()) for item in entries if item)]


def _connect(place: Place) -> socket.socket | None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(str(place.control))
    except OSError:
        channel.close()
        return None
    return channel


def _start(place: Place) -> socket.socket:
    """Start the daemon, unless another client was faster; return a connection to it."""
    import subprocess

    place.make()
    with _locked(place.data / "starting"):
        channel = _connect(place)
        if channel is not None:
            return channel
        idle = os.environ.get("NEPIQ_EMBEDDED_IDLE", str(_IDLE_SECONDS))
        place.narrow()
        with open(place.log("keeper"), "wb", opener=private) as log:
            # The command exits as soon as its child, the daemon, listens.
            code = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "nepiq.controller.services.daemon",
                    place.data,
                    place.sockets,
                    idle,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        channel = _connect(place)
    if channel is None:
        raise EmbeddedError(
            f"the local services did not start (code {code}): {tail(place.log('keeper'))}",
            hint=f"see the logs in {place.data}",
        )
    return channel


def _request(place: Place, channel: socket.socket, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a request; return the answer."""
    channel.settimeout(_JOIN_SECONDS)
    answer = b""
    try:
        with contextlib.suppress(ConnectionError):
            channel.sendall(json.dumps(dict(request)).encode() + b"\n")
            while not answer.endswith(b"\n"):
                data = channel.recv(65536)
                if not data:
                    break
                answer += data
    except OSError as error:
        channel.close()
        raise EmbeddedError(
            f"the local services do not answer: {error}", hint=f"see the logs in {place.data}"
        ) from error
    if not answer.endswith(b"\n"):
        channel.close()
        raise _ConnectionClosed(
            f"the local services have ended: {tail(place.log('keeper'))}",
            hint=f"see the logs in {place.data}",
        )
    channel.settimeout(None)
    result: dict[str, Any] = json.loads(answer.splitlines()[0])
    return result


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
