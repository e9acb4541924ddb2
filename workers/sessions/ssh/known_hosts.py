"""The keys by which machines are recognised: known_hosts (sshd(8)), or a given key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import paramiko

from ....controller.errors import HostKeyError, InvalidValue
from .ssh_config import matches
from .target import Target

_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


class KnownKeys:
    """The keys by which a machine is known.

    Args:
        target: the machine.
        machine: name of this worker machine, for messages.

    Raises:
        HostKeyError: the given key is none, or a file cannot be read.
    """

    def __init__(self, target: Target, machine: str) -> None:
        self._target, self._machine = target, machine
        self._given = bool(target.login.server_key)
        self._keys: set[str] = set()
        self._revoked: set[str] = set()
        # Keys that are on record for the machine, but not for its port: good only if they match.
        self._portless: set[str] = set()
        self._read_files()
        if self._given:
            self._keys, self._portless = {_checked(target.login.server_key, target)}, set()

    def _read_files(self) -> None:
        proper, *others = self._target.key_names
        for path in self._target.known_hosts:
            for entry in _entries_of(path, self._machine):
                if entry.names(proper):
                    (self._revoked if entry.marker else self._keys).add(entry.key)
                elif any(map(entry.names, others)):
                    (self._revoked if entry.marker else self._portless).add(entry.key)

    def preferred(self, offered: list[str]) -> list[str]:
        """Key algorithms, those first by which the machine can be recognised."""
        keys = self._keys or self._portless
        algorithms = {name for key in keys for name in _algorithms(key.split()[0])}
        return sorted(offered, key=lambda name: name not in algorithms)

    def check(self, key: paramiko.PKey) -> None:
        """Accept or refuse the key that a machine has proved to have.

        Raises:
            HostKeyError: it is revoked, another one than is known, or none is known.
        """
        target, kind = self._target, key.get_name()
        proved = f"{kind} {key.get_base64()}"
        shown = f"{kind} {key.fingerprint}"
        if proved in self._revoked:
            raise HostKeyError(
                f"the key of {target} is revoked: {shown}",
                hint=f"known_hosts on worker machine {self._machine} says so: the machine needs "
                "a new key",
            )
        if proved in self._keys | self._portless:
            return
        if self._given or any(line.split()[0] == kind for line in self._keys):
            raise HostKeyError(
                f"{target} has another key than is known for it on worker machine "
                f"{self._machine}: {shown}",
                hint="somebody may be in between, or it was installed anew: then "
                + ("correct serverKey" if self._given else self._removal()),
            )
        if self._keys or not target.accept_new:
            raise HostKeyError(
                f"the key of {target} is not known: {shown}",
                hint=f"compare it, and add it to known_hosts on worker machine {self._machine} "
                "(ssh-keyscan), or give the node serverKey=..., or "
                'strictHostKeyChecking="accept-new"',
            )

    def _removal(self) -> str:
        return (
            f"remove the old key with: ssh-keygen -R '{self._target.key_names[0]}' "
            f"on worker machine {self._machine}"
        )


def check_public_key(text: str) -> str:
    """A public key as one line of ``KIND BASE64``, if it is one.

    Raises:
        InvalidValue: it is not.
    """
    words = text.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
        key = paramiko.PKey.from_type_string(words[0], blob)
    except Exception as error:  # it depends on the kind of key what is raised
        raise InvalidValue(f"{text[:40]!r} is no public key") from error
    return f"{key.get_name()} {key.get_base64()}"


def _checked(text: str, target: Target) -> str:
    try:
        return check_public_key(text)
    except InvalidValue as error:
        raise HostKeyError(
            f"serverKey of {target}: {error.message}", hint="write it as ssh-ed25519 AAAA..."
        ) from error


def _algorithms(kind: str) -> tuple[str, ...]:
    return _RSA if kind == "ssh-rsa" else (kind,)


@dataclass(frozen=True)
class _Entry:
    """A line of a known_hosts file.

    Attributes:
        marker: ``@revoked``, or empty.
        hosts: whom it is about: patterns, or one hashed name.
        key: ``KIND BASE64``.
    """

    marker: str
    hosts: str
    key: str

    def names(self, name: str) -> bool:
        """Whether it is about a machine."""
        if not self.hosts.startswith("|1|"):
            return matches(name.lower(), self.hosts.lower().split(","))
        try:
            salt, digest = map(base64.b64decode, self.hosts.split("|")[2:4])
        except (binascii.Error, ValueError):
            return False
        computed = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(computed, digest)


def _entries_of(path: Path, machine: str) -> tuple[_Entry, ...]:
    try:
        version = path.stat().st_mtime_ns
        return _read(path, version)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise HostKeyError(f"{path} on worker machine {machine}: {error.strerror}") from error


@lru_cache(maxsize=16)
def _read(path: Path, version: int) -> tuple[_Entry, ...]:
    """The entries of a file; ``version`` makes a changed file be read again.

    Those of certificate authorities are passed over, as is what cannot be understood.
    """
    entries = []
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and marker in {"", "@revoked"} and not words[0].startswith("#"):
            entries.append(_Entry(marker, words[0], f"{words[1]} {words[2]}"))
    return tuple(entries)
