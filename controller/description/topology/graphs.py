"""Graphs of networks, read from what users have: networkx, GraphML, GML, lists of links, CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from .topology import Topology, load_networkx

#: Attributes of an edge that are read from a list: names of its interfaces by node; its place in
#: the list and its first end, which networkx does not keep.
INTERFACES, PLACE = "interfaces", "place"

_FIRST = ("source", "from", "node1", "a")
# Columns of links whose names are not in lower case.
_COLUMNS = {"lossburst": "lossBurst"}
_SECOND = ("target", "to", "node2", "b")
# What parsers of XML, GML and CSV raise besides.
_UNREADABLE = (SyntaxError, ValueError, LookupError, TypeError, AttributeError, csv.Error)
_HINT = "write, for example, endpoints: [r1, r2] or endpoints: ['r1:eth1', 'r2:eth1']"


def read_graph(source: Any) -> Any:
    """Return the undirected networkx graph that a source describes.

    Args:
        source: a :class:`Topology`, a networkx graph, the path of a file (.graphml, .gml, .yaml,
            .yml, .json or .csv), a mapping with ``links`` and perhaps ``nodes``, or a list of
            links. A link has ``endpoints``, two names of nodes, each perhaps with that of its
            interface (``r1:eth1``), and attributes, or is just a pair of names. A CSV file has
            columns ``source`` and ``target`` and further ones for attributes, or is a matrix with
            the names of the nodes in its first row and column, in whose cells is a delay, ``1``
            for a link without one, or nothing.

    Raises:
        InvalidValue: it is none of these, or malformed.
        DescriptionError: a file cannot be read, or networkx is not installed.
    """
    networkx = load_networkx()
    if isinstance(source, Topology):
        return source.graph
    if isinstance(source, networkx.Graph):
        return source.to_undirected() if source.is_directed() else source
    if isinstance(source, (str, PurePath)):
        return _read_file(networkx, Path(source))
    if isinstance(source, Mapping):
        return _from_mapping(networkx, source)
    if isinstance(source, (list, tuple)):
        return _from_links(networkx, {}, source)
    raise InvalidValue(
        f"a topology cannot be made from {type(source).__name__}",
        hint="pass a networkx graph, a file, a mapping or a list of links",
    )


def _read_file(networkx: Any, path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix not in (".graphml", ".gml", ".yaml", ".yml", ".json", ".csv"):
        raise InvalidValue(
            f"no format of topologies has the suffix {quoted(suffix)}",
            hint="use .graphml, .gml, .yaml, .json or .csv",
        )
    try:
        if suffix == ".csv":
            return _from_rows(networkx, list(csv.reader(path.read_text("utf-8-sig").splitlines())))
        if suffix == ".graphml":
            return read_graph(networkx.read_graphml(path))
        if suffix == ".gml":
            return read_graph(networkx.read_gml(path, label="id"))
        return read_graph(_plain(path))
    except OSError as error:
        raise DescriptionError(f"cannot read {path}: {error.strerror}") from None
    except InvalidValue as error:
        raise error.at(str(path)) from None
    except (networkx.NetworkXException, *_UNREADABLE) as error:
        raise DescriptionError(
            f"cannot read {path}: {' '.join(str(error).split())}", hint="is the format right?"
        ) from None


def _plain(path: Path) -> Any:
    """Return the data of a YAML or JSON file, read as descriptions are."""
    from ..files import yaml_format
    from ..files.positions import Findings, Positions

    findings = Findings(Positions(str(path)))
    data = None
    try:
        data = yaml_format.parse(path.read_text("utf-8"), findings)
    except yaml_format.Broken as broken:
        findings.add_at(broken.error, broken.mark)
    findings.check()
    return data


def _from_mapping(networkx: Any, source: Mapping[str, Any]) -> Any:
    inner = source.get("topology", source)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("links", []), list):
        raise InvalidValue("a topology has no links", hint="write links: and a list below it")
    nodes = inner.get("nodes") or {}
    if isinstance(nodes, list):
        nodes = dict.fromkeys(nodes)
    if not isinstance(nodes, Mapping):
        raise InvalidValue("nodes of a topology must be names, perhaps with attributes")
    return _from_links(networkx, nodes, inner.get("links") or [])


def _from_links(networkx: Any, nodes: Mapping[str, Any], links: Iterable[Any]) -> Any:
    graph = networkx.MultiGraph()
    for name, attributes in nodes.items():
        graph.add_node(str(name), **{str(k): v for k, v in (attributes or {}).items()})
    for number, link in enumerate(links):
        one, two, attributes = _link(link)
        graph.add_edge(one, two, **attributes, **{PLACE: (number, one)})
    return graph


def _link(link: Any) -> tuple[str, str, dict[str, Any]]:
    attributes: dict[str, Any] = {}
    ends = link
    if isinstance(link, Mapping):
        attributes = {str(name): value for name, value in link.items() if name != "endpoints"}
        ends = link.get("endpoints")
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise InvalidValue(f"{quoted(link)} is not a link", hint=_HINT)
    names = [str(end).partition(":") for end in ends]
    if not all(name for name, _, _ in names):
        raise InvalidValue(f"{quoted(link)} is not a link", hint=_HINT)
    one, two = (name for name, _, _ in names)
    if one == two:
        raise InvalidValue(f"node {quoted(one)} is linked with itself")
    interfaces = {name: interface for name, _, interface in names if interface}
    if interfaces:
        attributes[INTERFACES] = interfaces
    return one, two, attributes


def _from_rows(networkx: Any, rows: Sequence[Sequence[str]]) -> Any:
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise InvalidValue("there is no row")
    head = [cell.lower() for cell in rows[0]]
    if head[0] in _FIRST and len(head) > 1 and head[1] in _SECOND:
        columns = [_COLUMNS.get(cell, cell) for cell in head[2:]]
        links = []
        for row in rows[1:]:
            named = dict(zip(columns, row[2:], strict=False))
            values = {name: _number(value) for name, value in named.items() if value}
            links.append({"endpoints": row[:2], **values})
        return _from_links(networkx, {}, links)
    names = rows[0][1:]
    if [row[0] for row in rows[1:]] != names:
        raise InvalidValue(
            "the first column of a matrix must have the names of its first row",
            hint="or begin the file with source,target for a list of links",
        )
    links = []
    for number, row in enumerate(rows[1:]):
        for other in range(number + 1, len(names)):
            cell = _cell(rows, number, other) or _cell(rows, other, number)
            if cell:
                delay = {} if cell == "1" else {"delay": _number(cell)}
                links.append({"endpoints": [row[0], names[other]], **delay})
    return _from_links(networkx, dict.fromkeys(names), links)


def _cell(rows: Sequence[Sequence[str]], row: int, column: int) -> str:
    cells = rows[row + 1]
    text = cells[column + 1] if column + 1 < len(cells) else ""
    return "" if text in ("0", "-") else text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
