"""Bytes between a host and a client that share no disk.

Raw blocks pass through a list in Redis whose length is bounded by credits: the sender takes one
credit for each block, the receiver gives one back for each block it has consumed. Memory is flat
at both ends and in Redis, however large the file. The last message carries the length and the
SHA-256 of what was sent. Nobody polls: both ends block on their list, and give up when the other
has been silent for longer than the deadline.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .. import errors
from .store import keys

if TYPE_CHECKING:
    from redis import Redis

BLOCK = 256 * 1024
WINDOW = 8
SILENCE = 30.0
_EXPIRY = 300

_DATA, _END, _ERROR = b"D", b"E", b"X"


def new_id() -> str:
    """An id for a transfer."""
    return secrets.token_hex(8)


def _lists(run_id: str, transfer_id: str) -> tuple[str, str]:
    base = keys.RunKeys(run_id).of("x", transfer_id)
    return base + ":blocks", base + ":credit"


def receive(
    redis: Redis,
    run_id: str,
    transfer_id: str,
    request: Callable[[], None],
    *,
    silence: float = SILENCE,
) -> Iterator[bytes]:
    """Ask for a transfer and yield its blocks.

    Args:
        redis: client of the state.
        run_id: the run that the host belongs to.
        transfer_id: an id of :func:`new_id`.
        request: sends the request to whoever is to send.
        silence: seconds without a block after which the sender counts as gone.

    Raises:
        HostError: the sender failed (its error, told again here) or fell silent, or the bytes
            that arrived are not those that were sent.
    """
    blocks, credit = _lists(run_id, transfer_id)
    redis.rpush(credit, *[b"1"] * WINDOW)
    redis.expire(credit, _EXPIRY)
    request()
    digest, length = hashlib.sha256(), 0
    try:
        while True:
            reply: Any = redis.blpop([blocks], timeout=silence)
            if reply is None:
                raise errors.HostError(
                    f"no bytes arrived for {silence:g} s",
                    hint="is a worker of that site running? nepiq doctor tells",
                )
            kind, data = reply[1][:1], reply[1][1:]
            if kind == _ERROR:
                raise _told_again(json.loads(data))
            if kind == _END:
                _check(json.loads(data), digest.hexdigest(), length)
                return
            digest.update(data)
            length += len(data)
            yield data
            redis.rpush(credit, b"1")
            redis.expire(credit, _EXPIRY)
    finally:
        redis.delete(blocks, credit)


def send(
    redis: Redis,
    run_id: str,
    transfer_id: str,
    blocks_of_file: Iterator[bytes],
    *,
    silence: float = SILENCE,
) -> None:
    """Send blocks to whoever asked for them; an error in producing them is sent instead.

    Returns silently if the receiver has gone: nobody is left to tell.
    """
    blocks, credit = _lists(run_id, transfer_id)
    digest, length = hashlib.sha256(), 0

    def push(kind: bytes, data: bytes) -> None:
        redis.rpush(blocks, kind + data)
        redis.expire(blocks, _EXPIRY)

    try:
        for block in blocks_of_file:
            if redis.blpop([credit], timeout=silence) is None:
                return
            digest.update(block)
            length += len(block)
            push(_DATA, block)
    except errors.NepiqError as error:
        push(_ERROR, json.dumps(errors.details(error)).encode())
        return
    push(_END, json.dumps({"length": length, "sha256": digest.hexdigest()}).encode())


def _check(told: dict[str, Any], digest: str, length: int) -> None:
    if told["length"] != length or told["sha256"] != digest:
        raise errors.HostError(
            f"{length} bytes arrived, but {told['length']} were sent, or they were changed",
            hint="fetch it again",
        )


def _told_again(details: dict[str, Any]) -> errors.NepiqError:
    kind = getattr(errors, str(details.get("type")), errors.HostError)
    known = isinstance(kind, type) and issubclass(kind, errors.HostError)
    simple = known and kind is not errors.CommandError
    return (kind if simple else errors.HostError)(
        str(details.get("message")),
        where=str(details.get("where", "")),
        hint=str(details.get("hint", "")),
    )
