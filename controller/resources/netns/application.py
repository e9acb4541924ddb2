"""netns::Application: a command in an emulated host, by NEPI's name."""

from __future__ import annotations

from ...model import Connection
from ..linux.application import Application as LinuxApplication
from .node import Node


class Application(LinuxApplication, rtype="netns::Application"):
    """A command in an emulated host: a linux::Application, which can be connected to one, too."""

    node = Connection(Node, required=True, help="The emulated host.")  # type: ignore[assignment]
