"""Origins of the parts of an application: paths of the client, URLs, repositories of git."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ...errors import InvalidValue
from ...errors.text import quoted

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)

PATH, URL, GIT = "path", "url", "git"

#: Size limit of code that is given as text, in bytes: the record of the resource has it.
_LONGEST_TEXT = 200_000


class Origin(NamedTuple):
    """The origin of one part.

    Attributes:
        kind: ``path`` of the client, ``url`` or ``git``.
        text: as it was written.
        name: the name of the part on the host.
        address: the path; the URL without checksum; the repository.
        digest: SHA-256 of a URL's file, empty if it was not given; the commit of a repository.
    """

    kind: str
    text: str
    name: str
    address: str
    digest: str = ""

    @property
    def key(self) -> str:
        """A name for it that is safe in paths."""
        return hashlib.sha256(f"{self.kind} {self.address} {self.digest}".encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Return the origin that a text describes.

        Raises:
            InvalidValue: it is none; the message reads "must ...".
        """
        if not text or text != text.strip() or any(ord(sign) < 32 for sign in text):
            raise InvalidValue(f"must have paths and URLs, unlike {quoted(text)}")
        if text.startswith("git+"):
            return cls._of_git(text)
        if not _SCHEME.match(text):
            name = posixpath.basename(posixpath.normpath(text))
            if name in ("", ".", ".."):
                raise InvalidValue(f"must have paths that end in a name, unlike {quoted(text)}")
            return cls(PATH, text, name, text)
        address, _, checksum = text.partition("#")
        match = _SHA256.fullmatch(checksum)
        if checksum and match is None:
            raise InvalidValue(
                f"must have checksums like #sha256=<64 hexadecimal digits>, unlike {quoted(text)}"
            )
        if _parts(address, text).scheme not in ("http", "https"):
            raise InvalidValue(
                f"must have URLs of http, https and git+..., unlike {quoted(text)}",
                hint="give a file of this machine by its path",
            )
        return cls(URL, text, _name(address, text), address, match[1] if match else "")

    @classmethod
    def _of_git(cls, text: str) -> Origin:
        address, at, commit = text.removeprefix("git+").rpartition("@")
        if not at or not _COMMIT.fullmatch(commit):
            raise InvalidValue(
                f"must have repositories at a commit, as git+https://HOST/PATH@1a2b3c4, unlike "
                f"{quoted(text)}",
                hint="name the commit in hexadecimal, so that each run gets the same",
            )
        if _parts(address, text).scheme not in ("http", "https", "ssh", "git", "file"):
            raise InvalidValue(f"must have a URL of http, https, ssh or file in {quoted(text)}")
        return cls(GIT, text, _name(address, text).removesuffix(".git"), address, commit)


def _parts(address: str, text: str) -> Any:
    try:
        parts = urlsplit(address)
        password = parts.password
    except ValueError:
        raise InvalidValue(f"must have valid URLs, unlike {quoted(text)}") from None
    if password is not None:
        raise InvalidValue(
            "must have URLs without passwords: they would be in the records of the run",
            hint="use a key or token that is on the host (~/.netrc, ~/.ssh)",
        )
    return parts


def _name(address: str, text: str) -> str:
    """Return the last part of a URL's path."""
    name = unquote(posixpath.basename(urlsplit(address).path.rstrip("/")))
    if name in ("", ".", "..", ".git") or "/" in name or any(ord(sign) < 32 for sign in name):
        raise InvalidValue(f"must have URLs that end in a name, unlike {quoted(text)}")
    return name


class Origins(tuple[Origin, ...]):
    """Origins with different names: a path or URL, several separated by ``;``, or a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Origins:
        """Return the origins."""
        texts = value.split(";") if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidValue('must be a path or URL, "one;two" or a list of them')
        origins = [Origin.parse(text) for text in cls._stripped(texts)]
        names = [origin.name for origin in origins]
        for name in names:
            if names.count(name) > 1:
                raise InvalidValue(f"must have different names, but two are {quoted(name)}")
        cls._check(origins)
        return cls(origins)

    @classmethod
    def _check(cls, origins: list[Origin]) -> None:
        for origin in origins:
            if origin.kind == GIT:
                raise InvalidValue(
                    f"must have paths and URLs of files, unlike {quoted(origin.text)}",
                    hint="give repositories as sources",
                )

    @staticmethod
    def _stripped(texts: list[str]) -> Iterator[str]:
        return (text.strip() for text in texts if text.strip())


class Sources(Origins):
    """Origins that may be repositories of git at a commit."""

    __slots__ = ()

    @classmethod
    def _check(cls, origins: list[Origin]) -> None:
        """Accept all kinds."""


class Code(Origins):
    """Origins of code, or its text: whatever has a newline is text.

    Attributes:
        text: the text; empty for origins.
    """

    text: str = ""

    @classmethod
    def parse(cls, value: Any) -> Code:
        """Return the origins, or the text."""
        if not isinstance(value, str) or "\n" not in value:
            return cls(super().parse(value))
        if len(value.encode()) > _LONGEST_TEXT:
            raise InvalidValue(
                f"must have at most {_LONGEST_TEXT} bytes as text",
                hint="write it to a file and give its path",
            )
        code = cls()
        code.text = value
        return code


class Script(str):
    """The path of a script on this machine."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Script:
        """Return the path."""
        if value == "":
            return cls()
        if not isinstance(value, str) or Origin.parse(value).kind != PATH:
            raise InvalidValue("must be the path of a script on this machine")
        return cls(value)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(posixpath.normpath(self))


class ScriptArguments(tuple[str, ...]):
    """Arguments of a script: a list, or a mapping of options to values.

    ``{"count": 3, "v": True}`` becomes ``--count=3 -v``: a name of one letter gets one dash, True
    stands for the option alone, False and None for nothing, a list for several.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> ScriptArguments:
        """Return the words."""
        if value == "":
            return cls()
        if isinstance(value, dict):
            return cls(word for name, item in value.items() for word in _option(name, item))
        if isinstance(value, list):
            return cls(_word(item) for item in value)
        raise InvalidValue('must be a list, as ["-v", 3], or a mapping, as {"count": 3}')


def _option(name: str, value: Any) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9][\w.:-]*", name, re.ASCII):
        raise InvalidValue(
            f"must have names without dashes at their beginning, unlike {quoted(name)}"
        )
    for item in value if isinstance(value, list) else [value]:
        if item is None or item is False:
            continue
        dashes = f"-{name}" if len(name) == 1 else f"--{name}"
        if item is True:
            yield dashes
        elif len(name) == 1:
            yield from (dashes, _word(item))
        else:
            yield f"{dashes}={_word(item)}"


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\0" in str(value):
        raise InvalidValue(f"must have text and numbers, unlike {quoted(value)}")
    return str(value)
