"""The embedded stack: a private Redis and a local worker, for users who set up neither.

There is one per user, machine and installation. The first client starts it, later ones join it,
and it ends by itself a minute after the last client has gone, unless a run is still active. A
process of its own, the keeper (:mod:`.keeper`), owns both servers. Clients talk with it over a
unix socket, one JSON object a line; holding that connection is what keeps the stack up, so that
a client which is killed cannot keep it for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EmbeddedError

# sun_path holds 108 bytes on Linux and 104 on BSD and macOS (unix(7)).
_LONGEST_SOCKET_PATH = 100
_IDLE_SECONDS = 60.0
# Raised with the form of the records in Redis: a new form begins with an empty Redis.
_FORMAT = 1
# Redis may have to load a large file first.
_JOIN_SECONDS = 30.0
KEEPER = "NEPIQ_KEEPER_PID"
"""Tells the local worker who its keeper is."""


@dataclass(frozen=True)
class Place:
    """Where the embedded stack of this user, machine and installation lives.

    Attributes:
        data: directory of Redis' data, of the logs and of the lock files.
        sockets: directory of the two sockets; the same unless that path is too long for one.
    """

    data: Path
    sockets: Path

    @classmethod
    def of(cls, home: Path) -> Place:
        """The place for the state directory ``home`` of this installation on this machine."""
        home = home.absolute()
        identity = f"{_FORMAT}\0{platform.node()}\0{sys.prefix}\0{home}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        data = home / "embedded" / key
        # The choice depends on nothing that differs between two shells of one user.
        longest = data / "keeper.sock"
        fits = len(os.fsencode(longest)) < _LONGEST_SOCKET_PATH
        return cls(data, data if fits else Path(f"/tmp/nepiq-{os.getuid()}-{key}"))  # noqa: S108 - made private below

    @property
    def control(self) -> Path:
        """The socket on which the keeper listens."""
        return self.sockets / "keeper.sock"

    @property
    def redis(self) -> Path:
        """The socket on which Redis listens."""
        return self.sockets / "redis.sock"

    @property
    def broker_url(self) -> str:
        """The embedded Redis as Celery's broker."""
        return f"unix://{self.redis}?db=0"

    @property
    def state_url(self) -> str:
        """The embedded Redis as the store of runs."""
        return f"unix://{self.redis}?db=1"

    def log(self, name: str) -> Path:
        """The log of ``redis``, ``worker`` or ``keeper``."""
        return self.data / f"{name}.log"

    def make(self) -> None:
        """Make both directories, for this user alone.

        Raises:
            EmbeddedError: they cannot be made, or belong to somebody else.
        """
        for directory in (self.data, self.sockets):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = directory.lstat()
            except OSError as error:
                raise EmbeddedError(
                    f"cannot make {directory}: {error.strerror}",
                    hint="set XDG_STATE_HOME to a directory you may write to",
                ) from error
            if directory.is_symlink() or status.st_uid != os.getuid():
                raise EmbeddedError(
                    f"{directory} does not belong to you", hint="remove it, or set XDG_STATE_HOME"
                )
            directory.chmod(0o700)

    def narrow(self) -> None:
        """Take from others what they may do with the state directory: once it was open to them."""
        above = (self.data.parents[1], self.data.parent)
        for path in (*above, *self.data.rglob("*")):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)


class _Ended(EmbeddedError):
    """The keeper ended instead of answering."""


class Embedded:
    """A client's hold on the embedded stack, which stays up as long as the hold is open.

    A thread listens to the keeper. Where that is killed, it starts the stack again with its data.

    Args:
        place: where the stack is.
        channel: connected with the keeper.
        request: what joined it.
    """

    def __init__(self, place: Place, channel: socket.socket, request: Mapping[str, Any]) -> None:
        self.place = place
        self._channel = channel
        self._request = request
        self._failure: EmbeddedError | None = None
        self._closed = threading.Event()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._attend, name="nepiq-embedded", daemon=True)
        self._thread.start()

    def failure(self) -> EmbeddedError | None:
        """Why it cannot be used any more: no worker or Redis starts, or somebody stopped it."""
        return self._failure

    def _attend(self) -> None:
        while True:
            self._listen()
            if self._closed.is_set() or self._failure is not None:
                return
            try:
                channel = _joined(self.place, self._request)
            except EmbeddedError as error:
                self._failure = error
                return
            with self._lock:
                self._channel.close()
                self._channel = channel
                if self._closed.is_set():
                    channel.close()
                    return

    def _listen(self) -> None:
        """Take what the keeper reports until it ends."""
        unread = b""
        while True:
            try:
                data = self._channel.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for message in map(json.loads, lines):
                if message.get("error"):
                    error = EmbeddedError(message["error"], hint=message.get("hint", ""))
                    self._failure = self._failure or error

    def keep_over_exec(self) -> None:
        """Let the program that this process becomes hold it, until that one ends."""
        with self._lock:
            self._closed.set()
            os.set_inheritable(self._channel.fileno(), True)
            self._channel.detach()

    def close(self) -> None:
        """Let go of it."""
        if os.getpid() != self._pid:  # a fork, which has no thread and holds nothing
            self._channel.close()
            return
        with self._lock:
            self._closed.set()
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)  # wakes who listens
        self._thread.join(1.0)
        with self._lock:
            self._channel.close()


def join(
    home: Path,
    *,
    worker: bool = True,
    imports: Sequence[str] = (),
    pinned: bool = False,
) -> Embedded:
    """Join the embedded stack, and start it if nobody has.

    Returns when Redis answers. The local worker, which takes longer, is not waited for: its
    tasks may be submitted already.

    Args:
        home: nepiq's state directory.
        worker: start the local worker too; False for those who only read.
        imports: modules that the local worker must have imported.
        pinned: keep it up until :func:`down`, also without clients.

    Raises:
        EmbeddedError: it did not start; the message has the end of the log.
    """
    place = Place.of(home)
    request = {
        "verb": "join",
        "worker": worker,
        "pinned": pinned,
        "imports": list(imports),
        "path": _import_path() if imports else [],
    }
    return Embedded(place, _joined(place, request), request)


def _joined(place: Place, request: Mapping[str, Any]) -> socket.socket:
    """Join the stack, and start it if nobody has; the connection that holds it.

    Raises:
        EmbeddedError: it did not start.
    """
    for chance in (2, 1, 0):
        channel = _connect(place) or _start(place)
        try:
            answer = _ask(place, channel, request)
        except _Ended:
            # It was about to end when we came; the next one is ours.
            if chance:
                continue
            raise
        if answer.get("error"):
            channel.close()
            raise EmbeddedError(answer["error"], hint=answer.get("hint", ""))
        return channel
    raise AssertionError("unreachable")


def revive(home: Path, imports: Sequence[str], keeper: str) -> None:
    """Start the stack again if the keeper of this process, which is the local worker, was killed.

    It then stays up as long as a run is active or somebody joins it.

    Args:
        home: nepiq's state directory.
        imports: modules that the next worker must have imported.
        keeper: what :data:`KEEPER` said when this worker started; empty for any other worker.

    Raises:
        EmbeddedError: it did not start.
    """
    if keeper and os.getppid() != int(keeper):
        join(home, imports=imports).close()


def status(home: Path) -> dict[str, Any] | None:
    """What runs of the embedded stack: pids and the number of clients; None if nothing does."""
    place = Place.of(home)
    channel = _connect(place)
    if channel is None:
        return None
    with channel:
        try:
            return _ask(place, channel, {"verb": "status"})
        except _Ended:
            return None


def down(home: Path) -> bool:
    """Stop the embedded stack and return when none of its processes is left.

    Returns:
        False if it was not running.
    """
    place = Place.of(home)
    channel = _connect(place)
    if channel is None:
        return False
    with channel, contextlib.suppress(_Ended):
        _ask(place, channel, {"verb": "down"})
    # The keeper and Redis hold this lock for as long as they live.
    with _locked(place.data / "lock"):
        return True


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log, on one line."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 8192))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:])


def _import_path() -> list[str]:
    """Where this process would find a module of the user: its script's folder comes first."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    script = str(Path(main).resolve().parent) if main else str(Path.cwd())
    return [script, *(str(Path(item).absolute()) for item in named if item)]


def _connect(place: Place) -> socket.socket | None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(str(place.control))
    except OSError:
        channel.close()
        return None
    return channel


def _start(place: Place) -> socket.socket:
    """Start the keeper, unless another client was faster, and connect to it."""
    import subprocess

    place.make()
    with _locked(place.data / "starting"):
        channel = _connect(place)
        if channel is not None:
            return channel
        idle = os.environ.get("NEPIQ_EMBEDDED_IDLE", str(_IDLE_SECONDS))
        place.narrow()
        with open(place.log("keeper"), "wb", opener=private) as log:
            # It leaves a child behind and returns as soon as that one listens.
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
            f"the embedded stack did not start (code {code}): {tail(place.log('keeper'))}",
            hint=f"logs are in {place.data}",
        )
    return channel


def private(path: str, flags: int) -> int:
    """Open a file for this user alone; for ``open(..., opener=)``."""
    return os.open(path, flags, 0o600)


def _ask(place: Place, channel: socket.socket, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request and read its one line of answer."""
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
            f"the embedded stack does not answer: {error}", hint=f"logs are in {place.data}"
        ) from error
    if not answer.endswith(b"\n"):
        channel.close()
        raise _Ended(
            f"the embedded stack has ended: {tail(place.log('keeper'))}",
            hint=f"logs are in {place.data}",
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
