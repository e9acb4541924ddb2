"""Templates: descriptions with places that the points of a campaign fill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import NepiqError
from ..model import registry
from ..model.parameters import OF_RUNS, PLACE
from .filling import Filling, Path

if TYPE_CHECKING:
    from ..description.description import Description

#: The parts of a description that may have places.
_PARTS = ("globals", "resources", "topology")
#: Similarity of a name to that of a parameter, from 0 to 1, from which it is taken for a slip.
_SIMILAR = 0.8


class Template:
    """A description with places, such as ``count: ${n}``, that points fill.

    Places are filled as a :class:`.Filling` does; a value of another type becomes text for an
    attribute that is text.

    Args:
        document: the description as plain data, with the keys of a file.
        parameters: the names of the parameters.

    Attributes:
        parameters: the names of the parameters, and those of a run: ``seed``, ``repetition``.
    """

    def __init__(self, document: Mapping[str, Any], parameters: Iterable[str]) -> None:
        self._document = dict(document)
        self.parameters = (*dict.fromkeys(parameters), *OF_RUNS)
        self._fillings = {
            part: Filling(
                self._document[part],
                self.parameters,
                (part,),
                partial(_is_text_attribute, self._document),
            )
            for part in _PARTS
            if part in self._document
        }
        self._fillings = {part: item for part, item in self._fillings.items() if item.places}

    @classmethod
    def of(cls, description: Description, parameters: Iterable[str]) -> Template:
        """Return the template of a description with :class:`.Parameter` values."""
        from ..description.files.writer import document_of

        return cls(document_of(description), parameters)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form, the description with its places."""
        return self._document

    @property
    def has_parts(self) -> bool:
        """Whether it describes anything."""
        return any(self._document.get(part) for part in _PARTS)

    @property
    def places(self) -> dict[Path, tuple[str, ...]]:
        """The names in each value with places, by path."""
        items = self._fillings.values()
        return {path: names for item in items for path, names in item.places.items()}

    @property
    def names(self) -> frozenset[str]:
        """The parameters that have a place."""
        return frozenset[str]().union(*(item.names for item in self._fillings.values()))

    def expand(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the description of a point as plain data, with the keys of a file.

        Parts without places are those of the template: do not change them.

        Args:
            point: the values by parameter, ``seed`` and ``repetition`` among them if used.

        Raises:
            InvalidValue: a text needs a parameter that the point does not have.
        """
        document = dict(self._document)
        for part, filling in self._fillings.items():
            document[part] = filling.at(point)
        return document

    def describe(self, point: Mapping[str, Any]) -> Description:
        """Return the description of a point, checked.

        Raises:
            DocumentError: a value is refused at this point.
        """
        from ..description.description import Description
        from ..description.files.positions import Findings, Positions
        from ..description.files.reader import build

        document = self.expand(point)
        description = Description(document.get("exp_id") or "experiment")
        findings = Findings(Positions(description.exp_id, is_file=False))
        build(document, description, findings)
        findings.check()
        return description

    def unknown(self) -> Iterator[tuple[Path, str, str]]:
        """Yield places of unknown parameters: the path, the name, and a parameter that is meant.

        These are values that are only a place, and names in text that are similar to those of
        parameters; a variable of the shell may have any other name.
        """
        for part in _PARTS:
            for path, text in _texts(self._document.get(part), (part,)):
                for match in PLACE.finditer(text):
                    name = match[1]
                    if name in self.parameters or text[: match.start()].endswith("$"):
                        continue
                    [similar] = get_close_matches(name, self.parameters, 1, _SIMILAR) or [""]
                    if similar or (match[0] == text and not name.isupper()):
                        yield path, name, similar


def _is_text_attribute(document: Mapping[str, Any], path: Path) -> bool:
    """Return whether the value at a path is an attribute that is text."""
    name = path[-1]
    try:
        if path[0] == "globals":
            rtype = path[1]
        elif path[0] == "resources" and (len(path) == 3 or path[2] == "attributes"):
            rtype = document["resources"][path[1]]["type"]
        else:
            return False
        attribute = registry.find(str(rtype)).attributes.get(str(name))
    except (NepiqError, KeyError, TypeError):
        return False  # the check of the description reports it
    return attribute is not None and attribute.kind is str


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from _texts(item, (*path, key))
