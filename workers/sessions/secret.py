"""Passwords of users on hosts, which stay on the worker machine."""

from __future__ import annotations

import os
from pathlib import Path

from ...controller.model.login import Login
from ...controller.model.values import SecretReference
from ...controller.settings import machine_name
from .environment import hide

_LONGEST = 4096  # bytes of a line that a shell is given; no password is longer


def hide_references(login: Login) -> None:
    """Keep the variables that hold passwords of a login, and of its gateways, from commands."""
    hop: Login | None = login
    while hop is not None:
        if hop.password:
            Secret(SecretReference(hop.password))
        hop = hop.gateway


class Secret:
    """The password of a login user, read from this machine each time it is needed.

    It is not required until a host asks for it, so that one that cannot be read does no harm on
    hosts that do not ask. From its creation on, commands on this machine do not inherit a variable
    that holds it.

    Args:
        reference: where it is; None if there is none.
        attribute: the attribute of a node that has the reference, for messages.
    """

    def __init__(self, reference: SecretReference | None, attribute: str = "sudoPassword") -> None:
        self._reference, self._attribute = reference, attribute
        self._how, _, self._place = (reference or "").partition(":")
        self._problem = ""
        if self._how == "env":
            hide(self._place)

    def line(self) -> bytes:
        """Return the password with a newline; empty if there is none or it cannot be read."""
        if self._reference is None:
            return b""
        try:
            secret = self._read()
        except OSError as error:
            self._problem = f"cannot be read: {error.strerror}"
            return b""
        self._problem = "" if secret else "is empty or not set"
        if len(secret) > _LONGEST or b"\0" in secret:
            self._problem, secret = "is no password: it is too long or holds a NUL character", b""
        return secret + b"\n" if secret else b""

    def advice(self) -> str:
        """Return a hint about a host that asks for a password, or refuses this one."""
        if self._reference is None:
            return f"give the node {self._attribute}=env:NAME or file:PATH"
        problem = self._problem or "does not hold the password of the login user"
        return f"{self._attribute} {self._reference} {problem}; correct it on {machine_name()}"

    def _read(self) -> bytes:
        if self._how == "env":
            return os.environb.get(os.fsencode(self._place), b"").partition(b"\n")[0]
        with Path(self._place).open("rb") as file:
            return file.readline(_LONGEST + 2).rstrip(b"\r\n")
