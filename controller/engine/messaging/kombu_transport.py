"""Redis transport for Celery that survives lost connections, foreign messages and a full Redis.

When Redis goes down while messages wait in the worker, kombu 5.7 tries to return them through the
connection that was lost. That raises an uncaught AttributeError, or leaves the messages in a file
in the folder for temporary files. The steps of those messages have a due time in the state, so the
sweeper sends them again; nothing needs to be returned.

A message in an unknown format would also end the process, and then each worker that receives it
again. It is dropped and logged.

A Redis at its ``maxmemory`` refuses kombu's writes, and in a transaction also its reads, which
would end a worker. They are few and small: messages that a worker returns, answers to monitors,
names of queues. So they are written by :mod:`nepiq.controller.engine.redis_memory`.
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
        pool: Any
        qos: Any
        global_keyprefix: str

        def _create_client(self) -> Any: ...

        def _brpop_read(self, **options: Any) -> Any: ...

        def _restore(self, message: Any) -> None: ...

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
    """A pipeline whose commands a full Redis does not refuse."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the commands; on a full Redis possibly twice."""
        commands = [arguments for arguments, _ in self.command_stack]
        try:
            return super().execute(raise_on_error)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
        plain: Any = Redis(connection_pool=self.connection_pool)
        if any(command[0] == "EVALSHA" for command in commands):
            # A script cannot call another. A full Redis refuses these only in a transaction, see
            # Channel.
            return [plain.execute_command(*command) for command in commands]
        return redis_memory.insist(plain, commands)


class Client(_Client):
    """A client of the broker whose writes a full Redis does not refuse."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command."""
        try:
            return super().execute_command(*args, **options)
        except ResponseError as error:
            if not redis_memory.is_full(error):
                raise
        plain = Redis(connection_pool=self.connection_pool)
        return redis_memory.insist(plain, [self._prefix_args(args)])[0]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a new pipeline."""
        return Pipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            global_keyprefix=self.global_keyprefix,
        )


class Channel(_Channel):
    """A channel that returns messages only when it is told to."""

    do_restore = False

    def _get_client(self) -> Callable[..., Client]:
        """Return the factory of clients."""
        return partial(Client, global_keyprefix=self.global_keyprefix)

    @cached_property
    def _refresh_binding(self) -> Any:
        """The script that records a queue that expires."""
        text = redis_memory.UNREFUSED + _REFRESH_BINDING
        return self._create_client().register_script(text)

    @cached_property
    def _sweep_bindings(self) -> Any:
        """The script that removes records of expired queues."""
        return self._create_client().register_script(redis_memory.UNREFUSED + _SWEEP_BINDINGS)

    def _brpop_read(self, **options: Any) -> Any:
        """Take a message from a queue; drop one that cannot be parsed."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError) as error:
            log.warning("dropped a message that cannot be parsed: %s", _brief(error))
            raise Empty from None

    def give_back(self) -> None:
        """Return the messages that have not begun to their queues.

        Raises:
            RedisError, OSError: Redis cannot be reached. The sweeper sends again what is not
                returned.
        """
        self.qos._flush()  # noqa: SLF001 - those that have begun
        held = self.qos._delivered  # noqa: SLF001
        while held:
            _, message = held.popitem()
            self._restore(message)


class Transport(_Transport):
    """The Redis transport with nepiq's channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        """Deliver a message to its consumer; drop one in an unknown format."""
        try:
            _check(message)
            super()._deliver(message, queue)
        except (RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a foreign message may cause anything
            log.warning("dropped a message in an unknown format: %s", _brief(error))
            self._forget(message)

    def _forget(self, message: Any) -> None:
        """Let another message come in place of this one."""
        try:
            tag = message["properties"]["delivery_tag"]
            channels = [channel for channel in self.channels if tag in channel.qos._delivered]  # noqa: SLF001
        except (KeyError, TypeError):
            return
        for channel in channels:
            channel.basic_reject(tag, requeue=False)


def _check(message: Any) -> None:
    """Raise ValueError for long names, which Celery would log in full."""
    headers = message["headers"] or {}
    for name in ("task", "id"):
        if len(str(headers.get(name, ""))) > _LONGEST_NAME:
            raise ValueError(f"its {name} is longer than {_LONGEST_NAME} characters")


def _brief(error: Exception) -> str:
    """Return the type of an error and the beginning of its text, which may quote the message."""
    return f"{type(error).__name__}: {error}"[:200]
