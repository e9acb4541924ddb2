"""Whether a machine is the one it should be: known_hosts (sshd(8)), or a key that was given."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import paramiko

from ....controller.errors import HostKeyError, InvalidValue
from .config import Target

# In order of preference where nothing is known (ssh_config(5), HostKeyAlgorithms).
_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


class KnownKeys:
    """The keys by which a machine is known.

    Args:
        target: the machine.
        machine: name of this worker machine, for messages.

    Raises:
        HostKeyError: the given key is none.
    """

    def __init__(self, target: Target, machine: str) -> None:
        self._target, self._machine = target, machine
        given = target.login.server_key
        self._given = given
        if given:
            self._keys = {text.split()[0]: text.split()[1] for text in [_checked(given, target)]}
        else:
            self._keys = _known(target)

    def preferred(self, offered: list[str]) -> list[str]:
        """Key algorithms, those first by which the machine can be recognised."""
        known = {name for kind in self._keys for name in _algorithms(kind)}
        return sorted(offered, key=lambda name: name not in known)

    def check(self, key: paramiko.PKey) -> None:
        """Accept or refuse the key that a machine has proved to have.

        Raises:
            HostKeyError: it is another one than is known, or none is known.
        """
        target, name = self._target, key.get_name()
        known = self._keys.get(name)
        if known == key.get_base64():
            return
        shown = f"{name} {key.fingerprint}"
        if known is not None or (self._given and self._keys):
            raise HostKeyError(
                f"{target} has another key than is known for it: {shown}",
                hint="somebody may be in between, or it was installed anew: then remove the old "
                f"key with: ssh-keygen -R '{target.key_name}' on worker machine {self._machine}"
                + (", or correct serverKey" if self._given else ""),
            )
        if self._keys or not target.accept_new:
            raise HostKeyError(
                f"the key of {target} is not known: {shown}",
                hint=f"compare it, and add it to known_hosts on worker machine {self._machine} "
                "(ssh-keyscan), or give the node serverKey=..., or "
                'strictHostKeyChecking="accept-new"',
            )


def _algorithms(kind: str) -> tuple[str, ...]:
    return _RSA if kind == "ssh-rsa" else (kind,)


def _checked(text: str, target: Target) -> str:
    try:
        return check_public_key(text)
    except InvalidValue as error:
        raise HostKeyError(f"serverKey of {target}: {error.message}") from error


def check_public_key(text: str) -> str:
    """A public key as one line of ``KIND BASE64``, if it is one.

    Raises:
        InvalidValue: it is not.
    """
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"host {text.strip()}")
    if entry is None or entry.key is None:
        raise InvalidValue(f"{text[:40]!r} is no public key")
    return f"{entry.key.get_name()} {entry.key.get_base64()}"


def _known(target: Target) -> dict[str, str]:
    """Keys by kind; of several files the first that has one counts."""
    found: dict[str, str] = {}
    for path in target.known_hosts:
        try:
            version = path.stat().st_mtime_ns
        except OSError:
            continue
        entries = _read(path, version).lookup(target.key_name)
        for kind, key in entries.items() if entries else ():
            found.setdefault(kind, key.get_base64())
    return found


@lru_cache(maxsize=16)
def _read(path: Path, version: int) -> paramiko.HostKeys:
    """The keys in a file; ``version`` makes a changed file be read again."""
    keys = paramiko.HostKeys()
    keys.load(str(path))
    return keys
