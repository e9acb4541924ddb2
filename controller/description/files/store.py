"""Functions that load, save and check description files."""

from __future__ import annotations

import logging
import secrets
import stat
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidValue
from ...model import registry
from ...settings import Settings
from ..description import Description

if TYPE_CHECKING:
    from .reader import Draft

log = logging.getLogger("nepiq.experiment")

_name_lock = threading.Lock()
_SUFFIXES = {"yaml": ".yaml", "json": ".json"}


def serialize(description: Description, format: str) -> str:  # noqa: A002 - NEPI's name
    """Return a description as text.

    Args:
        description: the description.
        format: ``yaml`` or ``json``.

    Raises:
        InvalidValue: the format is unknown or cannot be written.
    """
    from .writer import write

    with description.lock:
        return write(description, format)


def save(
    text_in: Callable[[str], str],
    exp_id: str,
    path: str | Path | None,
    format: str | None,  # noqa: A002 - NEPI's name
) -> str:
    """Write a description to a file, as :meth:`.ExperimentController.save` does.

    Args:
        text_in: function that returns the description in a format.
        exp_id: the name of the file if ``path`` is not a file.
        path: the file, or a directory for a new file.
        format: ``yaml`` or ``json``; by default that of the suffix, or else yaml.

    Returns:
        The path of the file.
    """
    from .reader import format_of

    file = Path(path if path is not None else f"{exp_id}{_suffix(format)}")
    folder = path is not None and (file.is_dir() or not file.suffix)
    text = text_in(format or ("yaml" if folder else format_of(file.suffix)))
    if not folder:
        write_file(file, text)
        return str(file)
    try:
        file.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _file_error(file, "created", error) from None
    # Otherwise, two threads might choose the same name.
    with _name_lock:
        file = _new_name(file, exp_id, _suffix(format))
        write_file(file, text)
    return str(file)


def save_in(directory: Path, name: str, description: Description) -> None:
    """Write a description to a file of a directory, which is created if it is missing.

    Raises:
        InvalidValue: the file cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _file_error(directory, "created", error) from None
    write_file(directory / name, serialize(description, "yaml"))


def fill(description: Description, draft: Draft, *, complete: bool) -> None:
    """Fill a description from a file, and log its warnings.

    Raises:
        DocumentError: all errors of the file, with lines and columns.
    """
    draft.fill(description, complete=complete)
    for warning in draft.warnings:
        log.warning("%s", warning)


def describe(
    path: str | Path,
    format: str | None = None,  # noqa: A002 - as above
    *,
    complete: bool = False,
) -> tuple[Description, list[str]]:
    """Return the description in a file, and warnings about parts that are ignored.

    The modules in ``NEPIQ_IMPORTS`` are imported first, for their resource types.

    Args:
        path: the file.
        format: its format; by default that of the suffix.
        complete: also check that it can be deployed.

    Raises:
        DocumentError: all errors of the file, with lines and columns.
        InvalidValue: the file cannot be read, or its format is unknown.
    """
    registry.load_imports(Settings.from_environment().imports)
    draft = draft_of(path, format)
    description = Description(draft.exp_id or name_of(path) or "experiment")
    draft.fill(description, complete=complete)
    return description, draft.warnings


def save_description(description: Description, path: Path | None) -> str:
    """Return a description as text, and write it to a file if a path is passed.

    Args:
        description: the description.
        path: the file, whose suffix is that of the format; None for YAML and no file.

    Raises:
        InvalidValue: the format is unknown or cannot be written, or the file cannot.
    """
    from .reader import format_of
    from .writer import write

    text = write(description, "yaml" if path is None else format_of(path.suffix))
    if path is not None:
        write_file(path, text)
    return text


def schema_of_descriptions() -> dict[str, Any]:
    """Return the JSON Schema of descriptions, with all registered resource types."""
    from .schema import json_schema

    registry.load_imports(Settings.from_environment().imports)
    return json_schema()


def draft_of(path: str | Path, format: str | None) -> Draft:  # noqa: A002 - as above
    """Return the parsed text of a file.

    Raises:
        InvalidValue: the file cannot be read, or its format is unknown.
    """
    from .reader import Draft, format_of

    file = Path(path)
    name = format or format_of(file.suffix)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _file_error(file, "read", error) from None
    return Draft(content, str(path), name)


def data_of(path: str | Path) -> Any:
    """Return the plain data in a YAML or JSON file.

    Raises:
        InvalidValue: the file cannot be read, or has another suffix.
        DocumentError: all errors of the file.
    """
    return draft_of(path, None).data()


def write_file(path: Path, text: str) -> None:
    """Write a file atomically.

    Raises:
        InvalidValue: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe or a terminal cannot be replaced by a file.
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text.encode())
    except OSError as error:
        raise _file_error(path, "written", error) from None


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


def _suffix(format_name: str | None) -> str:
    return _SUFFIXES.get(format_name or "yaml", ".yaml")


def _new_name(folder: Path, exp_id: str, suffix: str) -> Path:
    """Return a path with the present time in its name that does not exist yet."""
    stem = f"{exp_id}_{datetime.now():%Y%m%d%H%M%S}"  # noqa: DTZ005 - local time, for the user
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def name_of(path: str | Path) -> str | None:
    """Return the name of a file without suffix if it is a valid name of an experiment."""
    try:
        return Description(Path(path).stem).exp_id
    except InvalidValue:
        return None


def _file_error(path: Path, verb: str, error: OSError) -> InvalidValue:
    return InvalidValue(f"{str(path)!r} cannot be {verb}: {(error.strerror or str(error)).lower()}")
