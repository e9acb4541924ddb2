"""The Lua scripts, and how they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from ...redis_memory import UNREFUSED, is_full

if TYPE_CHECKING:
    from redis import Redis

Argument = str | bytes | int | float

# What scripts share. Those that make no step due need the records only.
_RECORDS = ("records",)
_ALL = ("records", "steps", "states", "campaigns", "work")
# Those of pools have records of their own.
_POOLS = ("pools",)
_CAMPAIGNS = ("campaigns", "campaign")
_LIGHT = {"reserve", "snapshot", "touch", "renew", "watch", "unwatch", "watched"}
_SHARED = {
    "create": (*_RECORDS, "uploads"),
    "upload": (*_RECORDS, "uploads"),
    "begin": (*_ALL, "uploads"),
    "expire": (*_RECORDS, "expiry"),
    "fold": (*_RECORDS, "campaigns", "expiry"),
}
#: What begins something new, which a full Redis refuses. It does nothing then: a script is refused
#: at its first write or not at all. The others are repeated so that they are not refused.
_REFUSED = {"create", "reserve", "upload", "deploy", "condition", "request", "pool_request"}
_REFUSED |= {"begin", "campaign_create", "campaign_add"}


class Script(NamedTuple):
    """A script as Redis knows it.

    Attributes:
        text: the shared functions it needs, then the script.
        sha: its digest, by which Redis finds a script that it has seen.
    """

    text: str
    sha: str


@cache
def script(name: str, head: str = "") -> Script:
    """The script of that name, read from its file once per process.

    Args:
        name: of its file.
        head: what stands before it.
    """
    folder = resources.files(__package__)
    parts = (*_shared(name), name)
    text = head + "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _shared(name: str) -> tuple[str, ...]:
    if name in _SHARED:
        return _SHARED[name]
    if name.startswith("pool_"):
        return _POOLS
    if name.startswith("campaign_"):
        return _CAMPAIGNS
    return _RECORDS if name in _LIGHT else _ALL


class Call(NamedTuple):
    """A call of a script.

    Attributes:
        name: of its file.
        prefix: of the keys that it acts on.
        args: its arguments.
    """

    name: str
    prefix: str
    args: Sequence[Argument]


def evaluate(redis: Redis, name: str, prefix: str, *args: Argument) -> Any:
    """Run a script on the run whose keys have that prefix and return what it answers.

    The text travels only when Redis has not seen the script since it started (EVALSHA, EVAL). One
    that needs no room to begin something new is carried out also where Redis is full.

    Raises:
        ResponseError: Redis is full, and the script would begin something new.
    """
    try:
        return _evaluate(redis, script(name), prefix, args)
    except ResponseError as error:
        if name in _REFUSED or not is_full(error):
            raise
    return _evaluate(redis, script(name, UNREFUSED), prefix, args)


def _evaluate(redis: Redis, wanted: Script, prefix: str, args: Sequence[Argument]) -> Any:
    try:
        return redis.evalsha(wanted.sha, 1, prefix, *args)
    except NoScriptError:
        return redis.eval(wanted.text, 1, prefix, *args)


def evaluate_all(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    """Run scripts on several runs in one round trip and return what each call answers.

    A call that Redis refuses at first, since it does not know the script or is full, is carried
    out after the others, in the order given.
    """
    if len(calls) == 1:
        return [evaluate(redis, calls[0].name, calls[0].prefix, *calls[0].args)]
    with redis.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.evalsha(script(call.name).sha, 1, call.prefix, *call.args)
        answers = list(pipe.execute(raise_on_error=False))
    for at, answer in enumerate(answers):
        if isinstance(answer, ResponseError):
            answers[at] = evaluate(redis, calls[at].name, calls[at].prefix, *calls[at].args)
        elif isinstance(answer, Exception):
            raise answer
    return answers
