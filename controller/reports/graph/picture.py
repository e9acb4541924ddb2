"""Pictures as files: which format, where to, and how a graph becomes one."""

from __future__ import annotations

import math
import os
import re
from enum import Enum
from pathlib import Path

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from ..files import write
from .model import Graph


class PFormats(str, Enum):
    """Formats of :meth:`ExperimentController.plot`, with NEPI's names."""

    #: Text for Graphviz.
    DOT = "dot"
    #: Scalable, for browsers and papers; the default.
    SVG = "svg"
    #: Pixels.
    PNG = "png"
    #: NEPI's name for PNG.
    FIGURE = "figure"

    @classmethod
    def parse(cls, name: str) -> PFormats:
        """The format of a name, in any case.

        Raises:
            InvalidValue: there is none.
        """
        try:
            return cls(name.lower())
        except ValueError:
            raise InvalidValue(
                f"there is no picture format {quoted(str(name))}",
                hint="use one of " + ", ".join(item.value for item in cls),
            ) from None

    @property
    def kind(self) -> str:
        """The ending of a file of this format."""
        return "png" if self is PFormats.FIGURE else self.value


_SCALE = 2.0
_MOST_PIXELS = 32e6
"""Pixels of a PNG, at 4 bytes in memory each: a larger picture is drawn smaller."""


def save(
    graph: Graph, path: str | os.PathLike[str] | None = None, wanted: str | PFormats | None = None
) -> str:
    """Draw a graph into a file; return its absolute path.

    Args:
        graph: the graph.
        path: a file, or a directory for ``<experiment>.<format>`` in it; the current directory
            by default.
        wanted: the format; by default what the file's name says, else SVG.

    Raises:
        InvalidValue: there is no such format.
        DescriptionError: what draws PNG is not installed.
        FileMissing: the file cannot be written.
    """
    place = Path(path) if path is not None else Path()
    folder = path is None or place.is_dir() or str(path).endswith(("/", os.sep))
    suffix = "" if folder else place.suffix.removeprefix(".")
    kind = PFormats.parse(wanted or suffix or PFormats.SVG).kind
    file = place / f"{graph.name}.{kind}" if folder else place
    return write(file, drawn(graph, kind))


def drawn(graph: Graph, kind: str) -> bytes:
    """A graph as ``dot``, ``svg`` or ``png``; alike resources of a large one are put together.

    Raises:
        DescriptionError: what draws PNG is not installed.
    """
    from .grouping import grouped

    if kind == "dot":
        from .dot import dot

        # Whoever works on with the text wants all of it.
        return dot(graph).encode()
    from .svg import svg

    if kind == "svg":
        return svg(grouped(graph)).encode()
    return _png(svg(grouped(graph), dark=False))


def _png(text: str) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise DescriptionError(
            "PNG pictures need the package resvg-py",
            hint="pip install 'nepiq[plot]', or take SVG, which needs nothing",
        ) from None
    width, height = map(int, re.findall(r'(?:width|height)="(\d+)"', text)[:2])
    scale = min(_SCALE, math.sqrt(_MOST_PIXELS / (width * height)))
    return bytes(resvg_py.svg_to_bytes(svg_string=text, zoom=scale, font_family="DejaVu Sans"))
