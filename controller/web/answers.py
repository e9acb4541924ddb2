"""Answers about one run: its graph, a resource, an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.transfer.outputs import Outputs
from ..errors import HostError, TraceNotFound
from ..errors.text import escaped
from ..model.attributes import Attribute, Flag
from ..reports.graph.grouping import grouped
from ..reports.graph.model import running
from ..reports.graph.svg import svg
from ..reports.why import reasons
from .rows import resource_class

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

END = 64_000
"""Bytes of an output that a page shows: its end."""


def graph(run: Run) -> str:
    """Return the graph of a run as SVG; it says of each part which resource it is."""
    return svg(grouped(running(run)))


def resource(run: Run, guid: int) -> dict[str, Any]:
    """Return what a resource waits for or how it ended, its attributes and its outputs."""
    record = run.record(guid)
    return {
        "guid": guid,
        "reasons": [escaped(text) for text in reasons(run, record)],
        "attributes": _attributes(record),
        "outputs": [escaped(name) for name in Outputs(run).names(record)],
    }


def _attributes(record: ResourceRecord) -> list[list[str]]:
    """Return name, value and unit of the attributes that have been set."""
    cls = resource_class(record.rtype)
    declared = cls.attributes if cls is not None else {}
    return [
        [escaped(name), escaped(_text(value)), getattr(declared.get(name), "unit", "")]
        for name, value in sorted(record.attributes.items())
        if value not in (None, "", [], {}) and not _is_reserved(declared.get(name))
    ]


def _is_reserved(attribute: Attribute[Any] | None) -> bool:
    return attribute is not None and Flag.RESERVED in attribute.flags


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def output(run: Run, guid: int, name: str) -> dict[str, Any]:
    """Return the end of an output as text, and how long the output is; or why it cannot be read."""
    outputs, record = Outputs(run), run.record(guid)
    try:
        size = outputs.size(record, name)
        first = max(0, size - END)
        data = b"".join(outputs.read(record, name, offset=first))
    except (HostError, TraceNotFound) as error:
        return {"error": escaped(str(error))}
    # More may have been written since its size was asked.
    return {"text": shown(data.decode("utf-8", "replace")), "size": first + len(data)}


def shown(text: str) -> str:
    """Return text of an output for the page."""
    return escaped(text.replace("\r\n", "\n").replace("\r", "\n"))
