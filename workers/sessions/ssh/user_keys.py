"""The keys that are offered to a machine: of files with certificates, and of the agent."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

import paramiko

from ....controller.errors import LoginRefused
from .target import Target


def offered(target: Target, here: str) -> Iterator[tuple[str, paramiko.PKey]]:
    """Keys in the order in which they are offered, each with what it is called in messages.

    Args:
        target: the machine.
        here: names the worker machine, for messages.

    Raises:
        LoginRefused: the key that was asked for cannot be used.
    """
    agent = paramiko.Agent() if target.agent else None
    try:
        held = {key.asbytes(): key for key in agent.get_keys()} if agent is not None else {}
        for path in target.identities:
            public = _public(path) if held else None
            if public is not None and public in held:  # an agent can do what a passphrase hides
                yield f"{path} of the agent", held.pop(public)
                continue
            try:
                yield from _of_file(path)
            except (OSError, ValueError, paramiko.SSHException) as error:
                if target.demanded:
                    raise _unusable(path, error, here) from error
        if target.whole_agent:
            for key in held.values():
                yield f"{key.get_name()} {key.fingerprint} of the agent", key
    finally:
        if agent is not None:
            agent.close()


def _of_file(path: Path) -> Iterator[tuple[str, paramiko.PKey]]:
    """The key in a file, first with the certificate that lies beside it, then alone."""
    try:
        key = paramiko.PKey.from_path(path)
    except TypeError as error:  # how the library behind Paramiko asks for a passphrase
        raise paramiko.PasswordRequiredException(str(error)) from error
    if key.public_blob is not None:
        yield f"{path} and its certificate", key
        key = paramiko.PKey.from_path(path)
        key.public_blob = None
    yield str(path), key


def _public(path: Path) -> bytes | None:
    """The public part of an identity, if it can be read without a passphrase."""
    for file in (path.with_name(f"{path.name}.pub"), path):
        with contextlib.suppress(OSError, ValueError):
            words = file.read_text(errors="replace").split()
            if len(words) > 1 and words[0].startswith(("ssh-", "ecdsa-", "sk-")):
                return base64.b64decode(words[1])
    return None


def _unusable(path: Path, error: Exception, here: str) -> LoginRefused:
    if isinstance(error, FileNotFoundError):
        why, hint = "does not exist", "identity is a path on the worker machine"
    elif isinstance(error, PermissionError):
        why, hint = "cannot be read", "the user who runs the worker must be able to read it"
    elif isinstance(error, paramiko.PasswordRequiredException):
        why = "has a passphrase"
        hint = "load it into the agent of the worker (ssh-add)"
    else:
        why, hint = f"cannot be used: {error}", "is it a private key, as ssh-keygen makes them?"
    return LoginRefused(f"the key {path} {here} {why}", hint=hint)
