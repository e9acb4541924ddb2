"""The environment of commands on this machine, without secrets."""

from __future__ import annotations

from collections.abc import Mapping

from ...controller.settings import redacted_url

_URLS = ("NEPIQ_BROKER_URL", "NEPIQ_STATE_URL")
_PASSWORDS = ("NEPIQ_REDIS_PASSWORD", "NEPIQ_REDIS_OPERATOR_PASSWORD")

_secret: set[str] = set()


def hide(variable: str) -> None:
    """Leave a variable that holds a secret out of :func:`without_secrets`."""
    _secret.add(variable)


def without_secrets(environment: Mapping[str, str]) -> Mapping[str, str]:
    """An environment for commands on this machine, without variables that hold secrets.

    Those are what references name, the password of Redis, and URLs of Redis with a password.
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _secret
        and name not in _PASSWORDS
        and (name not in _URLS or redacted_url(value) == value)
    }
