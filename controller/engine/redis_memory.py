"""Writes that a Redis at its ``maxmemory`` carries out all the same.

Redis refuses a command that may need memory when it is full (``OOM command not allowed``). In a
script it refuses only the first write: one that has written already may not be left in the
middle. So a script whose first write removes a key, which Redis always allows, is not refused at
all. What goes on or ends what has begun is written so, since it needs little and in the end makes
room; what begins something new is refused. Redis 6.2 and 7 agree on this.
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
"""What a script begins with that Redis shall not refuse."""

_COMMANDS = (
    UNREFUSED
    + """
local answers, at = {}, 1
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
return answers
"""
)
_SHA = hashlib.sha1(_COMMANDS.encode(), usedforsecurity=False).hexdigest()


def is_full(error: BaseException) -> bool:
    """True if Redis has refused something since it is at its ``maxmemory``."""
    # Redis 6.2 tells of a script's error in words only.
    return isinstance(error, OutOfMemoryError) or (
        isinstance(error, ResponseError) and "OOM command not allowed" in str(error)
    )


def execute(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Carry out commands in one round trip, also if Redis is full; what they answer.

    Args:
        redis: client of the state or the broker.
        commands: each may be carried out twice.
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
    """Carry out commands that a full Redis would refuse; what they answer."""
    client: Any = redis
    flat = [item for command in commands for item in (len(command), *command)]
    try:
        return list(client.evalsha(_SHA, 1, NOTHING, *flat))
    except NoScriptError:
        return list(client.eval(_COMMANDS, 1, NOTHING, *flat))
