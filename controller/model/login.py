"""SSH logins on machines, as resources describe them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InvalidValue
from ..errors.text import is_decimal, quoted

#: Seconds that connecting to a machine may take, its login included.
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Login:
    """An SSH login on a machine. The ssh_config(5) of the worker machine sets the rest.

    Attributes:
        hostname: name or address of the machine, or an alias in ssh_config.
        username: the user.
        port: the port of its SSH server.
        identity: path of a private key on the worker machine; no other key is offered then.
        password: the place of the user's password on the worker machine, as the text of a
            :class:`~nepiq.controller.model.SecretReference`; empty for a login by key only. It is
            used after ``identity``; without that no key is offered.
        gateway: the jump host; ssh_config's ProxyJump if None.
        direct: True to connect without a jump host, even if ssh_config names one.
        server_key: the machine's public key, as ``ssh-ed25519 AAAA...``; known_hosts is not read
            then.
        accept_new: True to accept the key of a machine that known_hosts does not name, like
            ``StrictHostKeyChecking accept-new``.
        connect_timeout: time limit of the connection and its login, in seconds.
    """

    hostname: str
    username: str = ""
    port: int | None = None
    identity: str = ""
    password: str = ""
    gateway: Login | None = None
    direct: bool = False
    server_key: str = ""
    accept_new: bool = False
    connect_timeout: float = CONNECT_TIMEOUT

    def __str__(self) -> str:
        """Return the machine as ``user@host:port``."""
        name = f"[{self.hostname}]" if ":" in self.hostname and self.port else self.hostname
        user = f"{self.username}@" if self.username else ""
        return f"{user}{name}" + (f":{self.port}" if self.port else "")

    @classmethod
    def parse(cls, text: str) -> Login:
        """Return the login in ``[user@]host[:port]``; an IPv6 address with a port is in brackets.

        Raises:
            InvalidValue: the text has another form.
        """
        user, at, address = text.strip().rpartition("@")
        host, port = address, ""
        if address.startswith("["):
            host, bracket, port = address[1:].partition("]")
            port = port.removeprefix(":") if bracket else "?"
        elif address.count(":") == 1:
            host, _, port = address.partition(":")
            port = port or "?"
        usable = (
            host and not host.startswith("-") and not any(c.isspace() or c in ",/" for c in host)
        )
        if not usable or (at and not user) or (port and not _is_port(port)):
            raise InvalidValue(f"{quoted(text)} is not a machine", hint="write [user@]host[:port]")
        return cls(host, user, int(port) if port else None)

    @classmethod
    def chain(cls, text: str, then: Login | None = None) -> Login | None:
        """Return a chain of jump hosts, written like ProxyJump in ssh_config(5).

        Args:
            text: ``[user@]host[:port]``, separated by commas.
            then: defaults of each jump host: user, port, identity...

        Returns:
            The last jump host, whose gateway is the one before it.
        """
        last: Login | None = None
        for word in text.split(","):
            hop = cls.parse(word)
            if then is not None:
                hop = replace(
                    then,
                    hostname=hop.hostname,
                    username=hop.username or then.username,
                    port=hop.port or then.port,
                )
            last = replace(hop, gateway=last)
        return last


def _is_port(text: str) -> bool:
    return is_decimal(text) and 0 < int(text) < 65536
