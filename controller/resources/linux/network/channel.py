"""linux::Channel: a network to which interfaces are connected."""

from __future__ import annotations

from ....model import ResourceManager


class Channel(ResourceManager, rtype="linux::Channel", aliases=("LinuxChannel",)):
    """A network that is there already, such as a switch in a rack.

    It does nothing; pictures show by it which interfaces are connected to each other.
    """

    does_io = False
    endless = True
