"""Contents: files and directories of the client that travel with a deployment.

The client deposits each content once in Redis, by its SHA-256, and a host keeps it in its cache. A
resource type takes part in three steps: its :meth:`~.resource.ResourceManager.local_paths` names
the paths, an attribute of the kind :class:`Contents` receives what the client found there, and a
hook has the host keep a content by :meth:`~.host.Host.keep`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import InvalidValue

#: Bytes up to which a file travels in the record of its resource instead of Redis' contents; and
#: those of all such files of a resource, more of which travel as contents.
INLINE, MOST_INLINE = 4096, 16_384

FILE, TREE = "file", "tree"

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Content(NamedTuple):
    """A file or directory, by its content.

    Attributes:
        sha256: SHA-256 in hexadecimal; for a directory that of its archive (:mod:`tarfile`, pax),
            in which names are sorted and times are left out.
        size: bytes of the file or archive.
        kind: ``file`` or ``tree``.
        mode: permissions of a file.
        data: the bytes in base64 if they travel with the record; else empty.
    """

    sha256: str
    size: int
    kind: str = FILE
    mode: int = 0o644
    data: str = ""

    @property
    def inline(self) -> bool:
        """True if the bytes travel with the record."""
        return bool(self.data) or (self.kind == FILE and not self.size)

    @classmethod
    def of(cls, data: bytes, mode: int = 0o644) -> Content:
        """Return the content of a file whose bytes travel with the record."""
        digest = hashlib.sha256(data).hexdigest()
        return cls(digest, len(data), FILE, mode, base64.b64encode(data).decode())


class Contents(dict[str, Content]):
    """Contents by the path of the client, as it was written. The client reports them."""

    @classmethod
    def parse(cls, value: Any) -> Contents:
        """Return the contents in a mapping of paths to mappings."""
        if value == "":
            return cls()
        if not isinstance(value, Mapping):
            raise InvalidValue("must be a mapping of contents by path")
        return cls((path, _content(item)) for path, item in value.items())

    def written(self) -> dict[str, dict[str, Any]]:
        """Return the stored form."""
        return {
            path: {name: item for name, item in content._asdict().items() if item != ""}
            for path, content in self.items()
        }


def _content(value: Any) -> Content:
    try:
        content = Content(**value)
        if (
            _DIGEST.fullmatch(content.sha256)
            and content.kind in (FILE, TREE)
            and content.size >= 0 <= content.mode <= 0o777
            and base64.b64decode(content.data, validate=True) is not None
        ):
            return content
    except (TypeError, ValueError):
        pass
    raise InvalidValue("must have contents with sha256, size, kind and mode")
