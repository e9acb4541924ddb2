"""Where secrets could have got to: all that Redis holds or ever held, and what was written."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from redis import Redis


def forms(secret: str) -> set[bytes]:
    """A secret as it is, and as URLs, JSON and base64 write it."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), secret.encode("unicode_escape")}
    # What surrounds it shifts base64 by none, one or two bytes.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        found.add(coded[4 if shift else 0 : -4])
    return {form for form in found if len(form) > 7}


def records(operator: Redis) -> Iterator[tuple[str, bytes]]:
    """Every key of a database, and every value in it."""
    readers = {
        b"string": lambda key: [operator.get(key)],
        b"list": lambda key: operator.lrange(key, 0, -1),
        b"set": operator.smembers,
        b"zset": lambda key: operator.zrange(key, 0, -1),
        b"hash": lambda key: [part for pair in operator.hgetall(key).items() for part in pair],
        b"stream": lambda key: [
            part for _, fields in operator.xrange(key) for pair in fields.items() for part in pair
        ],
    }
    for key in operator.scan_iter(count=1000):
        yield "name of a key", key
        kind = operator.type(key)
        for value in readers[kind](key):
            yield f"{kind.decode()} {key.decode(errors='replace')}", bytes(value or b"")


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file in folders."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def command_lines() -> Iterator[tuple[str, bytes]]:
    """What ps shows of every process of this machine, its containers included."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield f"ps of {path.parent.name}", path.read_bytes()
        except OSError:  # it has ended
            continue


def leaks(secrets: Mapping[str, str], places: Iterator[tuple[str, bytes]]) -> set[str]:
    """Which secrets are where."""
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    return {
        f"{name} in {place}"
        for place, content in places
        for name, form in wanted
        if form in content
    }
