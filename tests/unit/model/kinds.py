"""Resource types that the tests of descriptions connect."""

from __future__ import annotations

from typing import Any

from nepiq.controller.description.description import Description
from nepiq.controller.model import Attribute, Connection, Context, Flag, ResourceManager
from nepiq.controller.resources.linux.host_command import HostCommand


class Switch(ResourceManager, rtype="test.description::Switch"):
    """Many ports; says nothing about order."""

    does_io = False
    ports = Connection("test.description::Port", many=True)
    region = Attribute(str, "eu", help="A region.", flags=Flag.GLOBAL)
    secret = Attribute(str, help="A path.", flags=Flag.NO_READ)


class Port(ResourceManager, rtype="test.description::Port"):
    speed = Attribute(int, required=True, help="A speed.")
    node = Connection("LinuxNode", required=True)
    switch = Connection(Switch)


class FastPort(Port, rtype="test.description::FastPort"):
    speed = Attribute(int, 10, help="A speed.")


class Cable(ResourceManager, rtype="test.description::Cable"):
    """Acts on the host of its left end."""

    left = Connection(Port, required=True)
    right = Connection(Port, required=True)


class Reader(HostCommand, rtype="test.description::Reader"):
    """A command that needs another one."""

    writer = Connection("linux::Application", required=True)

    def do_start(self, context: Context) -> None: ...


class Peer(ResourceManager, rtype="test.description::Peer"):
    other = Connection("test.description::Peer")


class Child(ResourceManager, rtype="test.description::Child"):
    parent = Connection("test.description::Child", waits=True)


def null(d: Description, **settings: Any) -> int:
    return d.add("nepiq::Null", **settings)
