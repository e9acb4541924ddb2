"""Celery's Redis transport, able to outlive a restart of Redis, and with less work a message.

kombu 5.7 ends the worker process when Redis goes away while messages are held: closing the old
channel tries to give them back through a connection that no longer exists, which raises an
AttributeError that nothing catches. The steps behind those messages are due in the state's
alarms, so the sweeper sends them again; there is nothing to give back.

It also makes a new client object of redis-py for each message that is published or acknowledged,
though all of them share one pool of connections: a sixth of what a worker does for a short step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.transport import redis as kombu_redis

if TYPE_CHECKING:

    class _Channel:
        _qos: Any
        connection: Any
        pool: Any

        def close(self) -> None: ...

        def _create_client(self, asynchronous: bool = False) -> Any: ...

    class _Transport: ...
else:
    _Channel = kombu_redis.Channel
    _Transport = kombu_redis.Transport


class Channel(_Channel):
    """A channel that keeps its client, and returns no messages over a lost connection."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """The client of the channel's pool; another one where it has to be its own."""
        if asynchronous:  # it waits for messages
            return super()._create_client(asynchronous)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept

    def close(self) -> None:
        """Close the channel; give held messages back only while there is a connection."""
        qos, connection = self._qos, self.connection
        if qos is not None and (connection is None or connection.client is None):
            qos.restore_at_shutdown = False
        super().close()


class Transport(_Transport):
    """The Redis transport with the channel above."""

    Channel = Channel
