"""The end of a worker while Redis is away."""

from __future__ import annotations

import signal

import pytest
from tests.integration.worker import kinds  # noqa: F401 - the types must be known here too
from tests.stand import Stand, until

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(60)]


def test_a_step_that_goes_on_keeps_no_worker_whose_redis_is_away(stand: Stand) -> None:
    worker = stand.start_worker(NEPIQ_DRAIN_TIMEOUT="0.5")
    ec = stand.experiment("deaf")
    ec.register_resource("test::Deaf")
    ec.deploy(wait_all_ready=False)
    until(lambda: "deaf to all" in worker.text(), 20.0, "it does not begin")
    ec.detach()
    stand.stop_redis(signal.SIGKILL)
    worker.signal(signal.SIGTERM)
    assert worker.ended(25.0) == 0
    assert "cannot unregister this worker" in worker.text()
    stand.start_redis()
