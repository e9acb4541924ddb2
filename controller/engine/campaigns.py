"""A campaign in Redis: a typed method for each script, and plain reads (docs/engine.md)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .campaign_history import START, CampaignHistory
from .campaign_records import (
    Begin,
    CampaignRecord,
    Entry,
    Fold,
    Placed,
    Refusal,
    Repeated,
    Skip,
    Slot,
    Taken,
)
from .pools import leases_of
from .store import keys
from .store.scripts import Argument, Call, evaluate, evaluate_all
from .store.timing import Timing
from .store.wire import parse, reply_of

if TYPE_CHECKING:
    from redis import Redis

    from .messaging.publisher import Publisher
    from .store.calls import Reply

_KINDS: tuple[str, ...] = (
    "state",
    "definition",
    "segments",
    "added",
    "active",
    "over",
    "again",
    "failed",
    "repeated",
    "history",
    "looks",
    "releasing",
    "samples",
    "enough",
    "waiting",
    "line",
    "provenance",
    "hosts",
    "placing",
    "granted",
    "avoid",
    "warm",
    "quarantine",
    "out",
)
_COUNTS = ("total", "finished", "failed", "cancelled", "begun", "again", "skipped", "parallel")

MOST = 32
"""Ended runs that a worker folds, and runs that it begins, before it looks again."""


class CampaignStore:
    """The records of one campaign. Methods may be repeated when their answer was lost.

    Args:
        redis: a client that does not decode responses.
        name: the campaign.
        broker: name of the broker whose workers carry it out.
        publisher: returns the publisher.
        timing: the engine's constants.
    """

    def __init__(
        self,
        redis: Redis,
        name: str,
        broker: str,
        publisher: Callable[[], Publisher],
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._redis: Any = redis
        self._broker = broker
        self._publisher = publisher
        self._timing = timing or Timing()
        self._prefix = keys.campaign(name)
        self._history = CampaignHistory(redis, name)

    # -- the client's side --------------------------------------------------------------------

    def create(self, digest: str, definition: Any, **fields: Argument) -> tuple[str, bool]:
        """Make the campaign; return the status and whether it is new.

        The status is ``CLASH`` if there is one of this name with another digest.

        Args:
            digest: the same for the same campaign.
            definition: what its runs are made from, as JSON values.
            fields: ``parallel``, and what else may change later.
        """
        flat = [item for pair in fields.items() for item in pair]
        status, new = self._ask("create", digest, self._broker, _packed(definition), *flat)
        return status, new == 1

    def add(self, segment_id: str, known: int, count: int, segment: Any) -> str:
        """Add a space; return the status.

        It is ``CHANGED`` if another client has added one meanwhile.

        Args:
            segment_id: the same one again adds nothing.
            known: number of spaces that the campaign has, as the caller knows it.
            count: number of its runs.
            segment: the space, as JSON values.
        """
        arguments = (segment_id, known, count, _packed(segment))
        return self._dispatched("add", self._timing.grace, self._broker, *arguments)[0]

    def note_provenance(self, provenance: Any) -> None:
        """Keep where the campaign comes from, as JSON values; what is kept already stays."""
        self._redis.set(self._key("provenance"), _packed(provenance), nx=True)

    def provenance(self) -> Any:
        """Return what :meth:`note_provenance` kept; None if there is nothing."""
        data = self._redis.get(self._key("provenance"))
        return None if data is None else _unpacked(data)

    def note_hosts(self, hosts: Mapping[str, Any]) -> None:
        """Keep what is known of hosts, JSON values by key, in place of what was known by it."""
        values = {key: json.dumps(value, separators=(",", ":")) for key, value in hosts.items()}
        self._redis.hset(self._key("hosts"), mapping=values)

    def hosts(self) -> list[Any]:
        """Return what :meth:`note_hosts` kept, in the order of the keys."""
        found = self._redis.hgetall(self._key("hosts"))
        return [json.loads(found[key]) for key in sorted(found)]

    def change(self, verb: str, *args: Argument) -> tuple[str, int]:
        """Carry out ``pause``, ``resume``, ``stop``, ``cancel``, ``retry`` or ``set``.

        Returns:
            The status, and the number of runs that it concerns.
        """
        status, number = self._dispatched("change", self._timing.grace, self._broker, verb, *args)
        return status, number

    def record(self) -> CampaignRecord | None:
        """Return the campaign, or None if there is none."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key("state"))
            pipe.hlen(self._key("active"))
            pipe.hlen(self._key("waiting"))
            pipe.hlen(self._key("placing"))
            raw, active, waiting, placing = pipe.execute()
        if not raw:
            return None
        state = {name.decode(): value.decode() for name, value in raw.items()}
        counts = {name: int(state[name]) for name in _COUNTS}
        return CampaignRecord(
            name=self.name,
            phase=state["phase"],
            why=state["why"],
            created=float(state["created"]),
            active=active,
            waiting=waiting,
            placing=placing,
            held=bool(state.get("held")),
            priority=int(state.get("priority", 0)),
            **counts,
        )

    def definition(self) -> Any:
        """Return what the runs are made from; None if there is no such campaign."""
        text = self._redis.get(self._key("definition"))
        return None if text is None else _unpacked(text)

    def segments(self) -> list[Any]:
        """Return the spaces, in the order in which they were added."""
        return [_unpacked(text) for text in self._redis.lrange(self._key("segments"), 0, -1)]

    def active(self) -> dict[str, int]:
        """Return the runs under way, with the numbers of their slots."""
        return self._slots("active")

    def waiting(self) -> dict[str, int]:
        """Return the runs that wait for a script that measures them, with the numbers of slots."""
        return self._slots("waiting")

    def _slots(self, kind: str) -> dict[str, int]:
        found = self._redis.hgetall(self._key(kind))
        return {run.decode(): int(entry.split(b"|")[0]) for run, entry in found.items()}

    def failed(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield slot, run id, outcome and cause of each run that did not finish."""
        for slot, text in self._redis.hscan_iter(self._key("failed"), count=1000):
            _, run_id, outcome, cause = text.decode().split("|", 3)
            yield int(slot), run_id, outcome, cause

    def repeated(self) -> dict[str, Repeated]:
        """Return the runs that were begun again, by their causes."""
        found = self._redis.hgetall(self._key("repeated"))
        parts = {cause.decode(): text.decode().split("|") for cause, text in found.items()}
        return {
            cause: Repeated(int(number), run_id, hosts.split())
            for cause, (number, run_id, hosts) in parts.items()
        }

    def history(self, after: str = START, block: float = 0.0, count: int = 1000) -> list[Entry]:
        """Return the next entries after a position; wait up to ``block`` seconds for one."""
        return self._history.read(after, block, count)

    def last(self) -> str:
        """Return the position of the last entry of the history."""
        return self._history.last()

    def memory(self) -> int:
        """Return the number of bytes that the campaign takes in Redis, without its runs."""
        with self._redis.pipeline(transaction=False) as pipe:
            for kind in _KINDS:
                pipe.memory_usage(self._key(kind), samples=0)
            return sum(size or 0 for size in pipe.execute())

    def remove(self) -> None:
        """Delete the campaign; its runs under way must have ended."""
        waiting = self._redis.lrange(self._key("line"), 0, -1)
        with self._redis.pipeline(transaction=True) as pipe:
            if waiting:  # the sweeper deletes their records
                pipe.zadd(keys.ENDED, dict.fromkeys(waiting, 0))
            pipe.unlink(*map(self._key, _KINDS))
            pipe.zrem(keys.CAMPAIGNS, self.name)
            pipe.srem(keys.campaigns(self._broker), self.name)
            pipe.execute()

    # -- the side of a script that measures ---------------------------------------------------

    def measure(self, nonce: str, most: int = MOST) -> list[tuple[str, Slot, str]] | None:
        """Claim the measurement of runs, or keep the claim; return those that wait for it.

        These are the first ones, each with its slot and its row so far. With none the claim ends.

        Args:
            nonce: of this claim.
            most: how many of them to return.

        Returns:
            The runs; None if another process measures.
        """
        answer = self._ask("measure", nonce, self._timing.lease, most)
        if answer[0] != "OK":
            return None
        return [
            (run_id, Slot(int(number), int(attempt), ""), row)
            for run_id, entry in zip(answer[1::2], answer[2::2], strict=True)
            for number, attempt, _, row in [entry.split("|", 3)]
        ]

    def measured(self, nonce: str, fold: Fold) -> bool:
        """Enter the row of a run that waited; return False if the claim was lost."""
        call = self._fold(nonce, fold)
        status, _, dispatch = parse(evaluate(self._redis, call.name, call.prefix, *call.args))
        if dispatch:
            self._publisher().advance(self.name)
        return bool(status != "STALE")

    def let_go(self, nonce: str) -> None:
        """End the claim of a process that measures."""
        self._ask("measure", nonce, 0, 1)

    # -- the worker's side --------------------------------------------------------------------

    def take(self, nonce: str, worker: str, released: Sequence[str] = ()) -> Taken | None:
        """Claim the step, or go on with it under the same nonce; None if there is nothing to do.

        Args:
            nonce: of this claim.
            worker: name of the worker.
            released: runs that it has released since.
        """
        answer = self._ask("take", nonce, worker, self._timing.lease, MOST, self._broker, *released)
        if answer[0] != "OK":
            return None
        _, token, state, over, releases, again, fresh, granted, withdrawn = answer
        slots = [_slot(entry, "again") for entry in again]
        first = int(state["cursor"])
        slots += [Slot(number) for number in range(first, first + fresh)]
        placed = [
            Placed(run_id, _slot(entry.rpartition("|")[0], "placed"), leases_of(json.loads(leases)))
            for run_id, entry, leases in granted
        ]
        return Taken(token, state, over, releases, slots, placed, withdrawn)

    def avoided(self, slots: Sequence[int]) -> list[list[str]]:
        """Return the keys of the hosts on which runs for slots have failed."""
        found = self._redis.hmget(self._key("avoid"), slots) if slots else []
        return [text.decode().split() if text else [] for text in found]

    def quarantine(self) -> Any:
        """Return what :meth:`judge` kept; None if there is nothing."""
        text = self._redis.get(self._key("quarantine"))
        return None if text is None else json.loads(text)

    def judge(self, token: str, quarantine: Any, hosts: Mapping[str, float]) -> None:
        """Keep what is concluded about hosts, unless the claim of the step was lost.

        Args:
            token: of the claim.
            quarantine: all that further conclusions need, as JSON values.
            hosts: the hosts that get no run, and until when.
        """
        until = [item for host, time in hosts.items() for item in (time, host)]
        self._ask("judge", token, json.dumps(quarantine, separators=(",", ":")), *until)

    def samples(self, points: Sequence[int]) -> dict[int, Any]:
        """Return the samples of points so far, as JSON values; without those that have none."""
        if not points:
            return {}
        found = self._redis.hmget(self._key("samples"), points)
        return {point: json.loads(text) for point, text in zip(points, found, strict=True) if text}

    def enough(self, points: Sequence[int]) -> list[bool]:
        """Return whether each of the points needs no further run."""
        with self._redis.pipeline(transaction=False) as pipe:
            for point in points:
                pipe.getbit(self._key("enough"), point)
            return [bool(bit) for bit in pipe.execute()]

    def renew(self, nonce: str) -> bool:
        """Keep the claim for another lease; return False if it was lost."""
        return bool(self._ask("renew", nonce, self._timing.lease)[0] == "OK")

    def give_back(self, nonce: str, phase: str, reason: str = "", *, held: bool = False) -> None:
        """End the claim of a worker that cannot do the work; nothing happens if it was lost.

        Args:
            nonce: of the claim.
            phase: of the campaign when the work was taken.
            reason: why the campaign pauses; empty if it does not.
            held: ended runs have no row until the reason is gone.
        """
        end = (nonce, phase, self._timing.retry, reason, int(held))
        self._dispatched("give_back", *end)

    def settle(
        self, token: str, folds: Sequence[Fold], begins: Sequence[Begin | Refusal | Skip]
    ) -> tuple[list[str], list[Reply]]:
        """Enter the rows of ended runs, and begin others, in one round trip.

        Each of them happens as a whole or not at all, and only under the token of the claim.

        Returns:
            The status of each run that ended, and the reply of each that begins.
        """
        calls = [self._fold(token, fold) for fold in folds]
        for item in begins:
            origin = (item.slot.origin, item.slot.number, item.slot.attempt)
            if isinstance(item, Skip):
                calls.append(Call("campaign_skip", self._prefix, (token, *origin)))
            elif isinstance(item, Refusal):
                refused = (token, *origin, item.cause, item.row)
                calls.append(Call("campaign_refuse", self._prefix, refused))
            else:
                head = (*self._limits, item.run_id, self.name, token, self._broker, *origin)
                calls.append(Call("begin", keys.prefix(item.run_id), (*head, *item.arguments)))
        answers = [parse(answer) for answer in evaluate_all(self._redis, calls)] if calls else []
        n = len(folds)
        return [answer[0] for answer in answers[:n]], [reply_of(answer) for answer in answers[n:]]

    def entries(self, run_ids: Sequence[str]) -> dict[str, Slot]:
        """Return the slots of runs, without those that are not under way."""
        if not run_ids:
            return {}
        found = self._redis.hmget(self._key("active"), run_ids)
        return {
            run_id: _slot(entry.decode())
            for run_id, entry in zip(run_ids, found, strict=True)
            if entry
        }

    def sweep(self) -> None:
        """Dispatch the step if its message or its worker was lost."""
        self._dispatched("sweep", self._timing.grace, self._broker)

    @property
    def _limits(self) -> tuple[Argument, ...]:
        return self._timing.grace, self._timing.horizon, self._timing.limit

    def _fold(self, token: str, fold: Fold) -> Call:
        head = (self._timing.limit, self.name, token, self._broker, fold.run_id, fold.verdict)
        row = (int(fold.keep), fold.outcome, fold.cause, fold.row)
        point = (fold.point, fold.samples, int(fold.enough))
        args = (*head, *row, *point, self._timing.grace, fold.avoid)
        return Call("fold", keys.prefix(fold.run_id), args)

    # -- calling ------------------------------------------------------------------------------

    def _key(self, kind: str) -> str:
        return self._prefix + kind

    def _ask(self, name: str, *args: Argument) -> list[Any]:
        return parse(evaluate(self._redis, f"campaign_{name}", self._prefix, *args))

    def _dispatched(self, name: str, *args: Argument) -> tuple[str, int]:
        status, *rest = self._ask(name, *args)
        if rest and rest[0]:
            self._publisher().advance(self.name)
        return status, rest[1] if len(rest) > 1 else 0


def _slot(entry: str, origin: str = "") -> Slot:
    number, attempt = entry.split("|")
    return Slot(int(number), int(attempt), origin)


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


def _unpacked(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
