"""Regular files of this machine, opened without waiting for the other end of a FIFO or device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from ...errors import InvalidValue

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
}


def kind_of(mode: int) -> str:
    """Return the kind of a file that is not regular, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def require_regular(path: Path, mode: int) -> None:
    """Refuse a file that is not regular.

    Raises:
        InvalidValue: it is something else; the message names its kind.
    """
    if not stat.S_ISREG(mode):
        raise InvalidValue(
            f"{path} is {kind_of(mode)}, no regular file", hint="copy it to a file first"
        )


def open_to_read(path: Path, flags: int = 0) -> BinaryIO:
    """Open a regular file; a symbolic link to one will do.

    Args:
        path: the file.
        flags: further flags of open(2).

    Raises:
        InvalidValue: it is not a regular file.
        OSError: it cannot be opened.
    """
    # Opening a device may have effects, so the kind is checked before and after.
    require_regular(path, path.lstat().st_mode if flags & os.O_NOFOLLOW else path.stat().st_mode)
    return _opened(path, os.O_RDONLY | flags, "rb")


def open_to_write(path: Path, *, keep: bool = False) -> BinaryIO:
    """Open a regular file to write it; create it if it does not exist.

    Args:
        path: the file.
        keep: keep its content, to read it and to append to it.

    Raises:
        InvalidValue: something else has this name.
        OSError: it cannot be written.
    """
    if path.exists():
        require_regular(path, path.stat().st_mode)
    flags = os.O_RDWR | os.O_APPEND if keep else os.O_WRONLY
    file = _opened(path, flags | os.O_CREAT, "ab+" if keep else "wb")
    if not keep:
        file.truncate()
    return file


def _opened(path: Path, flags: int, mode: str) -> BinaryIO:
    """Open a file without waiting, and check that it is regular."""
    number = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    try:
        require_regular(path, os.fstat(number).st_mode)
    except BaseException:
        os.close(number)
        raise
    return cast(BinaryIO, os.fdopen(number, mode))
