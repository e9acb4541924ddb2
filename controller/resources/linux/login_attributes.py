"""How the machines of a resource are reached, as attributes."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

from typing import Any

from ...errors import InvalidValue
from ...model import (
    AbsolutePath,
    Attribute,
    Duration,
    Flag,
    Login,
    Name,
    ResourceManager,
    SecretReference,
)

LOCAL = ("localhost", "127.0.0.1", "::1")
#: Attributes that a pool gives to the node that leases one of its hosts.
LOGIN = (
    "hostname",
    "username",
    "port",
    "identity",
    "gateway",
    "gatewayUser",
    "gatewayPort",
    "gatewayIdentity",
    "password",
    "gatewayPassword",
    "serverKey",
    "strictHostKeyChecking",
    "connectTimeout",
    "home",
    "sudoPassword",
)


class Gateway(str):
    """Jump hosts, as ``user@host:port``, separated by commas, or ``none``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Gateway:
        """Return jump hosts in the form of ProxyJump in ssh_config(5)."""
        if not isinstance(value, str):
            raise InvalidValue("must be text, as user@host:port")
        if value not in {"", "none"}:
            Login.chain(value)
        return cls(value)


class LoginAttributes(ResourceManager):
    """The attributes of a login, which a node has, and a pool for its hosts."""

    username = Attribute(str, help="The login user.", flags=Flag.DESIGN)
    port = Attribute(int, help="Port of its SSH server.", range=(1, 65535), flags=Flag.DESIGN)
    identity = Attribute(
        str,
        help="Path of the private key on the worker machine; no other key is offered then.",
        flags=Flag.CREDENTIAL,
    )
    password = Attribute(
        SecretReference,
        help="The place of the login user's password on the worker machine, env:NAME or file:PATH, "
        "where no key opens it; used after identity, without which no key is offered.",
        flags=Flag.CREDENTIAL,
    )
    gateway = Attribute(
        Gateway,
        "",
        help="Jump hosts, as user@host:port, separated by commas; none to connect directly, "
        "even if ssh_config names one.",
        flags=Flag.DESIGN,
    )
    gatewayUser = Attribute(str, help="The login user on the gateway.", flags=Flag.DESIGN)
    gatewayPort = Attribute(
        int, help="Port of the gateway's SSH server.", range=(1, 65535), flags=Flag.DESIGN
    )
    gatewayIdentity = Attribute(
        str,
        help="Path of the private key for the gateway; by default that of the node.",
        flags=Flag.CREDENTIAL,
    )
    gatewayPassword = Attribute(
        SecretReference,
        help="The place of the gateway user's password on the worker machine, as password.",
        flags=Flag.CREDENTIAL,
    )
    strictHostKeyChecking = Attribute(
        str,
        "yes",
        allowed=("yes", "accept-new"),
        help="Whether to accept the key of a machine that known_hosts does not name.",
        flags=Flag.DESIGN,
    )
    connectTimeout = Attribute(
        Duration, "10s", help="Time limit of the connection.", flags=Flag.DESIGN
    )
    site = Attribute(
        Name, "default", help="The site whose workers can reach it.", flags=Flag.DESIGN
    )
    home = Attribute(
        AbsolutePath,
        help="Directory in which .nepiq is created; by default the login user's home.",
        flags=Flag.DESIGN,
    )
    sudoPassword = Attribute(
        SecretReference,
        help="The place of the sudo password on the worker machine: env:NAME or file:PATH.",
        flags=Flag.CREDENTIAL,
    )
