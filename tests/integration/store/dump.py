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
    for key, raw in _values(redis, prefix.replace("{", r"\{") + "*").items():
        name = key.decode()[len(prefix) :]
        value = _text(raw)
        if name == "meta":
            found[name] = record(value)
        elif name in KINDS:
            found |= {f"{name}:{member}": record(text) for member, text in value.items()}
        elif name.startswith("out:"):
            found[name] = dict(zip(value, raw.values(), strict=True))
        else:
            found[name] = value
    return found


def _values(redis: Redis, pattern: str) -> dict[bytes, Any]:
    """The values of the keys that match, in two round trips after the scan."""
    keys = list(redis.scan_iter(match=pattern, count=1000))
    with redis.pipeline(transaction=False) as asked:
        for key in keys:
            asked.type(key)
        kinds = asked.execute()
        for key, kind in zip(keys, kinds, strict=True):
            _READERS[kind](asked, key)
        return dict(zip(keys, asked.execute(), strict=True))


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


def _text(value: Any) -> Any:
    """The same with text in place of bytes; of a stream, the entries without their ids."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_text(name): _text(content) for name, content in value.items()}
    if isinstance(value, set):
        return {_text(member) for member in value}
    return _texts(value) if isinstance(value, list) else value


def _texts(values: list[Any]) -> Any:
    match values:
        case [(bytes(), float()), *_]:
            return {_text(member): score for member, score in values}
        case [(bytes(), dict()), *_]:
            return [_text(fields) for _, fields in values]
    return [_text(item) for item in values]


_READERS: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda redis, key: redis.get(key),
    b"hash": lambda redis, key: redis.hgetall(key),
    b"list": lambda redis, key: redis.lrange(key, 0, -1),
    b"set": lambda redis, key: redis.smembers(key),
    b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
    b"stream": lambda redis, key: redis.xrange(key),
}
