"""Writes that a Redis at its ``maxmemory`` still accepts.

A full Redis refuses commands that may need memory (``OOM command not allowed``). In a script it
refuses only the first write, since a script that has written may not be interrupted. A script
whose first write removes a key, which is always allowed, is therefore never refused. Writes that
continue or end existing work use such scripts, since they need little memory and finally free
some; writes that begin new work may be refused. Redis 6.2 and 7 behave alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

if TYPE_CHECKING:
    from redis import Redis

Argument = str | bytes | int | float
Command = Sequence[Argument]

NOTHING = "nepiq:nothing"
"""A key that never exists."""

UNREFUSED = f"redis.call('UNLINK', '{NOTHING}')\n"
"""First line of a script that a full Redis must not refuse."""

_COMMANDS = (
    UNREFUSED
    + """
local replies, at = {}, 1
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
return replies
"""
)
_SHA = hashlib.sha1(_COMMANDS.encode(), usedforsecurity=False).hexdigest()


def is_full(error: BaseException) -> bool:
    """Return whether Redis refused a command because it is at its ``maxmemory``."""
    # Redis 6.2 reports errors of scripts only as text.
    return isinstance(error, OutOfMemoryError) or (
        isinstance(error, ResponseError) and "OOM command not allowed" in str(error)
    )


def execute(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Execute commands in one round trip, also on a full Redis; return their replies.

    Args:
        redis: client of the state or the broker.
        commands: each may be executed twice.
    """
    pipe: Any = redis.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    try:
        return list(pipe.execute())
    except ResponseError as error:
        if not is_full(error):
            raise
    return insist(redis, commands)


def insist(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Execute commands that a full Redis would refuse; return their replies."""
    client: Any = redis
    flat = [item for command in commands for item in (len(command), *command)]
    try:
        return list(client.evalsha(_SHA, 1, NOTHING, *flat))
    except NoScriptError:
        return list(client.eval(_COMMANDS, 1, NOTHING, *flat))
