"""Types of third parties that raise where nobody expects it."""

from __future__ import annotations

import pytest
from tests.integration.worker import kinds  # noqa: F401 - the types must be known here too
from tests.stand import Stand, until

from nepiq.controller.monitoring.overdue import overdue

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(60)]


@pytest.mark.parametrize("rtype", ["test::Vague", "test::VagueBatch"])
def test_a_step_that_has_no_deadline_fails_at_once(stand: Stand, rtype: str) -> None:
    worker = stand.start_worker()
    ec = stand.experiment("vague")
    vague = ec.register_resource(rtype, critical=False)
    others = [ec.register_resource("nepiq::Null") for _ in range(3)]
    ec.deploy(wait_all_ready=False)
    assert ec.wait_started(others, "20s")
    ec.wait_started(vague, "20s")
    assert "no idea of" in str(ec.failures[0])
    assert "ValueError" in worker.text()
    store = stand.stack().run(ec.run_id).store
    step = store.step(f"{vague}.deploy")
    assert step is not None
    assert step.tries == 1
    ec.detach()


def test_what_is_late_can_be_told_without_its_deadline(stand: Stand) -> None:
    worker = stand.start_worker()
    ec = stand.experiment("deaf")
    ec.register_resource("test::VagueAndDeaf")
    ec.deploy(wait_all_ready=False)
    until(lambda: "deaf to all" in worker.text(), 20.0, "it does not begin")
    run = stand.stack().run(ec.run_id)
    assert "step" in {item.about for item in overdue(run, slack=-600.0)}
    ec.detach()
    worker.process.kill()
