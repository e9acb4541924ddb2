"""Messages for a worker that serves no more go to the others of its site."""

from __future__ import annotations

import json

import pytest
from tests.stand import Stand, until

from nepiq.controller.engine.messaging import queues
from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.engine.store import keys

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(60)]

OWN = "nepiq.default@gone@there"


def test_messages_of_a_worker_that_is_gone(stand: Stand) -> None:
    broker = connect(stand.environment["NEPIQ_BROKER_URL"])
    try:
        broker.lpush(queues.PREFIX + OWN, "{}", "[]")
        redis = stand.backend().redis
        told = {"machine": "there", "queues": ["nepiq.default", OWN], "pid": 0, "version": "0"}
        redis.hset(keys.WORKERS, "gone@there", json.dumps(told))
        redis.zadd(keys.BEATS, {"gone@there": redis.time()[0] - 60})
        worker = stand.start_worker()
        until(lambda: not broker.exists(queues.PREFIX + OWN), 10.0, "they stay there")
        handed = "handed over 2 messages of workers that have gone"
        until(lambda: handed in worker.text(), 20.0, "nothing is said")
        # The others take them; these are none of ours.
        until(lambda: worker.text().count("dropped a message") == 2, 10.0, "nobody took them")
    finally:
        broker.close()


def test_order_and_content_stay(stand: Stand) -> None:
    broker = connect(stand.environment["NEPIQ_BROKER_URL"])
    try:
        broker.lpush(queues.PREFIX + OWN, "first", "second", "third")
        assert queues.hand_over(broker, [OWN, "nepiq.default@nobody"]) == 3
        assert broker.lrange(queues.PREFIX + "nepiq.default", 0, -1) == [
            b"third",
            b"second",
            b"first",
        ]
    finally:
        broker.close()
