"""Dummy resources as NEPI's own tests have them, and callbacks; workers import this module."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nepiq.controller import Attribute, Connection, Context, Later, ResourceManager


class Channel(ResourceManager, rtype="dummy::Channel"):
    """What interfaces are attached to; takes a while to deploy."""

    polls = Attribute(int, 0, help="How often its deploy was called.")

    def do_deploy(self, context: Context) -> Later | None:
        """Come back once."""
        self.polls += 1
        return Later("50ms") if self.polls < 2 else None


class Node(ResourceManager, rtype="dummy::Node"):
    """Deployed before its interfaces are provisioned, ready after them in NEPI's tests."""

    def do_provision(self, context: Context) -> None:
        """Take a while."""
        time.sleep(0.02)


class Interface(ResourceManager, rtype="dummy::Interface"):
    """On a node, in a channel."""

    node = Connection("dummy::Node", required=True)
    channel = Connection("dummy::Channel", required=True)


class Application(ResourceManager, rtype="dummy::Application"):
    """On a node; does nothing."""

    node = Connection("dummy::Node", waits=True)
    interface = Connection("dummy::Interface", waits=True)
    x = Attribute(str, "", help="Can be set while it runs.")
    cipher = Attribute(str, "AES", allowed=("AES", "DES"), help="A choice.")
    size = Attribute(int, 1, range=(1, 9), help="A number.")
    seen = Attribute(str, "", help="When x was set, in seconds since the epoch.")

    def do_start(self, context: Context) -> None:
        """Begin to run, until it is stopped."""

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Note when."""
        self.seen = repr(time.time())


class ErrorApplication(ResourceManager, rtype="dummy::ErrorApplication"):
    """Fails when it is deployed."""

    def do_deploy(self, context: Context) -> None:
        """Fail."""
        raise RuntimeError("NOT A REAL ERROR, JUST TESTING")


class Unreleasable(ResourceManager, rtype="dummy::Unreleasable"):
    """Fails when it is released."""

    def do_release(self, context: Context) -> None:
        """Fail."""
        raise RuntimeError("cannot let go")


def hello() -> str:
    """A callback."""
    return "hola!"


def much() -> str:
    """A callback whose result is too long to be kept."""
    return "x" * 1_000_000


def now() -> float:
    """A callback that tells when it was called."""
    return time.time()


def fail() -> None:
    """A callback that raises."""
    raise ValueError("as it was told")


def note(path: str, text: str) -> None:
    """A callback that appends a line to a file, and so may be counted."""
    with Path(path).open("a") as file:
        file.write(f"{text} {time.time()}\n")
