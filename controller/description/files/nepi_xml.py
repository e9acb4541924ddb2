"""NEPI's XML: read as the plain data of a description.

Nothing in it is evaluated, and a document type is refused, and with it every entity.
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
#: Attributes of NEPI without a meaning here: docs/nepi.md says what came of them.
_GONE = {("linux::Node", "ip")}
_DEEPEST = 40
# A list, tuple or set of numbers as Python 2 and 3 print them.
_GROUP = re.compile(r"(set\()?[\[({]*\s*\d+L?(\s*,\s*\d+L?)*\s*(,\s*)?[\])}]*")


@dataclass
class _Element:
    """One element: what was between its tags is of no interest."""

    name: str
    given: dict[str, str]
    mark: Mark
    inner: list[_Element] = field(default_factory=list)

    def all(self, *names: str) -> list[_Element]:
        """Those inside of it that these names lead to."""
        found = [self]
        for name in names:
            found = [inner for element in found for inner in element.inner if inner.name == name]
        return found


def parse(content: bytes, findings: Findings, warnings: list[str]) -> Any:
    """Read an experiment that NEPI has saved as plain data, and note where everything stands.

    Args:
        content: the text.
        findings: takes what is wrong; its places are filled.
        warnings: takes what is left out because it has no meaning any more.

    Raises:
        Broken: it is no XML, or not NEPI's.
    """
    root = _elements(content)
    if root.name != "experiment":
        raise Broken(DescriptionError("this is no experiment of NEPI"), root.mark)
    return _Conversion(findings, warnings).document(root)


def _elements(content: bytes) -> _Element:
    parser = expat.ParserCreate()
    open_elements = [_Element("", {}, (1, 1))]

    def mark() -> Mark:
        return parser.CurrentLineNumber, parser.CurrentColumnNumber + 1

    def begin(name: str, given: dict[str, str]) -> None:
        if len(open_elements) > _DEEPEST:
            raise Broken(DescriptionError(f"nested deeper than {_DEEPEST} levels"), mark())
        element = _Element(name, given, mark())
        open_elements[-1].inner.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        open_elements.pop()

    def doctype(*_what: object) -> None:
        raise Broken(
            DescriptionError("a document type is not read", hint="NEPI writes none: remove it"),
            mark(),
        )

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        problem = expat.errors.messages.get(error.code, "it cannot be read")
        raise Broken(
            DescriptionError(f"no valid XML: {problem}"), (error.lineno, error.offset + 1)
        ) from None
    except (LookupError, ValueError) as error:
        raise Broken(DescriptionError(f"no valid XML: {error}"), mark()) from None
    return open_elements[0].inner[0]


class _Conversion:
    """Turns NEPI's elements into the data of a description."""

    def __init__(self, findings: Findings, warnings: list[str]) -> None:
        self._findings = findings
        self._places = findings.places
        self._warnings = warnings
        self._labels: dict[str, str] = {}
        self._pairs: set[frozenset[str]] = set()

    def document(self, root: _Element) -> dict[str, Any]:
        self._place((), root)
        data: dict[str, Any] = {"nepiq": VERSION, "resources": {}}
        if root.given.get("exp_id"):
            data["exp_id"] = root.given["exp_id"]
            self._place(("exp_id",), root)
        for node in root.all("topology", "nodes", "node")[:1]:
            self._warn(node, "the topology is not read")
        elements = root.all("rms", "rm")
        for element in elements:
            self._name(element)
        for element in elements:
            label = self._labels.get(element.given.get("guid", ""))
            if label is not None and label not in data["resources"]:
                path = ("resources", label)
                self._place(path, element)
                data["resources"][label] = self._resource(element, path)
        return data

    def _name(self, element: _Element) -> None:
        """Give a resource a label, as one that was registered without gets it."""
        guid, rtype = element.given.get("guid", ""), element.given.get("rtype", "")
        if not is_decimal(guid):
            self._wrong(element, f"{quoted(guid)} is no guid" if guid else "a guid is missing")
        elif guid in self._labels:
            self._wrong(element, f"guid {guid} is there twice")
        else:
            stem = registry.canonical(rtype).rpartition("::")[2].lower()
            stem = re.sub(r"[^a-z0-9._-]", "", stem).lstrip("-.")[:40]
            self._labels[guid] = f"{stem or 'resource'}-{guid}"

    def _resource(self, element: _Element, path: Path) -> dict[str, Any]:
        rtype = registry.canonical(element.given.get("rtype", ""))
        data: dict[str, Any] = {"type": rtype, "guid": int(element.given["guid"])}
        try:
            cls = registry.find(rtype)
        except NepiqError:
            # It is noted when the description is built.
            return data
        attributes = data["attributes"] = {}
        for inner in element.all("attributes", "attribute"):
            name, value = inner.given.get("name", ""), inner.given.get("value", "")
            if (cls.rtype, name) in _GONE:
                self._warn(inner, f"attribute {quoted(name)} has no meaning any more")
                continue
            self._place((*path, "attributes", name), inner)
            attributes[name] = _value(cls, name, value)
        data["connectedTo"] = self._peers(element, path)
        for inner in element.all("conditions", "condition"):
            self._condition(inner, data, path)
        return data

    def _peers(self, element: _Element, path: Path) -> list[str]:
        """The labels of what it is connected to, each pair once: NEPI writes it on both sides."""
        guid = element.given["guid"]
        labels: list[str] = []
        for inner in element.all("connections", "connection"):
            peer = inner.given.get("guid", "")
            pair = frozenset((guid, peer))
            if pair not in self._pairs:
                self._pairs.add(pair)
                self._place((*path, "connectedTo", len(labels)), inner)
                labels.append(self._labels.get(peer, peer))
        return labels

    def _condition(self, element: _Element, data: dict[str, Any], path: Path) -> None:
        action = _one_of(element.given.get("action", ""), _ACTIONS)
        if action not in _ACTIONS:
            self._wrong(element, f"there is no action {quoted(action)}")
            return
        group = element.given.get("group", "").strip()
        if _GROUP.fullmatch(group) is None:
            self._wrong(element, f"{quoted(group)} is no group of guids")
            return
        made: dict[str, Any] = {
            "after": [self._labels.get(guid, guid) for guid in re.findall(r"\d+", group)],
            "state": _one_of(element.given.get("state", ""), _STATES),
        }
        time = element.given.get("time", "").strip()
        if time not in {"", "None"}:
            made["delay"] = time
        conditions = data.setdefault(action, [])
        self._place((*path, action, len(conditions)), element)
        conditions.append(made)

    def _place(self, path: Path, element: _Element) -> None:
        self._places.keys[path] = self._places.values[path] = element.mark

    def _wrong(self, element: _Element, message: str) -> None:
        self._findings.add_at(DescriptionError(message), element.mark)

    def _warn(self, element: _Element, message: str) -> None:
        line, column = element.mark
        self._warnings.append(f"{self._places.name}:{line}:{column}: {message}")


def _one_of(text: str, names: tuple[str, ...]) -> str:
    """A name that NEPI wrote by its number; other text as it is."""
    text = text.strip()
    if is_decimal(text) and int(text) < len(names):
        return names[int(text)]
    return text.lower() if names is _ACTIONS else text


def _value(cls: type[ResourceManager], name: str, text: str) -> Any:
    """A value of the kind that the attribute has now; what does not fit is refused later."""
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
    # NEPI turned whole numbers that have a range into others.
    return int(number) if kind is int and number.is_integer() else number
