"""What ssh_config(5) of the worker machine adds to a login.

Paramiko parses the files; what it leaves out is here: ``Include``, the order of the user's and
the system's file, and what the values mean for us.
"""

from __future__ import annotations

import getpass
import glob
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from ....controller.errors import HostError, InvalidValue
from ....controller.model.login import Login

#: What ssh(1) reads, the user's file first: the first value found for an option counts.
FILES = ("~/.ssh/config", "/etc/ssh/ssh_config")
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_DEEPEST_INCLUDE = 16


@dataclass(frozen=True)
class Target:
    """Where to connect to, and how; everything is decided.

    Attributes:
        login: what it was made from, for messages.
        address: name or address to connect to.
        port: its port.
        user: who logs in.
        key_name: the name under which known_hosts knows the machine.
        identities: paths of private keys, in the order they are offered.
        demanded: True if the first of these must be there.
        agent: True if the keys of the worker's agent are offered too.
        known_hosts: files with keys of machines.
        accept_new: True if the key of an unknown machine is accepted.
        gateway: the machine to go through; None to connect directly.
        proxy_command: a command that connects; empty if none.
    """

    login: Login
    address: str
    port: int
    user: str
    key_name: str
    identities: tuple[Path, ...]
    demanded: bool
    agent: bool
    known_hosts: tuple[Path, ...]
    accept_new: bool
    gateway: Login | None
    proxy_command: str

    def __str__(self) -> str:
        """The machine, for people, as it was named and as it is reached."""
        said = str(Login(self.address, self.user, self.port if self.port != 22 else None))
        alias = self.login.hostname
        return said if alias == self.address else f"{said} ({alias})"


def resolve(login: Login, file: str = "") -> Target:
    """Decide where and how to connect.

    Args:
        login: what the resource says; it goes before ssh_config.
        file: the only configuration file to read, as with ``ssh -F``; those of ssh if empty.

    Raises:
        HostError: a configuration file cannot be understood.
    """
    options = _lookup(login, file)
    user = login.username or options.get("user") or getpass.getuser()
    demanded = bool(login.identity)
    if demanded:
        identities = [login.identity]
    else:
        identities = _several(options.get("identityfile")) or list(_IDENTITIES)
    name = options.get("hostkeyalias") or options["hostname"]
    port = login.port or int(options.get("port") or 22)
    known = (options.get("userknownhostsfile") or " ".join(_KNOWN_HOSTS)).split()
    known += (options.get("globalknownhostsfile") or " ".join(_GLOBAL_KNOWN_HOSTS)).split()
    checking = (options.get("stricthostkeychecking") or "").lower()
    command = options.get("proxycommand") or ""
    gateway = _gateway(login, options)
    return Target(
        login=login,
        address=options["hostname"],
        port=port,
        user=user,
        key_name=name if port == 22 else f"[{name}]:{port}",
        identities=tuple(Path(path).expanduser() for path in identities),
        demanded=demanded,
        agent=not demanded and (options.get("identitiesonly") or "no") != "yes",
        known_hosts=tuple(Path(path).expanduser() for path in known if path != "none"),
        # "no" and "off" would accept changed keys too, which is never done.
        accept_new=login.accept_new or checking in {"accept-new", "no", "off"},
        gateway=gateway,
        proxy_command="" if gateway or login.direct else command,
    )


def _gateway(login: Login, options: dict[str, str]) -> Login | None:
    if login.direct or login.gateway is not None:
        return login.gateway
    jump = options.get("proxyjump") or ""
    if not jump or jump.lower() == "none":
        return None
    try:
        last = Login.chain(jump)
    except InvalidValue as error:
        raise HostError(f"ProxyJump {jump!r} of {login.hostname}: {error.message}") from error
    assert last is not None  # noqa: S101 - there is at least one
    # Only the first hop may have a ProxyJump of its own, as with ssh(1).
    return _bounded(last, login.connect_timeout)


def _bounded(hop: Login, timeout: float) -> Login:
    if hop.gateway is None:
        return replace(hop, connect_timeout=timeout)
    return replace(hop, connect_timeout=timeout, gateway=_bounded(hop.gateway, timeout))


def _lookup(login: Login, file: str) -> dict[str, str]:
    try:
        lines = list(_lines([file] if file else FILES, depth=0))
        options = paramiko.SSHConfig()
        options.parse(lines)
        found: dict[str, str] = dict(options.lookup(login.hostname))
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise HostError(
            f"the ssh_config of the worker machine cannot be used: {error}",
            hint="ssh -G HOST shows what ssh makes of it",
        ) from error
    return found


def _several(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _lines(files: list[str] | tuple[str, ...], depth: int) -> Iterator[str]:
    """The lines of files in their order, included ones in place. Missing files are passed over."""
    if depth > _DEEPEST_INCLUDE:
        raise ValueError(f"Include goes deeper than {_DEEPEST_INCLUDE} files")
    for name in files:
        path = Path(name).expanduser()
        if not path.is_file():
            continue
        block = ""
        for line in path.read_text(errors="replace").splitlines():
            word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
            if word.lower() == "include":
                yield from _included(rest.split(), path.parent, depth)
                # An included file may have begun another block; ours goes on after it.
                yield block or "Host *"
                continue
            if word.lower() in {"host", "match"}:
                block = line
            yield line
        yield "Host *"


def _included(patterns: list[str], folder: Path, depth: int) -> Iterator[str]:
    for pattern in patterns:
        wanted = folder / Path(pattern.strip('"')).expanduser()
        yield from _lines(sorted(glob.glob(str(wanted))), depth + 1)  # noqa: PTH207 - absolute
