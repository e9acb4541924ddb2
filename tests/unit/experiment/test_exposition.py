"""What an exporter tells Prometheus."""

from __future__ import annotations

import threading

from prometheus_client import generate_latest

from nepiq.controller.engine.installation import Overview, RedisFacts
from nepiq.controller.errors import RedisUnreachable
from nepiq.controller.monitoring.prometheus import registry


def test_who_asks_at_the_same_time_is_answered_one_after_the_other() -> None:
    """Observers are not made for several threads, and an exporter has one for each question."""
    meet = threading.Barrier(2)
    met = []

    def look() -> Overview:
        try:
            meet.wait(0.3)  # the second would come in this time if nothing kept it
            met.append(True)
        except threading.BrokenBarrierError:
            meet.reset()
        return Overview(0.0, [], 0, [], {}, RedisFacts(1, 0, 1, aof=True, healthy=True))

    asked = registry(look)
    threads = [threading.Thread(target=generate_latest, args=(asked,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not met


def test_without_redis_that_is_all_it_tells() -> None:
    def look() -> Overview:
        raise RedisUnreachable("gone")

    lines = generate_latest(registry(look)).decode().splitlines()
    assert [line for line in lines if line.startswith("nepiq")] == ["nepiq_redis_up 0.0"]
