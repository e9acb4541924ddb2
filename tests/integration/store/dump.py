"""All that Redis holds of a run, in the names and forms of docs/engine.md.

Records come out under their own names (``rm:3``), whatever hash they lie in, and their values
as text; so the reference model can be held against them key by key and field by field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

TIMES = {"last", "swept", "reclaim", "seen"}
"""Fields that say when a script was executed."""

KINDS = ("rm", "step", "group", "order", "journal")
"""The hashes whose values are records."""


def dump(redis: Redis, prefix: str) -> dict[str, Any]:
    """The keys that begin with ``prefix``, without it.

    Records and hashes are dicts of text (``out:`` of bytes), lists are lists, sets sets, sorted
    sets map member to score, and the stream ``ev`` is a list of dicts, without their ids.
    """
    found: dict[str, Any] = {}
    pattern = prefix.replace("{", r"\{") + "*"
    for key in redis.scan_iter(match=pattern, count=1000):
        name = key.decode()[len(prefix) :]
        value = _READERS[redis.type(key)](redis, key)
        if name == "meta":
            found[name] = record(value)
        elif name in KINDS:
            found |= {f"{name}:{member}": record(text) for member, text in value.items()}
        elif name.startswith("out:"):
            found[name] = {field.decode(): data for field, data in redis.hgetall(key).items()}
        else:
            found[name] = value
    return found


def record(text: str) -> dict[str, str]:
    """A record's fields as text."""
    return {name: str(value) for name, value in json.loads(text).items()}


def without_times(dumped: Mapping[str, Any]) -> dict[str, Any]:
    """The same, but for what may differ between two executions at different times."""
    kept = {
        key: _blank(value) if isinstance(value, dict) else value for key, value in dumped.items()
    }
    if "ev" in kept:
        kept["ev"] = [_blank(entry) for entry in kept["ev"]]
    for key in ("alarm", "watch"):
        kept[key] = sorted(kept.get(key, {}))
    return kept


def _blank(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "" if name in TIMES else value for name, value in fields.items()}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _hash(redis: Redis, key: bytes) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in redis.hgetall(key).items()}


def _entry(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}


_READERS: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda redis, key: _text(redis.get(key)),
    b"hash": _hash,
    b"list": lambda redis, key: [_text(item) for item in redis.lrange(key, 0, -1)],
    b"set": lambda redis, key: {_text(item) for item in redis.smembers(key)},
    b"zset": lambda redis, key: {
        _text(member): score for member, score in redis.zrange(key, 0, -1, withscores=True)
    },
    b"stream": lambda redis, key: [_entry(fields) for _, fields in redis.xrange(key)],
}
