"""Sessions on the worker's own machine: every command a process of its own."""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
import time
from collections.abc import Mapping

from ...controller.errors import HostError
from ...controller.model.durations import Deadline
from .answers import OUTPUT
from .channel import Patience, PipeChannel
from .environment import without_secrets
from .session import TICK, Completed, give_up
from .subprocesses import discard, exchange, exit_code, kill_group


class LocalSession:
    """A session on this machine. Each command leads a session and process group of its own.

    Args:
        home: absolute directory under which ``.nepiq`` lies; the user's home if empty.
        env: variables added to the environment of the worker, which commands inherit.
    """

    def __init__(self, *, home: str = "", env: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._env = {**os.environ, **(env or {})}
        if not self._env.get("HOME"):  # a daemon may have been started without
            self._env["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
        self._lock = threading.Lock()
        self._closed = False
        self._channels: set[PipeChannel] = set()

    @property
    def home(self) -> str:
        """The directory of ``.nepiq``; "" for the user's home."""
        return self._home

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        return self._closed

    @property
    def host_key(self) -> str:
        """Empty: this machine proves nothing to itself."""
        return ""

    def check(self) -> None:
        """Do nothing: this machine can always be reached."""

    def execute(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        deadline: Deadline,
        cancel: threading.Event | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        """Run a command to its end; see :meth:`Session.execute`."""
        give_up(deadline, cancel)

        def patience() -> float:
            give_up(deadline, cancel)
            if self._closed:
                raise HostError("the session was closed while a command ran")
            return min(deadline.remaining, TICK)

        sent = time.time()
        process = self._spawn(command)
        try:
            stdout, stderr = exchange(process, stdin, patience, most)
            received = time.time()
        except BaseException:
            kill_group(process)
            discard(process)
            raise
        return Completed(exit_code(process.returncode), stdout, stderr, sent, received)

    def open(
        self,
        command: str,
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
    ) -> PipeChannel:
        """Start a command and talk with it line by line; see :meth:`Session.open`."""
        process = self._spawn(command)
        channel = PipeChannel(process, Patience(deadline, cancel, silence), self._forget)
        with self._lock:
            self._channels.add(channel)
            closed = self._closed
        if closed:
            channel.close()
        return channel

    def close(self) -> None:
        """Close every channel of the session, and have its commands killed."""
        with self._lock:
            self._closed = True
            channels = list(self._channels)
        for channel in channels:
            channel.close()

    def _spawn(self, command: str) -> subprocess.Popen[bytes]:
        if self._closed:
            raise HostError("the session is closed")
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=without_secrets(self._env),
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise HostError(f"cannot run a command on this machine: {error}") from error

    def _forget(self, channel: PipeChannel) -> None:
        with self._lock:
            self._channels.discard(channel)
