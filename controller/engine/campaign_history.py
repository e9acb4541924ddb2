"""The history of a campaign: rows and changes of phase in their order, and waiting for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .campaign_records import Entry
from .store import keys

if TYPE_CHECKING:
    from redis import Redis

START = "0-0"
"""The position before the first entry of a history."""


class CampaignHistory:
    """The history of one campaign.

    Args:
        redis: a client that does not decode responses, whose socket timeout is longer than any
            ``block``.
        name: the campaign.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis: Any = redis
        self._history, self._looks = keys.campaign(name) + "history", _looks(name)

    def read(self, after: str = START, block: float = 0.0, count: int = 1000) -> list[Entry]:
        """Return the next entries after a position; wait up to ``block`` seconds for one."""
        wait = None if block <= 0 else _milliseconds(block)
        found = _streams(self._redis.xread({self._history: after}, count=count, block=wait))
        return [_entry(*entry) for entry in found.get(self._history, ())]

    def changes(self, after: str, look: str, block: float) -> tuple[list[Entry], str]:
        """Wait until there is an entry, or a worker has looked at the campaign.

        Runs begin, and are begun again, without an entry; a worker looks after it has done so.

        Args:
            after: position in the history.
            look: the last known look; :data:`START` for none.
            block: the longest time to wait, in seconds.

        Returns:
            The next entries, and the last look: none and the same if the time passed.
        """
        asked = {self._history: after, self._looks: look}
        found = _streams(self._redis.xread(asked, count=1000, block=_milliseconds(block)))
        entries = [_entry(*entry) for entry in found.get(self._history, ())]
        return entries, found[self._looks][-1][0].decode() if self._looks in found else look

    def rows(self, positions: Sequence[str]) -> list[str]:
        """Return the rows at positions as JSON; empty where there is none any more."""
        with self._redis.pipeline(transaction=False) as pipe:
            for position in positions:
                pipe.xrange(self._history, position, position)
            found = pipe.execute()
        return [_entry(*entries[0]).row if entries else "" for entries in found]

    def last(self) -> str:
        """Return the position of the last entry."""
        found = self._redis.xrevrange(self._history, count=1)
        return found[0][0].decode() if found else START


def wait_for_looks(redis: Redis, looks: Mapping[str, str], block: float) -> dict[str, str]:
    """Wait until a worker has looked at any of several campaigns.

    Args:
        redis: as for :class:`CampaignHistory`.
        looks: the last known look by campaign; :data:`START` for none.
        block: the longest time to wait, in seconds.

    Returns:
        The later looks by campaign; empty if the time passed.
    """
    names = {_looks(name): name for name in looks}
    asked: dict[Any, Any] = {key: looks[name] for key, name in names.items()}
    found = _streams(redis.xread(asked, block=_milliseconds(block)))
    return {names[key]: entries[-1][0].decode() for key, entries in found.items()}


def _looks(name: str) -> str:
    return keys.campaign(name) + "looks"


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _streams(reply: Any) -> dict[str, Any]:
    """Return the entries in the reply to XREAD by key, as either protocol of Redis gives it."""
    if isinstance(reply, dict):
        return {key.decode(): parts[0] for key, parts in reply.items()}
    return {key.decode(): entries for key, entries in reply or ()}


def _entry(position: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    if b"r" in fields:
        return Entry(position.decode(), row=fields[b"r"].decode())
    if b"w" in fields:
        return Entry(position.decode(), waits=fields[b"w"].decode())
    return Entry(position.decode(), phase=fields[b"e"].decode(), why=fields[b"i"].decode())
