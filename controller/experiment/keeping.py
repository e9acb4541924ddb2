"""The part of an experiment's face that keeps its description in files."""

from __future__ import annotations

import logging
import secrets
import stat
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..description.description import Description
from ..errors import InvalidValue
from ..model import registry
from ..settings import Settings
from .describing import Describing

if TYPE_CHECKING:
    from ..description.files.reader import Draft

log = logging.getLogger("nepiq.experiment")

_K = TypeVar("_K", bound="Keeping")
_naming = threading.Lock()
_SUFFIXES = {"yaml": ".yaml", "json": ".json"}


class Keeping(Describing):
    """What scripts call to write a description into a file and to read it again."""

    def serialize(self, format: str = "yaml") -> str:  # noqa: A002 - NEPI's name
        """The description as text: resources, connections, conditions and globals.

        States, traces and what resources report are no part of it.

        Args:
            format: ``yaml`` or ``json``.

        Raises:
            InvalidValue: there is no such format to write.
        """
        from ..description.files.writer import write

        self._live.learn()
        self._live.recall_conditions()
        with self._description.lock:
            return write(self._description, format)

    def save(
        self,
        path: str | Path | None = None,
        format: str | None = None,  # noqa: A002 - NEPI's name
        *,
        dirpath: str | Path | None = None,
    ) -> str:
        """Write the description into a file, as :meth:`serialize` gives it.

        Args:
            path: the file; or a directory, which is made if it is missing, for a new file
                ``<exp_id>_<time>.yaml`` in it. What has no suffix is a directory. By default
                ``<exp_id>.yaml`` in the current directory.
            format: ``yaml`` or ``json``; by default what the suffix of the file says, else yaml.
            dirpath: NEPI's name for ``path``.

        Returns:
            The path of the file.

        Raises:
            InvalidValue: the format is not known, or the file cannot be written.
        """
        from ..description.files.reader import format_of

        path = path if dirpath is None else dirpath
        exp_id = self._description.exp_id
        wanted = Path(path if path is not None else f"{exp_id}{_suffix(format)}")
        folder = path is not None and (wanted.is_dir() or not wanted.suffix)
        text = self.serialize(format or ("yaml" if folder else format_of(wanted.suffix)))
        if not folder:
            _write(wanted, text)
            return str(wanted)
        try:
            wanted.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_file(wanted, "made", error) from None
        # Or two threads would find the same name.
        with _naming:
            wanted = _new_name(wanted, exp_id, _suffix(format))
            _write(wanted, text)
        return str(wanted)

    @classmethod
    def load(
        cls: type[_K],
        path: str | Path = "",
        format: str | None = None,  # noqa: A002 - NEPI's name
        *,
        complete: bool = False,
        filepath: str | Path = "",
        **options: Any,
    ) -> _K:
        """A new experiment as a file describes it; all its resources are NEW.

        Args:
            path: the file, YAML, JSON or the XML of NEPI.
            format: ``yaml``, ``json`` or ``xml``; by default what the suffix says.
            complete: refuse already what :meth:`deploy` would refuse: what is required and
                missing, conditions that wait for each other.
            filepath: NEPI's name for ``path``.
            options: arguments of the constructor, such as ``settings``.

        Raises:
            DocumentError: everything that is wrong in the file, with lines and columns.
            InvalidValue: it cannot be read, or its format is not known.
        """
        path = path or filepath
        draft = draft_of(path, format)
        make: Any = cls
        made: _K = make(draft.exp_id or _name_of(path), **options)
        draft.fill(made._description, complete=complete)  # noqa: SLF001 - its own
        for warning in draft.warnings:
            log.warning("%s", warning)
        return made


def describe(
    path: str | Path,
    format: str | None = None,  # noqa: A002 - as above
    *,
    complete: bool = False,
) -> tuple[Description, list[str]]:
    """The description in a file, and what in it has no meaning any more.

    Resource types are also looked for where the settings say (``NEPIQ_IMPORTS``).

    Args:
        path: the file.
        format: its format; by default what the suffix says.
        complete: refuse also what could not be deployed.

    Raises:
        DocumentError: everything that is wrong in the file, with lines and columns.
        InvalidValue: it cannot be read, or its format is not known.
    """
    registry.load_imports(Settings.from_environment().imports)
    draft = draft_of(path, format)
    description = Description(draft.exp_id or _name_of(path) or "experiment")
    draft.fill(description, complete=complete)
    return description, draft.warnings


def save_description(description: Description, path: Path | None) -> str:
    """A description as text, which is also written into a file if one is given.

    Args:
        description: the description.
        path: the file, whose suffix says the format; YAML without one.

    Raises:
        InvalidValue: the format is not known or not written, or the file cannot be.
    """
    from ..description.files.reader import format_of
    from ..description.files.writer import write

    text = write(description, "yaml" if path is None else format_of(path.suffix))
    if path is not None:
        _write(path, text)
    return text


def schema_of_descriptions() -> dict[str, Any]:
    """The form of descriptions as JSON Schema, with all resource types that are known."""
    from ..description.files.schema import json_schema

    registry.load_imports(Settings.from_environment().imports)
    return json_schema()


def draft_of(path: str | Path, format: str | None) -> Draft:  # noqa: A002 - as above
    """The text of a file, read.

    Raises:
        InvalidValue: it cannot be read, or its format is not known.
    """
    from ..description.files.reader import Draft, format_of

    file = Path(path)
    form = format or format_of(file.suffix)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _no_file(file, "read", error) from None
    return Draft(content, str(path), form)


def _write(path: Path, text: str) -> None:
    """Write a file, so that nobody ever finds half of it."""
    try:
        if path.exists() and not path.is_file():
            # A pipe or a terminal cannot be put in the place of another.
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text.encode())
    except OSError as error:
        raise _no_file(path, "written", error) from None


def _replace(path: Path, content: bytes) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    new = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")
    try:
        new.write_bytes(content)
        if mode is not None:
            new.chmod(mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _suffix(form: str | None) -> str:
    return _SUFFIXES.get(form or "yaml", ".yaml")


def _new_name(folder: Path, exp_id: str, suffix: str) -> Path:
    """A file of this moment that is not there yet."""
    stem = f"{exp_id}_{datetime.now():%Y%m%d%H%M%S}"  # noqa: DTZ005 - for people: their time
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def _name_of(path: str | Path) -> str | None:
    """The name of a file as a name for the experiment, if it can be one."""
    try:
        return Description(Path(path).stem).exp_id
    except InvalidValue:
        return None


def _no_file(path: Path, what: str, error: OSError) -> InvalidValue:
    return InvalidValue(f"{str(path)!r} cannot be {what}: {(error.strerror or str(error)).lower()}")
