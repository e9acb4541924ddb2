"""Source files of the user, which travel with the description of an experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model import Attribute, Flag

#: Size limit of all files of one resource together, in bytes: its record has them.
LARGEST = 200_000

COMPILED = (".cc", ".cpp", ".cxx")
_HEADERS = (".h", ".hh", ".hpp")
_PYTHON = ".py"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)


class SourceFiles(dict[str, str]):
    """Source files of one program in C++ or Python: their text by name, the main file first."""

    @classmethod
    def parse(cls, value: Any) -> SourceFiles:
        """Return the files in a mapping of names to text."""
        if not isinstance(value, Mapping) or not value:
            raise InvalidValue('must be files, as "first.cc", a list of paths or {"name": "text"}')
        for name, text in value.items():
            if not _NAME.fullmatch(name) or not isinstance(text, str) or "\0" in text:
                raise InvalidValue(f"must have text by plain names of files, unlike {quoted(name)}")
        size = sum(len(text.encode()) for text in value.values())
        if size > LARGEST:
            raise InvalidValue(
                f"must have at most {LARGEST} bytes in all, not {size}",
                hint="upload the files to the host by ec.upload, and build and run them there",
            )
        files = cls(value)
        names = (*files.compiled, *files.headers) if files.compiled else files.scripts
        strange = [name for name in files if name not in names]
        if strange:
            raise InvalidValue(
                f"must be C++ (.cc, .h) or Python (.py), and not both: {', '.join(strange)}"
            )
        return files

    @property
    def compiled(self) -> list[str]:
        """The names of the C++ files, without headers; empty for a program in Python."""
        return [name for name in self if name.endswith(COMPILED)]

    @property
    def headers(self) -> list[str]:
        """The names of the header files."""
        return [name for name in self if name.endswith(_HEADERS)]

    @property
    def scripts(self) -> list[str]:
        """The names of the Python files; the first one is the program."""
        return [name for name in self if name.endswith(_PYTHON)]


class SourceAttribute(Attribute[SourceFiles | None]):
    """An attribute whose value is a set of source files.

    Users give a path, or a list of paths. The files are read when the value is given, in the
    client, because workers do not share its disk; the stored value is ``{name: text}``.
    """

    __slots__ = ()

    def __init__(self, *, help: str, flags: Flag = Flag.DESIGN) -> None:  # noqa: A002
        """Declare it without a default."""
        super().__init__(SourceFiles, help=help, flags=flags)

    def _read(self, value: Any) -> tuple[Any, Any]:
        return super()._read(value if isinstance(value, Mapping) else _contents(value))


def _contents(value: Any) -> dict[str, str]:
    """Return the text of files by their name, which is the last part of the path."""
    paths = [value] if isinstance(value, (str, PathLike)) else value
    if not isinstance(paths, (list, tuple)) or not all(
        isinstance(path, (str, PathLike)) and fspath(path) for path in paths
    ):
        raise InvalidValue('must be files, as "first.cc", a list of paths or {"name": "text"}')
    files: dict[str, str] = {}
    for path in map(Path, paths):
        if path.name in files:
            raise InvalidValue(f"must have files of different names, but two are {path.name}")
        files[path.name] = _text(path.expanduser())
    return files


def _text(path: Path) -> str:
    place = path.absolute()
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidValue(f"must have at most {LARGEST} bytes in all, but {place} has more")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InvalidValue(f"must be text in UTF-8, but {place} is not") from None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidValue(
            f"must be on this machine, but {place} cannot be read: {reason}"
        ) from None
