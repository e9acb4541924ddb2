"""Plain reads of a run's records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...model.spec import Gate
from .forms import loads
from .keys import RunKeys
from .records import ResourceRecord, RunRecord, StepRecord
from .wire import decode_gate

if TYPE_CHECKING:
    from redis import Redis

MILESTONES = (
    "DISCOVERED",
    "RESERVED",
    "PROVISIONED",
    "READY",
    "STARTED",
    "STOPPED",
    "FINISHED",
    "FAILED",
    "RELEASED",
)
READ_CHUNK = 500
#: The keys of a run that are not those of one resource.
RUN_KEYS = (
    "meta",
    "rms",
    "rm",
    "step",
    "group",
    "order",
    "request",
    "journal",
    "todo",
    "alarm",
    "watch",
    "ev",
)
#: About so many resources are looked at to tell the memory of a run.
MEMORY_SAMPLE = 50


def run_records(redis: Any, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """The records of several runs, None for those that there are not, in few round trips."""
    found: list[RunRecord | None] = []
    for at in range(0, len(run_ids), READ_CHUNK):
        with redis.pipeline(transaction=False) as pipe:
            for run_id in run_ids[at : at + READ_CHUNK]:
                pipe.get(RunKeys(run_id).of("meta"))
            found += map(_run, pipe.execute())
    return found


def _run(text: bytes | None) -> RunRecord | None:
    raw = loads(text)
    if raw is None:
        return None
    return RunRecord(
        phase=raw["phase"],
        exp_id=raw["exp_id"],
        created=float(raw["created"]),
        last=float(raw["last"]),
        seen=float(raw["seen"]),
        release_after=_number(raw.get("release_after")),
        live=raw["live"],
        cause=loads(raw.get("cause")),
        bindings={k[5:]: v for k, v in raw.items() if k.startswith("bind.")},
        campaign=raw.get("campaign", ""),
    )


class RunReads:
    """What can be read of one run without changing anything.

    Attributes:
        redis: a client that does not decode responses.
        run_id: the run.
        keys: the names of its keys.
    """

    def __init__(self, redis: Redis, run_id: str) -> None:
        self.redis: Any = redis  # typed loosely: redis-py's own hints mix in its async results
        self.run_id = run_id
        self.keys = RunKeys(run_id)

    def meta(self) -> RunRecord | None:
        """The run itself, or None if there is none."""
        return _run(self.redis.get(self.keys.of("meta")))

    def guids(self) -> list[int]:
        """All guids, in order of upload."""
        return [int(guid) for guid in self.redis.lrange(self.keys.of("rms"), 0, -1)]

    def count(self) -> int:
        """How many resources were uploaded."""
        return int(self.redis.llen(self.keys.of("rms")))

    def deployed(self) -> set[int]:
        """Guids that some client has deployed, whether or not their steps are armed yet."""
        found: set[int] = set()
        for order, text in self.redis.hgetall(self.keys.of("order")).items():
            if json.loads(text)["kind"] == "deployment":
                members = self.redis.lrange(self.keys.of("list", order.decode()), 0, -1)
                found.update(int(guid) for guid in members)
        return found

    def releases(self) -> dict[str, list[int] | None]:
        """The releases that were ordered, and of whom; None for all."""
        orders = self.redis.hgetall(self.keys.of("order"))
        found: dict[str, list[int] | None] = {}
        for order, text in orders.items():
            told = json.loads(text)
            if told["kind"] == "release":
                name = order.decode()
                members = self.redis.lrange(self.keys.of("list", name), 0, -1)
                found[name] = None if told.get("all") == 1 else [int(guid) for guid in members]
        return found

    def record(self, guid: int) -> ResourceRecord | None:
        """A resource manager, or None if it is unknown."""
        return next(iter(self.records([guid])), None)

    def records(self, guids: Iterable[int] | None = None) -> list[ResourceRecord]:
        """Resource managers, unknown ones left out; all of them for None."""
        asked = self.guids() if guids is None else list(guids)
        found: list[ResourceRecord] = []
        for at in range(0, len(asked), READ_CHUNK):
            chunk = asked[at : at + READ_CHUNK]
            with self.redis.pipeline(transaction=False) as pipe:
                pipe.hmget(self.keys.of("rm"), chunk)
                for guid in chunk:
                    pipe.hgetall(self.keys.of("attr", guid))
                texts, *attributes = pipe.execute()
            for guid, text, kept in zip(chunk, texts, attributes, strict=True):
                raw = loads(text) or {}
                # One that something waits for may be uploaded later.
                if "state" in raw:
                    found.append(_resource(guid, raw, kept))
        return found

    def step(self, step: str) -> StepRecord | None:
        """A step, or None if it does not exist."""
        return next(iter(self._steps([step])), None)

    def steps(self, guid: int) -> list[StepRecord]:
        """All steps of a resource manager, those that were requested last."""
        ids = [f"{guid}.{action}" for action in ("deploy", "start", "stop", "release")]
        requested = {raw.decode() for raw in self.redis.hvals(self.keys.of("request"))}
        own = [step for step in requested if step.startswith(f"{guid}.") and step not in ids]
        return self._steps(ids + sorted(own, key=lambda step: int(step.rpartition(".")[2])))

    def alarmed(self) -> list[str]:
        """Steps that are due or claimed, 500 at most: those that are looked at next."""
        found = self.redis.zrange(self.keys.of("alarm"), 0, READ_CHUNK - 1)
        return [step.decode() for step in found]

    def some_steps(self, ids: Sequence[str]) -> list[StepRecord]:
        """The steps of these ids, unknown ones left out."""
        return self._steps(list(ids)) if ids else []

    def _steps(self, ids: list[str]) -> list[StepRecord]:
        texts = self.redis.hmget(self.keys.of("step"), ids)
        return [
            _step(step, json.loads(text)) for step, text in zip(ids, texts, strict=True) if text
        ]

    def conditions(self, guid: int) -> list[Gate]:
        """What the steps of a resource manager wait for, met or not."""
        raw = self.redis.smembers(self.keys.of("cond", guid))
        return sorted(decode_gate(item.decode()) for item in raw)

    def users(self, guid: int) -> list[int]:
        """Guids that live on a resource manager."""
        return sorted(int(user) for user in self.redis.smembers(self.keys.of("users", guid)))

    def on_host(self, node: int) -> list[ResourceRecord]:
        """Those that live on a resource manager, directly or not, without their attributes."""
        found: dict[int, ResourceRecord] = {}
        level = [node]
        while level:
            with self.redis.pipeline(transaction=False) as pipe:
                for guid in level:
                    pipe.smembers(self.keys.of("users", guid))
                users = {int(user) for members in pipe.execute() for user in members}
            level = sorted(users - found.keys())
            texts = self.redis.hmget(self.keys.of("rm"), level) if level else []
            for guid, text in zip(level, texts, strict=True):
                raw = loads(text) or {}
                if "state" in raw:
                    found[guid] = _resource(guid, raw, {})
            level = [guid for guid in level if guid in found]
        return [found[guid] for guid in sorted(found)]

    def output(self, guid: int, name: str, occ: int) -> bytes | None:
        """A small output that came with the exit of an occasion."""
        found: bytes | None = self.redis.hget(self.keys.of("out", guid), f"{occ}/{name}")
        return found

    def outputs(self, guid: int) -> dict[tuple[int, str], bytes]:
        """All small outputs, by occasion and trace name."""
        found: dict[tuple[int, str], bytes] = {}
        for key, data in self.redis.hgetall(self.keys.of("out", guid)).items():
            occ, _, name = key.decode().partition("/")
            found[int(occ), name] = data
        return found

    def group_opened(self, group: int) -> float | None:
        """When the barrier of a group opened, or None while it is closed."""
        raw = loads(self.redis.hget(self.keys.of("group"), group)) or {}
        return _number(raw.get("open"))

    def closed_groups(self) -> dict[int, list[int]]:
        """Who was deployed into each group whose barrier is still closed."""
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self.keys.of("group"))
            pipe.hgetall(self.keys.of("order"))
            groups, orders = pipe.execute()
        closed: dict[int, list[int]] = {
            int(name): [] for name, text in groups.items() if "open" not in json.loads(text)
        }
        groups_of = {
            order.decode(): int(group)
            for order, text in orders.items()
            if (group := json.loads(text).get("group")) and int(group) in closed
        }
        with self.redis.pipeline(transaction=False) as pipe:
            for order in groups_of:
                pipe.lrange(self.keys.of("list", order), 0, -1)
            for group, members in zip(groups_of.values(), pipe.execute(), strict=True):
                closed[group] += [int(guid) for guid in members]
        return closed

    def overdue(self, slack: float = 0.0) -> list[tuple[str, float]]:
        """Steps whose alarm rang more than ``slack`` seconds ago, and how long ago."""
        now = self.now()
        rang = self.redis.zrangebyscore(
            self.keys.of("alarm"), "-inf", now - slack, start=0, num=READ_CHUNK, withscores=True
        )
        return [(step.decode(), now - at) for step, at in rang]

    def alarms(self) -> int:
        """How many steps are under way or to come, those that wait left out."""
        return int(self.redis.zcard(self.keys.of("alarm")))

    def todo(self) -> int:
        """How many entries of work are left over."""
        return int(self.redis.llen(self.keys.of("todo")))

    def watches(self) -> dict[int, float]:
        """End of the exit watcher's lease by node, 0 for a node nobody has watched yet."""
        found = self.redis.zrange(self.keys.of("watch"), 0, -1, withscores=True)
        return {int(node): float(end) for node, end in found}

    def memory(self) -> int:
        """Bytes that the run takes in Redis, about: of many resources a sample is looked at."""
        count = self.count()
        picked = self.guids()[:: max(1, count // MEMORY_SAMPLE)]
        kinds = [*(f"wait:{{}}:{name}" for name in MILESTONES)]
        kinds += [f"{kind}:{{}}" for kind in ("attr", "cond", "users", "out", "busy", "line")]
        with self.redis.pipeline(transaction=False) as pipe:
            for kind in RUN_KEYS:
                pipe.memory_usage(self.keys.of(kind), samples=20)
            for guid in picked:
                for kind in kinds:
                    pipe.memory_usage(self.keys.of(kind.format(guid)), samples=5)
            found = [int(item or 0) for item in pipe.execute()]
        own = sum(found[len(RUN_KEYS) :])
        return sum(found[: len(RUN_KEYS)]) + round(own * count / max(1, len(picked)))

    def now(self) -> float:
        """Redis' own time, in seconds since the epoch."""
        whole, micro = self.redis.time()
        return float(whole) + float(micro) / 1e6


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _whole(text: str | None) -> int | None:
    return int(text) if text else None


def _resource(guid: int, raw: dict[str, Any], attributes: Mapping[bytes, bytes]) -> ResourceRecord:
    return ResourceRecord(
        guid=guid,
        rtype=raw["rtype"],
        label=raw["label"],
        state=raw["state"],
        milestones={name: float(raw[name]) for name in MILESTONES if name in raw},
        occ=raw["occ"],
        token=int(raw.get("token", 0)),
        running=raw.get("running", ""),
        critical=raw["critical"] == 1,
        batch=raw["batch"] == 1,
        queue=raw["queue"],
        host=_whole(raw.get("host")),
        peers=loads(raw.get("peers")) or {},
        attributes={
            name.decode(): json.loads(value)
            for name, value in attributes.items()
            if not name.startswith(b"=")
        },
        error=loads(raw.get("error")),
        group=_whole(raw.get("group")),
        held="held" in raw,
        is_host="is_host" in raw,
        local=raw.get("local") == 1,
        site=raw.get("site", ""),
        limit=raw.get("limit"),
        gone=loads(raw.get("gone")),
        silent=_number(raw.get("silent")),
        affinity=raw.get("home", ""),
        by=raw.get("by", ""),
        inside=_whole(raw.get("inside")),
    )


def _step(step: str, raw: dict[str, Any]) -> StepRecord:
    return StepRecord(
        step=step,
        status=raw["status"],
        left=raw.get("left", 0),
        due=_number(raw.get("due")),
        token=int(raw.get("token", 0)),
        worker=raw.get("worker", ""),
        began=_number(raw.get("began")),
        tries=raw.get("tries", 0),
        lost=raw.get("lost", 0),
        retried=raw.get("retried", 0),
        sent=raw.get("sent", 0),
        cancel="cancel" in raw,
        args=loads(raw.get("args")) or [],
        why=raw.get("why", ""),
        error=loads(raw.get("error")),
    )
