"""Celery's Redis transport, able to outlive Redis and foreign messages, with less work for each.

kombu 5.7 ends the worker process when Redis goes away while messages are held: closing the old
channel tries to give them back through a connection that no longer exists, which raises an
AttributeError that nothing catches. The steps behind those messages are due in the state's
alarms, so the sweeper sends them again; there is nothing to give back.

A message that is none, or of another form than kombu writes, would end the process too, and the
next worker after it when it is delivered again. It is dropped, with a line in the log.

kombu also makes a new client object of redis-py for each message that is published or acknowledged,
though all of them share one pool of connections: a sixth of what a worker does for a short step.

A Redis at its ``maxmemory`` refuses what kombu writes for each message, and in a transaction also
what it reads; a worker would end by it. Our messages are small and few, and those of a release
make room: they are written as :mod:`.room` has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property, partial
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport import redis as kombu_redis
from redis import Redis, RedisError
from redis.exceptions import ResponseError

from .. import redis_memory

if TYPE_CHECKING:

    class _Channel:
        _qos: Any
        connection: Any
        pool: Any
        global_keyprefix: str

        def close(self) -> None: ...

        def _create_client(self, asynchronous: bool = False) -> Any: ...

        def _brpop_read(self, **options: Any) -> Any: ...

        def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None: ...

    _REFRESH_BINDING: str
    _SWEEP_BINDINGS: str

    class _Pipeline:
        command_stack: list[tuple[tuple[Any, ...], Any]]
        connection_pool: Any

        def __init__(self, *args: Any, **options: Any) -> None: ...

        def execute(self, raise_on_error: bool = True) -> list[Any]: ...

    class _Client:
        connection_pool: Any
        response_callbacks: Any
        global_keyprefix: str

        def __init__(self, **options: Any) -> None: ...

        def execute_command(self, *args: Any, **options: Any) -> Any: ...

        def _prefix_args(self, args: tuple[Any, ...]) -> list[Any]: ...

    class _Transport:
        channels: list[Any]

        def _deliver(self, message: Any, queue: str) -> None: ...

else:
    _Channel = kombu_redis.Channel
    _REFRESH_BINDING, _SWEEP_BINDINGS = kombu_redis.REFRESH_BINDING, kombu_redis.SWEEP_BINDINGS
    _Client = kombu_redis.PrefixedStrictRedis
    _Pipeline = kombu_redis.PrefixedRedisPipeline
    _Transport = kombu_redis.Transport


log = logging.getLogger("nepiq.worker")

_LONGEST_NAME = 1000


class Pipeline(_Pipeline):
    """Commands in one round trip; a full Redis does not refuse them."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Carry out what was gathered; twice, perhaps, where Redis is full."""
        gathered = [arguments for arguments, _ in self.command_stack]
        try:
            return super().execute(raise_on_error)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
        plain: Any = Redis(connection_pool=self.connection_pool)
        if any(command[0] == "EVALSHA" for command in gathered):
            # A script calls no other. These are refused in a transaction only: see Channel.
            return [plain.execute_command(*command) for command in gathered]
        return redis_memory.insist(plain, gathered)


class Client(_Client):
    """A client of the broker; a full Redis does not refuse what it writes."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Carry out a command."""
        try:
            return super().execute_command(*args, **options)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
        plain = Redis(connection_pool=self.connection_pool)
        return redis_memory.insist(plain, [self._prefix_args(args)])[0]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Gather commands."""
        return Pipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            global_keyprefix=self.global_keyprefix,
        )


class Channel(_Channel):
    """A channel that keeps its client, and returns no messages over a lost connection."""

    _kept: Any = None

    def _get_client(self) -> Callable[..., Client]:
        """What makes a client."""
        return partial(Client, global_keyprefix=self.global_keyprefix)

    @cached_property
    def _refresh_binding(self) -> Any:
        """The script that notes a queue which expires."""
        text = redis_memory.UNREFUSED + _REFRESH_BINDING
        return self._create_client().register_script(text)

    @cached_property
    def _sweep_bindings(self) -> Any:
        """The script that forgets queues which have expired."""
        return self._create_client().register_script(redis_memory.UNREFUSED + _SWEEP_BINDINGS)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """The client of the channel's pool; another one where it has to be its own."""
        if asynchronous:  # it waits for messages
            return super()._create_client(asynchronous)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept

    def _brpop_read(self, **options: Any) -> Any:
        """Take a message from a queue; what cannot be read is gone from it by now."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError) as error:
            log.warning("dropped a message that is none: %s", _brief(error))
            raise Empty from None

    def close(self) -> None:
        """Close the channel; give held messages back only while there is a connection."""
        qos, connection = self._qos, self.connection
        if qos is not None and (connection is None or connection.client is None):
            qos.restore_at_shutdown = False
        super().close()


class Transport(_Transport):
    """The Redis transport with the channel above."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand a message to whoever consumes it, unless its form makes that impossible."""
        try:
            _check(message)
            super()._deliver(message, queue)
        except (RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a foreign message causes
            log.warning("dropped a message that is none of ours: %s", _brief(error))
            self._forget(message)

    def _forget(self, message: Any) -> None:
        """Take it off the messages that are held, so that it does not come back."""
        try:
            tag = message["properties"]["delivery_tag"]
            held = [channel for channel in self.channels if tag in channel.qos._delivered]  # noqa: SLF001
        except (KeyError, TypeError):
            return
        for channel in held:
            channel.basic_reject(tag, requeue=False)


def _check(message: Any) -> None:
    """Refuse names that Celery would write into its log at any length."""
    headers = message["headers"] or {}
    for name in ("task", "id"):
        if len(str(headers.get(name, ""))) > _LONGEST_NAME:
            raise ValueError(f"its {name} is longer than {_LONGEST_NAME} characters")


def _brief(error: Exception) -> str:
    """The kind of an error and the beginning of its text, which may quote the message."""
    return f"{type(error).__name__}: {error}"[:200]
