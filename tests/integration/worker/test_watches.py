"""The watch of a node, at the end of its run."""

from __future__ import annotations

import shutil
import signal

import pytest
from tests.stand import Stand, until

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(60)]

RESTORED = "files of the run are missing, and are restored"


def test_only_what_is_missing_is_restored(stand: Stand) -> None:
    """The end of a run on its host is no damage: the next run there would wait for the repair."""
    worker = stand.start_worker()
    with stand.experiment("watched", quiet=True) as ec:
        here = ec.register_resource("linux::Node", label="here", hardRelease=True)
        app = ec.register_resource("linux::Application", command="true", connectedTo=here)
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
        directory = stand.home / f".nepiq/{ec.run_id}/{here}"
        ec.release()
        assert not directory.exists()
        worker.signal(signal.SIGTERM)
        worker.ended()
        assert RESTORED not in worker.text()


def test_what_is_missing_is_restored(stand: Stand) -> None:
    worker = stand.start_worker()
    with stand.experiment("watched", quiet=True) as ec:
        here = ec.register_resource("linux::Node", label="here")
        app = ec.register_resource("linux::Application", command="sleep 60", connectedTo=here)
        ec.deploy()
        assert ec.wait_started(app, timeout=30)
        fence = stand.home / f".nepiq/{ec.run_id}/{here}/fence"
        shutil.rmtree(fence)
        until(fence.exists, 30.0, "it is not restored")
        assert RESTORED in worker.text()
