"""The target of a login, with what ssh_config(5) of the worker machine adds.

The files are read by :mod:`.ssh_config`; the meaning of their values is decided here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ....controller.errors import HostError, InvalidValue
from ....controller.model.login import Login
from .ssh_config import expand, expand_for_shell, read, tokens

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Machines that may be passed on the way to one; more is a circle.
_MOST_HOPS = 8


@dataclass(frozen=True)
class Target:
    """The target of a login, with everything decided.

    Attributes:
        login: what it was made from, for messages.
        address: name or address to connect to.
        port: its port.
        user: who logs in.
        key_names: names under which known_hosts may know the machine, the proper one first.
        identities: paths of private keys, in the order they are offered.
        demanded: True if the first of these must be there.
        password: where the user's password is; empty if there is none.
        agent: the worker's agent may be asked for the keys of these identities.
        whole_agent: True if all other keys of the agent are offered too.
        known_hosts: files with keys of machines.
        accept_new: True if the key of an unknown machine is accepted.
        gateway: the machine to go through; None to connect directly.
        proxy_command: a command that connects; empty if none.
        ciphers: the value of Ciphers; empty if there is none.
    """

    login: Login
    address: str
    port: int
    user: str
    key_names: tuple[str, ...]
    identities: tuple[Path, ...]
    demanded: bool
    password: str
    agent: bool
    whole_agent: bool
    known_hosts: tuple[Path, ...]
    accept_new: bool
    gateway: Login | None
    proxy_command: str
    ciphers: str

    def __str__(self) -> str:
        """The machine, for people, as it was named and as it is reached."""
        name = str(Login(self.address, self.user, self.port if self.port != 22 else None))
        alias = self.login.hostname
        return name if alias == self.address else f"{name} ({alias})"

    def misconfigured(self, error: ValueError) -> HostError:
        """Return the error of a value of ssh_config that cannot be used."""
        return _misconfigured(self.login, error)


def resolve(login: Login, file: str = "") -> Target:
    """Return the target of a login.

    Args:
        login: what the resource says; it goes before ssh_config.
        file: the only configuration file to read, as with ``ssh -F``; those of ssh if empty.

    Raises:
        HostError: a configuration file cannot be understood.
    """
    try:
        target = _resolve(login, file)
        _check_for_circles(target, file)
    except (OSError, ValueError) as error:
        raise _misconfigured(login, error) from error
    return target


def _misconfigured(login: Login, error: Exception) -> HostError:
    return HostError(
        f"ssh_config of the worker machine cannot be used for {login.hostname}: {error}",
        hint="ssh -G HOST shows there what ssh makes of it",
    )


def _resolve(login: Login, file: str) -> Target:
    command_line = {"user": login.username, "port": str(login.port or "")}
    options = read(file, login.hostname, command_line)
    meanings = tokens(login.hostname, options)

    def one(option: str) -> str:
        return options.get(option, [""])[0]

    def paths(option: str, usual: tuple[str, ...]) -> tuple[Path, ...]:
        values = [_path(text, meanings) for text in options.get(option, usual)]
        return tuple(path for path in values if str(path) != "none")

    demanded = bool(login.identity)
    # Servers count keys in vain, and hang up before it is the turn of the password.
    keyless = bool(login.password) and not demanded
    kept_for_itself = demanded or keyless or one("identitiesonly").lower() in {"yes", "true"}
    gateway = _gateway(login, options, meanings)
    command = "" if gateway or login.direct else one("proxycommand")
    return Target(
        login=login,
        address=meanings["h"],
        port=_port(meanings["p"]),
        user=meanings["r"],
        key_names=_key_names(meanings, one("hostkeyalias")),
        identities=(Path(login.identity).expanduser(),)
        if demanded
        else (() if keyless else paths("identityfile", _IDENTITIES)),
        demanded=demanded,
        password=login.password,
        agent=not keyless and one("identityagent").lower() != "none",
        whole_agent=not kept_for_itself,
        known_hosts=paths("userknownhostsfile", _KNOWN_HOSTS)
        + paths("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS),
        # "no" and "off" would accept changed keys too, which is never done.
        accept_new=login.accept_new
        or one("stricthostkeychecking").lower() in {"accept-new", "no", "off", "false"},
        gateway=gateway,
        proxy_command=""
        if command.lower() in {"", "none"}
        else expand_for_shell(command, meanings),
        ciphers=one("ciphers"),
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _path(text: str, meanings: Mapping[str, str]) -> Path:
    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"the environment of the worker has no {match[1]}, as in {text}")
        return os.environ[match[1]]

    return Path(_VARIABLE.sub(variable, expand(text, meanings))).expanduser()


def _key_names(meanings: Mapping[str, str], alias: str) -> tuple[str, ...]:
    # An alias stands for name and port; a key without port is good for every port (sshd(8)).
    name = meanings["h"]
    if alias or meanings["p"] == "22":
        return (alias or name,)
    return f"[{name}]:{meanings['p']}", name


def _gateway(
    login: Login, options: Mapping[str, list[str]], meanings: Mapping[str, str]
) -> Login | None:
    if login.direct or login.gateway is not None:
        return login.gateway
    jump = expand(options.get("proxyjump", ["none"])[0], meanings)
    if jump.lower() == "none":
        return None
    try:
        last = Login.chain(jump)
    except InvalidValue as error:
        raise ValueError(f"ProxyJump {jump!r}: {error.message}") from error
    assert last is not None  # noqa: S101 - there is at least one
    # Only the first hop may have a ProxyJump of its own, as with ssh(1).
    return _bounded(last, login.connect_timeout)


def _bounded(hop: Login, timeout: float) -> Login:
    gateway = None if hop.gateway is None else _bounded(hop.gateway, timeout)
    return replace(hop, connect_timeout=timeout, gateway=gateway)


def _check_for_circles(target: Target, file: str) -> None:
    passed = [target.login.hostname]
    while target.gateway is not None:
        passed.append(target.gateway.hostname)
        if len(passed) > _MOST_HOPS:
            raise ValueError(f"its gateways go round in circles: {' via '.join(passed)}")
        target = _resolve(target.gateway, file)
