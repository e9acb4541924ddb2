"""The place of the local services: their directories, sockets and logs, for one user only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import EmbeddedError

# sun_path holds 108 bytes on Linux and 104 on BSD and macOS (unix(7)).
_LONGEST_SOCKET_PATH = 100
# Version of the records in Redis: each version has a Redis of its own.
_FORMAT = 1


@dataclass(frozen=True)
class Place:
    """The directories of the local services of a user, machine and installation.

    Attributes:
        data: directory of the data of Redis, of the logs and of the lock files.
        sockets: directory of both sockets; a short path if ``data`` is too long for a socket.
    """

    data: Path
    sockets: Path

    @classmethod
    def of(cls, home: Path) -> Place:
        """Return the directories for the state directory ``home``."""
        home = home.absolute()
        identity = f"{_FORMAT}\0{platform.node()}\0{sys.prefix}\0{home}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        data = home / "embedded" / key
        # The fallback depends on nothing that differs between two shells of a user, such as TMPDIR.
        longest = data / "keeper.sock"
        fits = len(os.fsencode(longest)) < _LONGEST_SOCKET_PATH
        return cls(data, data if fits else Path(f"/tmp/nepiq-{os.getuid()}-{key}"))  # noqa: S108 - made private below

    @property
    def control(self) -> Path:
        """The socket of the daemon."""
        return self.sockets / "keeper.sock"

    @property
    def redis(self) -> Path:
        """The socket of Redis."""
        return self.sockets / "redis.sock"

    @property
    def broker_url(self) -> str:
        """URL of the private Redis as the broker of Celery."""
        return f"unix://{self.redis}?db=0"

    @property
    def state_url(self) -> str:
        """URL of the private Redis as the store of runs."""
        return f"unix://{self.redis}?db=1"

    def log(self, name: str) -> Path:
        """Return the path of the log of ``redis``, ``worker`` or ``keeper`` (the daemon)."""
        return self.data / f"{name}.log"

    def make(self) -> None:
        """Create both directories, accessible to this user only.

        Raises:
            EmbeddedError: they cannot be created, or belong to another user.
        """
        for directory in (self.data, self.sockets):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = directory.lstat()
            except OSError as error:
                raise EmbeddedError(
                    f"cannot create {directory}: {error.strerror}",
                    hint="set XDG_STATE_HOME to a writable directory",
                ) from error
            if directory.is_symlink() or status.st_uid != os.getuid():
                raise EmbeddedError(
                    f"{directory} does not belong to you", hint="remove it, or set XDG_STATE_HOME"
                )
            directory.chmod(0o700)

    def narrow(self) -> None:
        """Revoke the access of other users to the state directory, which old versions granted."""
        parents = (self.data.parents[1], self.data.parent)
        for path in (*parents, *self.data.rglob("*")):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)


def private(path: str, flags: int) -> int:
    """Open a file that only this user can access; an opener for :func:`open`."""
    return os.open(path, flags, 0o600)


def tail(path: Path, lines: int = 5) -> str:
    """Return the last lines of a log joined into one line; empty if it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 8192))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    texts = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(texts[-lines:])
