"""Reader of NEPI's XML, which converts it to the plain data of a description.

Nothing in it is evaluated. A document type declaration, and with it all entities, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from ...errors import DescriptionError, NepiqError
from ...errors.text import is_decimal, quoted
from ...model import registry
from ...model.resource import ResourceManager
from .positions import Findings, Mark, Path
from .schema import VERSION
from .yaml_format import Broken

_ACTIONS = ("deploy", "start", "stop")
_STATES = (
    "NEW",
    "DISCOVERED",
    "RESERVED",
    "PROVISIONED",
    "READY",
    "STARTED",
    "STOPPED",
    "FAILED",
    "RELEASED",
)
#: Attributes of NEPI that nepiq does not have; docs/nepi.md says why.
_OBSOLETE = {("linux::Node", "ip")}
_MAX_DEPTH = 40
# A list, tuple or set of numbers as Python 2 and 3 print them.
_GROUP = re.compile(r"(set\()?[\[({]*\s*\d+L?(\s*,\s*\d+L?)*\s*(,\s*)?[\])}]*")


@dataclass
class _Element:
    """One element without its text."""

    name: str
    attributes: dict[str, str]
    mark: Mark
    inner: list[_Element] = field(default_factory=list)

    def all(self, *names: str) -> list[_Element]:
        """Return the inner elements at a path of names."""
        elements = [self]
        for name in names:
            elements = [
                inner for element in elements for inner in element.inner if inner.name == name
            ]
        return elements


def parse(content: bytes, findings: Findings, warnings: list[str]) -> Any:
    """Convert an experiment saved by NEPI to plain data, and record all positions.

    Args:
        content: the text.
        findings: collects errors; its positions are filled.
        warnings: collects warnings about parts that are ignored.

    Raises:
        Broken: the XML is invalid, or not NEPI's.
    """
    root = _elements(content)
    if root.name != "experiment":
        raise Broken(DescriptionError("not an experiment of NEPI"), root.mark)
    return _Conversion(findings, warnings).document(root)


def _elements(content: bytes) -> _Element:
    parser = expat.ParserCreate()
    open_elements = [_Element("", {}, (1, 1))]

    def mark() -> Mark:
        return parser.CurrentLineNumber, parser.CurrentColumnNumber + 1

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > _MAX_DEPTH:
            raise Broken(DescriptionError(f"nested deeper than {_MAX_DEPTH} levels"), mark())
        element = _Element(name, attributes, mark())
        open_elements[-1].inner.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        open_elements.pop()

    def doctype(*_declaration: object) -> None:
        raise Broken(
            DescriptionError("a document type is not supported", hint="remove it"),
            mark(),
        )

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        problem = expat.errors.messages.get(error.code, "it cannot be parsed")
        raise Broken(
            DescriptionError(f"invalid XML: {problem}"), (error.lineno, error.offset + 1)
        ) from None
    except (LookupError, ValueError) as error:
        raise Broken(DescriptionError(f"invalid XML: {error}"), mark()) from None
    return open_elements[0].inner[0]


class _Conversion:
    """A conversion of NEPI's elements to the data of a description."""

    def __init__(self, findings: Findings, warnings: list[str]) -> None:
        self._findings = findings
        self._positions = findings.positions
        self._warnings = warnings
        self._labels: dict[str, str] = {}
        self._pairs: set[frozenset[str]] = set()

    def document(self, root: _Element) -> dict[str, Any]:
        self._record((), root)
        data: dict[str, Any] = {"nepiq": VERSION, "resources": {}}
        if root.attributes.get("exp_id"):
            data["exp_id"] = root.attributes["exp_id"]
            self._record(("exp_id",), root)
        for node in root.all("topology", "nodes", "node")[:1]:
            self._warn(node, "the topology is ignored")
        elements = root.all("rms", "rm")
        for element in elements:
            self._name(element)
        for element in elements:
            label = self._labels.get(element.attributes.get("guid", ""))
            if label is not None and label not in data["resources"]:
                path = ("resources", label)
                self._record(path, element)
                data["resources"][label] = self._resource(element, path)
        return data

    def _name(self, element: _Element) -> None:
        """Choose the label of a resource, like that of a resource registered without one."""
        guid, rtype = element.attributes.get("guid", ""), element.attributes.get("rtype", "")
        if not is_decimal(guid):
            self._error(element, f"{quoted(guid)} is not a guid" if guid else "a guid is missing")
        elif guid in self._labels:
            self._error(element, f"duplicate guid {guid}")
        else:
            stem = registry.canonical(rtype).rpartition("::")[2].lower()
            stem = re.sub(r"[^a-z0-9._-]", "", stem).lstrip("-.")[:40]
            self._labels[guid] = f"{stem or 'resource'}-{guid}"

    def _resource(self, element: _Element, path: Path) -> dict[str, Any]:
        rtype = registry.canonical(element.attributes.get("rtype", ""))
        data: dict[str, Any] = {"type": rtype, "guid": int(element.attributes["guid"])}
        try:
            cls = registry.find(rtype)
        except NepiqError:
            # The builder reports the unknown type.
            return data
        attributes = data["attributes"] = {}
        for inner in element.all("attributes", "attribute"):
            name, value = inner.attributes.get("name", ""), inner.attributes.get("value", "")
            if (cls.rtype, name) in _OBSOLETE:
                self._warn(inner, f"attribute {quoted(name)} is obsolete and ignored")
                continue
            self._record((*path, "attributes", name), inner)
            attributes[name] = _value(cls, name, value)
        data["connectedTo"] = self._peers(element, path)
        for inner in element.all("conditions", "condition"):
            self._condition(inner, data, path)
        return data

    def _peers(self, element: _Element, path: Path) -> list[str]:
        """Return the labels of peers. NEPI writes each pair on both sides; one side is enough."""
        guid = element.attributes["guid"]
        labels: list[str] = []
        for inner in element.all("connections", "connection"):
            peer = inner.attributes.get("guid", "")
            pair = frozenset((guid, peer))
            if pair not in self._pairs:
                self._pairs.add(pair)
                self._record((*path, "connectedTo", len(labels)), inner)
                labels.append(self._labels.get(peer, peer))
        return labels

    def _condition(self, element: _Element, data: dict[str, Any], path: Path) -> None:
        action = _name_of(element.attributes.get("action", ""), _ACTIONS)
        if action not in _ACTIONS:
            self._error(element, f"there is no action {quoted(action)}")
            return
        group = element.attributes.get("group", "").strip()
        if _GROUP.fullmatch(group) is None:
            self._error(element, f"{quoted(group)} is not a group of guids")
            return
        condition: dict[str, Any] = {
            "after": [self._labels.get(guid, guid) for guid in re.findall(r"\d+", group)],
            "state": _name_of(element.attributes.get("state", ""), _STATES),
        }
        time = element.attributes.get("time", "").strip()
        if time not in {"", "None"}:
            condition["delay"] = time
        conditions = data.setdefault(action, [])
        self._record((*path, action, len(conditions)), element)
        conditions.append(condition)

    def _record(self, path: Path, element: _Element) -> None:
        self._positions.keys[path] = self._positions.values[path] = element.mark

    def _error(self, element: _Element, message: str) -> None:
        self._findings.add_at(DescriptionError(message), element.mark)

    def _warn(self, element: _Element, message: str) -> None:
        line, column = element.mark
        self._warnings.append(f"{self._positions.name}:{line}:{column}: {message}")


def _name_of(text: str, names: tuple[str, ...]) -> str:
    """Return the name for a number that NEPI wrote; other text unchanged."""
    text = text.strip()
    if is_decimal(text) and int(text) < len(names):
        return names[int(text)]
    return text.lower() if names is _ACTIONS else text


def _value(cls: type[ResourceManager], name: str, text: str) -> Any:
    """Return a value of the attribute's kind; text that does not fit is unchanged."""
    attribute = cls.attributes.get(name)
    if attribute is None:
        return text
    if attribute.kind is bool:
        return {"true": True, "1": True, "false": False, "0": False, "": None}.get(
            text.lower(), text
        )
    if attribute.kind in (int, float):
        return _number(text, attribute.kind)
    return text if text or attribute.kind is str else None


def _number(text: str, kind: type[Any]) -> Any:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    # NEPI converted whole numbers with a range to floats.
    return int(number) if kind is int and number.is_integer() else number
