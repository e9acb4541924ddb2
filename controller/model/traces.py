"""Traces: the named outputs of a resource manager."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class TraceAttr(Enum):
    """The properties of a trace that can be requested."""

    #: The whole content.
    ALL = "all"
    #: One block of the content.
    STREAM = "stream"
    #: The path on its host.
    PATH = "path"
    #: The size in bytes.
    SIZE = "size"


class Trace:
    """A named output, declared in the body of a resource's class: a file in its run directory.

    With ``attribute`` it is the value of an attribute as a line of text instead of a file.

    Attributes:
        name: the name in the class body.
        help: its content.
        file: its path in the run directory; by default the name.
        attribute: the attribute whose value it is; empty for a file.
        switch: the attribute that lists the traces to write, if it is written on request only.
        needs: attributes of which one must be set, or else it is not written; none for always.

    Example:
        ``capture = Trace(help="Packets seen, in pcap format.", file="capture.pcap")``
    """

    __slots__ = ("attribute", "file", "help", "name", "needs", "switch")

    def __init__(
        self,
        *,
        help: str,  # noqa: A002 - reads as the declaration it is
        file: str = "",
        attribute: str = "",
        switch: str = "",
        needs: Sequence[str] = (),
    ) -> None:
        self.name = ""
        self.help = help
        self.file = file
        self.attribute = attribute
        self.switch = switch
        self.needs = tuple(needs)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.file = self.file or name

    def __repr__(self) -> str:
        return f"<Trace {self.name}: {self.file}>"
