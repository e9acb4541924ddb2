"""Traces: the named outputs of a resource manager."""

from __future__ import annotations

from enum import Enum


class TraceAttr(Enum):
    """What to ask of a trace."""

    #: The whole content.
    ALL = "all"
    #: One block of it.
    STREAM = "stream"
    #: Where it is on its host.
    PATH = "path"
    #: How many bytes it has.
    SIZE = "size"


class Trace:
    """A named output, declared in the body of a resource's class: a file in its run directory.

    With ``attribute`` it is no file, but the value of an attribute as a line of text.

    Attributes:
        name: the name it was declared under.
        help: what it contains.
        file: its path in the run directory; the name if not given.
        attribute: the attribute that it shows; empty for a file.

    Example:
        ``capture = Trace(help="Packets seen, in pcap format.", file="capture.pcap")``
    """

    __slots__ = ("attribute", "file", "help", "name")

    def __init__(self, *, help: str, file: str = "", attribute: str = "") -> None:  # noqa: A002 - reads as declared
        self.name = ""
        self.help = help
        self.file = file
        self.attribute = attribute

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.file = self.file or name

    def __repr__(self) -> str:
        return f"<Trace {self.name}: {self.file}>"
