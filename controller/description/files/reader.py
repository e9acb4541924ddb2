"""Reader of description files."""

from __future__ import annotations

from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from ..description import Description
from . import json_format, nepi_xml, yaml_format
from .builder import Builder
from .positions import MOST, Findings, Positions
from .schema import check

#: The key of a campaign beside the resources that its runs have.
CAMPAIGN = "campaign"

#: Formats by suffix of a file's name.
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".xml": "xml"}


def format_of(suffix: str) -> str:
    """Return the format for the suffix of a file's name.

    Raises:
        InvalidValue: the suffix is unknown.
    """
    name = FORMATS.get(suffix.lower())
    if name is None:
        raise InvalidValue(
            f"no format of descriptions has the suffix {quoted(suffix)}",
            hint="use .yaml, .json or, to read only, NEPI's .xml; or pass format=",
        )
    return name


class Draft:
    """A parsed but not yet checked description.

    Args:
        content: the text, UTF-8.
        name: the name of the file, for errors.
        format: ``yaml``, ``json`` or ``xml``.

    Attributes:
        warnings: warnings about parts that are ignored.

    Raises:
        InvalidValue: the format is unknown.
    """

    def __init__(self, content: bytes, name: str, format: str) -> None:  # noqa: A002 - as in load
        self.warnings: list[str] = []
        self._findings = Findings(Positions(name))
        self._data: Any = None
        self._readable = False
        if format not in FORMATS.values():
            raise InvalidValue(f"there is no format {quoted(format)}", hint="use yaml, json or xml")
        try:
            self._data = self._parse(content, format)
            self._readable = True
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problem = DescriptionError("not UTF-8", hint="save the file as UTF-8")
            column = error.start - content.rfind(b"\n", 0, error.start)
            self._findings.add_at(problem, (line, column))
        except yaml_format.Broken as broken:
            self._findings.add_at(broken.error, broken.mark)

    def _parse(self, content: bytes, name: str) -> Any:
        if name == "xml":
            data = nepi_xml.parse(content, self._findings, self.warnings)
            if len(self.warnings) > MOST:
                self.warnings[MOST:] = [f"and {len(self.warnings) - MOST} more"]
            return data
        text = content.decode("utf-8-sig")
        return (json_format if name == "json" else yaml_format).parse(text, self._findings)

    def data(self) -> Any:
        """Return the parsed data.

        Raises:
            DocumentError: all errors of the text.
        """
        self._findings.check()
        return self._data

    @property
    def exp_id(self) -> str | None:
        """The name of the experiment in the file; None if it is missing or invalid."""
        name = self._data.get("exp_id") if isinstance(self._data, dict) else None
        try:
            return Description(name).exp_id if name is not None else None
        except InvalidValue:
            return None

    def fill(self, description: Description, *, complete: bool = False) -> None:
        """Fill an empty description from the file.

        Args:
            description: the description, to be discarded if an error is raised.
            complete: also check that it can be deployed: no required attribute or connection is
                missing, and no conditions depend on each other in a cycle.

        Raises:
            DocumentError: all errors of the file.
        """
        if self._readable:
            if self.take(CAMPAIGN) is not None:
                error = DescriptionError(
                    "a campaign is many runs, not one", hint="use the verbs of nepiq campaign"
                )
                self._findings.add(error, (CAMPAIGN,), key=True)
                self._findings.check()
            build(self._data, description, self._findings, complete=complete)
        self._findings.check()

    def take(self, key: str) -> Any:
        """Remove a part of the file that is not of the description, and return its data."""
        return self._data.pop(key, None) if isinstance(self._data, dict) else None

    @property
    def findings(self) -> Findings:
        """The errors that have been found."""
        return self._findings


def build(
    data: Any, description: Description, findings: Findings, *, complete: bool = False
) -> None:
    """Fill an empty description from parsed data.

    Args:
        data: the data; parts with errors are removed from it.
        description: the description, to be discarded if there are errors.
        findings: collects the errors.
        complete: as of :meth:`Draft.fill`.
    """
    document, failed = check(data, findings)
    if document is not None:
        builder = Builder(description, findings, failed)
        builder.build(document)
        if complete:
            builder.check_complete()
