"""Reading a description from the text of a file."""

from __future__ import annotations

from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from ..description import Description
from . import json_format, nepi_xml, yaml_format
from .builder import Building
from .positions import MOST, Findings, Places
from .schema import check

#: Formats by suffix of a file's name.
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".xml": "xml"}


def format_of(suffix: str) -> str:
    """The format that the suffix of a file's name stands for.

    Raises:
        InvalidValue: it stands for none.
    """
    found = FORMATS.get(suffix.lower())
    if found is None:
        raise InvalidValue(
            f"no format of descriptions has the suffix {quoted(suffix)}",
            hint="use .yaml, .json or, to read only, NEPI's .xml; or say format=",
        )
    return found


class Draft:
    """The text of a description, read and not yet understood.

    Args:
        content: the text, UTF-8.
        name: the file it is from, for errors.
        format: ``yaml``, ``json`` or ``xml``.

    Attributes:
        warnings: what was read and has no meaning any more.

    Raises:
        InvalidValue: there is no such format.
    """

    def __init__(self, content: bytes, name: str, format: str) -> None:  # noqa: A002 - as in load
        self.warnings: list[str] = []
        self._findings = Findings(Places(name))
        self._data: Any = None
        self._readable = False
        if format not in FORMATS.values():
            raise InvalidValue(f"there is no format {quoted(format)}", hint="use yaml, json or xml")
        try:
            self._data = self._parse(content, format)
            self._readable = True
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            wrong = DescriptionError("this is not UTF-8", hint="save the file as UTF-8")
            self._findings.add_at(wrong, (line, error.start - content.rfind(b"\n", 0, error.start)))
        except yaml_format.Broken as broken:
            self._findings.add_at(broken.error, broken.mark)

    def _parse(self, content: bytes, form: str) -> Any:
        if form == "xml":
            data = nepi_xml.parse(content, self._findings, self.warnings)
            if len(self.warnings) > MOST:
                self.warnings[MOST:] = [f"and {len(self.warnings) - MOST} more"]
            return data
        text = content.decode("utf-8-sig")
        return (json_format if form == "json" else yaml_format).parse(text, self._findings)

    @property
    def exp_id(self) -> str | None:
        """The name of the experiment as it is written; None if it is not, or is no name."""
        given = self._data.get("exp_id") if isinstance(self._data, dict) else None
        try:
            return Description(given).exp_id if given is not None else None
        except InvalidValue:
            return None

    def fill(self, description: Description, *, complete: bool = False) -> None:
        """Fill an empty description.

        Args:
            description: it is useless if anything is wrong.
            complete: refuse also what cannot be deployed: what is required and missing,
                conditions that wait for each other.

        Raises:
            DocumentError: everything that is wrong.
        """
        if self._readable:
            document, failed = check(self._data, self._findings)
            if document is not None:
                building = Building(description, self._findings, failed)
                building.build(document)
                if complete:
                    building.complete()
        self._findings.tell()
