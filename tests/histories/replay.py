"""Replays on the reference model what Redis carried out, in the same order and at the same times.

Redis tells every call of a script, and what it reads and writes, to a connection in MONITOR mode.
Whatever several workers and a client do at the same time, Redis does one after the other; so the
model, given the same calls, must end with the same records and the same history.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from tests.integration.engine_model.differential import Clock, differences
from tests.integration.store.dump import dump
from tests.reference.model import Model

from nepiq.controller.engine.store import keys
from nepiq.controller.engine.store.calls import Outcome
from nepiq.controller.engine.store.forms import loads
from nepiq.controller.engine.store.scripts import script
from nepiq.controller.engine.store.wire import decode_gate
from nepiq.controller.model.spec import Gate, ResourceSpec

_NAMES = (
    *("create", "reserve", "upload", "deploy", "condition", "request", "release", "snapshot"),
    *("touch", "claim", "renew", "progress", "commit", "again", "exited", "abandon", "sweep"),
    *("go_on", "watch", "unwatch", "watched", "expire"),
)
_LINE = re.compile(r"\+?[\d.]+ \[\d+ (\S+)\] (.*)")
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"')


class Call(NamedTuple):
    """A script that was carried out: its name, its arguments, and the time that it took as now."""

    name: str
    args: list[str]
    now: float


class Monitor:
    """Everything that a Redis is asked, from now on.

    Args:
        path: its unix socket.
    """

    def __init__(self, path: Path) -> None:
        self._channel = socket.socket(socket.AF_UNIX)
        self._channel.connect(str(path))
        self._channel.sendall(b"MONITOR\r\n")
        self._stream = self._channel.makefile("rb")
        assert self._stream.readline().strip() == b"+OK"
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stream:
            text = line.decode("latin-1").rstrip("\r\n")
            self._lines.append(text)
            if text.endswith('"the end of the monitor"'):
                return

    def end(self, redis: Redis) -> None:
        """Wait until everything that was asked so far has been told."""
        redis.echo("the end of the monitor")
        self._reader.join(30.0)
        self._stream.close()
        self._channel.close()

    def calls(self, run_id: str) -> Iterator[Call]:
        """The scripts that one run's records went through."""
        prefix = keys.prefix(run_id)
        names = {script(name).sha: name for name in _NAMES}
        asked: list[str] | None = None
        now, executed = 0.0, False
        for line in [*self._lines, "0 [0 end] "]:
            found = _LINE.match(line)
            if found is None:
                continue
            if found[1] == "lua":
                executed = True
                if asked is not None and found[2].startswith('"SET"'):
                    _, key, value = _words(found[2])
                    now = float(json.loads(value)["last"]) if key == f"{prefix}meta" else now
                continue
            # A script that Redis did not know yet was sent again with its text.
            if asked is not None and executed:
                yield Call(names[asked[1]], asked[4:], now)
            asked, executed = None, False
            if prefix in found[2] and found[2][:5].upper() == '"EVAL':
                words = _words(found[2])
                if words[0].upper() == "EVAL":
                    text = words[1].encode("latin-1")
                    words[1] = hashlib.sha1(text, usedforsecurity=False).hexdigest()
                asked = words if words[3] == prefix else None


def _words(text: str) -> list[str]:
    """The arguments of a command, as Redis quotes them; bytes as latin-1."""
    return [ast.literal_eval(f"b{word}").decode("latin-1") for word in _WORD.findall(text)]


def replayed(calls: Iterable[Call], redis: Redis, run_id: str) -> list[str]:
    """How the records that Redis has in the end differ from those of the model."""
    clock = Clock()
    model = Model(clock)
    model.server = redis.info("server")["run_id"]
    found = dump(redis, keys.prefix(run_id))
    for call in calls:
        clock.now = call.now
        _CARRY_OUT[call.name](model, [_text(arg) for arg in call.args])
    return differences(found, model.dump())


def _text(arg: str) -> str:
    return arg.encode("latin-1").decode("utf-8", "replace")


# -- arguments, as docs/engine.md and the store's methods lay them out ----------------------------


def _guids(ranges: str) -> list[int]:
    guids: list[int] = []
    for span in ranges.split(",") if ranges else ():
        first, _, last = span.partition("-")
        guids += range(int(first), int(last or first) + 1)
    return guids


def _pairs(flat: Sequence[str]) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _upload(model: Model, args: list[str]) -> None:
    nonce, *rest = args
    words = iter(rest)
    specs = []

    def some() -> list[str]:
        return [next(words) for _ in range(int(next(words)))]

    for guid in words:
        record = json.loads(next(words))
        attributes, conditions, after = some(), some(), some()
        specs.append(
            ResourceSpec(
                guid=int(guid),
                rtype=record["rtype"],
                label=record["label"],
                queue=record["queue"],
                critical=bool(record["critical"]),
                batch=bool(record["batch"]),
                idle=record.get("idle", "").split(),
                joint=record.get("joint", "").split(),
                covered=record.get("covered") == 1,
                left_to_host=record.get("covered") == 2,
                host=int(record["host"]) if "host" in record else None,
                inside=int(record["inside"]) if "inside" in record else None,
                peers=loads(record.get("peers")) or {},
                attributes=_pairs(attributes),
                gates=[decode_gate(text) for text in conditions],
                after=[int(other) for other in after],
                is_host=bool(record.get("is_host")),
                local=bool(record.get("local")),
                site=record.get("site", ""),
                limit=record.get("limit"),
            )
        )
    model.upload(nonce, specs)


def _detail(words: Iterator[str]) -> tuple[Any, dict[str, Any], dict[str, bytes]]:
    info, kept, sent = next(words), int(next(words)), int(next(words))
    attrs = [next(words) for _ in range(kept)]
    outputs = [next(words) for _ in range(sent)]
    data = {name: text.encode() for name, text in zip(outputs[::2], outputs[1::2], strict=True)}
    return loads(info), _pairs(attrs), data


def _commit(model: Model, args: list[str]) -> None:
    words = iter(args[3:])
    outcomes = []
    for step in words:
        token, kind, age, end_age = int(next(words)), next(words), next(words), next(words)
        info, attrs, outputs = _detail(words)
        outcomes.append(
            Outcome(step, token, kind, float(age), attrs, info, outputs, float(end_age))
        )
    model.commit(outcomes)


def _exited(model: Model, args: list[str]) -> None:
    node, holder, guid, occ, outcome, age, *rest = args[3:]
    watch = (int(node), holder) if holder else None
    model.exited(int(guid), int(occ), outcome, float(age), *_detail(iter(rest)), watch)


def _condition(model: Model, args: list[str]) -> None:
    guid, action, target, milestone, offset = args[3:]
    model.condition(int(guid), Gate(action, int(target), milestone, float(offset)))


def _renew(model: Model, args: list[str]) -> None:
    pairs = zip(args[2::2], args[3::2], strict=True)
    model.renew(args[0], [(step, int(token)) for step, token in pairs])


_CARRY_OUT: dict[str, Callable[[Model, list[str]], object]] = {
    "create": lambda model, a: model.create(a[0], a[1], float(a[2]) if a[2] else None),
    "reserve": lambda model, a: model.reserve(int(a[1]), a[0], int(a[2])),
    "upload": _upload,
    "deploy": lambda model, a: model.deploy(a[3], a[4] or None, _guids(a[5])),
    "condition": _condition,
    "request": lambda model, a: model.request(a[3], int(a[4]), a[5], loads(a[6]) or ()),
    "release": lambda model, a: model.release(a[3], None if a[4] == "1" else _guids(a[5])),
    "snapshot": lambda model, a: None,
    "touch": lambda model, a: model.touch(),
    "claim": lambda model, a: model.claim(a[7:], *a[3:6]),
    "renew": _renew,
    "progress": lambda model, a: model.progress(a[3], int(a[4]), a[5], float(a[6]), _pairs(a[7:])),
    "commit": _commit,
    "again": lambda model, a: model.again(a[3], int(a[4]), float(a[5]), a[6], a[7], _pairs(a[8:])),
    "exited": _exited,
    "abandon": lambda model, a: model.abandon(
        int(a[3]), json.loads(a[6]), a[4], float(a[5]) if a[5] else None
    ),
    "sweep": lambda model, a: model.sweep(a[5:]),
    "go_on": lambda model, a: model.go_on(),
    "watch": lambda model, a: model.watch(int(a[0]), a[1]),
    "unwatch": lambda model, a: model.unwatch(int(a[0]), a[1]),
    "watched": lambda model, a: model.watched(int(a[0]), a[1], a[2], int(a[3]), int(a[4])),
}
