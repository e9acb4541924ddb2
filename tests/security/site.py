"""A site as an operator sets it up: Redis with users and TLS, from the files of deploy/."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from tests.e2e.installation import Installation
from tests.net import free_port
from tests.stand import ROOT, Stand, until

from nepiq.controller.settings import Settings

OPERATOR = "the password of an operator"
START = ROOT / "deploy" / "redis" / "start"


class Site(Stand):
    """A stand whose Redis is started by deploy/redis/start.

    Args:
        folder: where logs and data go.
        options: of redis-server, after those of the file.
        scheme: ``redis`` or ``rediss``.
        port: of Redis, which options name too; a free one by default.
        environment: of workers and clients.
    """

    def __init__(
        self,
        folder: Path,
        options: tuple[str, ...] = (),
        scheme: str = "redis",
        port: int = 0,
        **environment: str,
    ) -> None:
        # Characters that a URL has to quote, and that a log might show in either form.
        self.password = f"pw-{secrets.token_hex(12)}/@:"
        self.port = port or free_port()
        self.scheme = scheme
        self._options = options or ("--port", str(self.port))
        super().__init__(folder, **environment)
        self.environment["NEPIQ_BROKER_URL"] = self.url(0)
        self.environment["NEPIQ_STATE_URL"] = self.url(1)

    def url(self, database: int, user: str = "nepiq", password: str = "") -> str:
        """The URL of a database for a user."""
        secret = quote(password or self.password, safe="")
        return f"{self.scheme}://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def start_redis(self) -> None:
        """Start Redis as an operator does, with a way in for the test beside it."""
        # The socket of the stand: what the test itself wants to know, as somebody who may all.
        data = self._short / "data"
        data.mkdir(exist_ok=True)
        environment = {**os.environ, "NEPIQ_REDIS_PASSWORD": self.password}
        environment["NEPIQ_REDIS_OPERATOR_PASSWORD"] = OPERATOR
        with (self.folder / "redis.log").open("ab") as log:
            self._redis = subprocess.Popen(
                [str(START), str(data), *self._options, "--unixsocket", str(self.socket)],
                env=environment,
                stdout=log,
                stderr=log,
            )
        until(self.socket.exists, 10.0, "redis-server made no socket")

    def stop_redis(self, number: int = signal.SIGTERM) -> None:
        """End Redis, and remove its socket, whose appearance tells that it is back."""
        super().stop_redis(number)
        self.socket.unlink(missing_ok=True)

    @property
    def settings(self) -> Settings:
        """What a client of this site is given."""
        return Settings(
            broker_url=self.environment["NEPIQ_BROKER_URL"],
            state_url=self.environment["NEPIQ_STATE_URL"],
            cache_home=self.folder / "cache",
        )

    def user(self, folder: Path, **environment: str) -> Installation:
        """Somebody whose environment names this site."""
        mine = {name: text for name, text in self.environment.items() if name.startswith("NEPIQ_")}
        return self.owned(Installation(folder, **{**mine, **environment}))

    def redis(self) -> Redis:
        """The Redis user that clients and workers are."""
        return Redis.from_url(self.url(1))

    def operator(self, database: int = 0) -> Redis:
        """The Redis user who may do everything."""
        return Redis(
            unix_socket_path=str(self.socket), db=database, username="operator", password=OPERATOR
        )
