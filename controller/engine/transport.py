"""Celery's Redis transport, able to outlive a restart of Redis.

kombu 5.7 ends the worker process when Redis goes away while messages are held: closing the old
channel tries to give them back through a connection that no longer exists, which raises an
AttributeError that nothing catches. The steps behind those messages are due in the state's
alarms, so the sweeper sends them again; there is nothing to give back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.transport import redis as kombu_redis

if TYPE_CHECKING:

    class _Channel:
        _qos: Any
        connection: Any

        def close(self) -> None: ...

    class _Transport: ...
else:
    _Channel = kombu_redis.Channel
    _Transport = kombu_redis.Transport


class Channel(_Channel):
    """A channel that does not try to return messages over a lost connection."""

    def close(self) -> None:
        """Close the channel; give held messages back only while there is a connection."""
        qos, connection = self._qos, self.connection
        if qos is not None and (connection is None or connection.client is None):
            qos.restore_at_shutdown = False
        super().close()


class Transport(_Transport):
    """The Redis transport with the channel above."""

    Channel = Channel
