"""Ports and HTTP, for tests that look at what a process serves."""

from __future__ import annotations

import base64
import secrets
import socket
import urllib.error
import urllib.request
from contextlib import suppress


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on.

    It may be used much later: the kernel gives it to no client, nor does nepiq to a server.
    """
    while True:
        port = 10_000 + secrets.randbelow(10_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def get(url: str, password: str = "", data: bytes | None = None) -> str:
    """What a URL answers.

    Args:
        url: the URL.
        password: ``user:password``, if not empty.
        data: posted, if given.

    Raises:
        OSError: nobody answered; urllib's HTTPError if the answer is an error.
    """
    request = urllib.request.Request(url, data)
    if password:
        token = base64.b64encode(password.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    with urllib.request.urlopen(request, timeout=10.0) as response:
        return str(response.read().decode())


def code(url: str, password: str = "", data: bytes | None = None) -> int:
    """The status of the answer."""
    try:
        get(url, password, data)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def answers(url: str) -> bool:
    """Whether the answer is no error."""
    try:
        return code(url) == 200
    except OSError:
        return False
