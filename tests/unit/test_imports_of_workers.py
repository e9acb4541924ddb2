"""What a worker does not need it does not import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def imports(script: str) -> set[str]:
    """Modules that are loaded after a script."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"],
        env={**os.environ, "NEPIQ_BROKER_URL": "redis://localhost:1/0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split("\n")[-2].split())


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Modules of a worker process when it would start to serve."""
    stop = "import click\ndef stop(*_, **__):\n  pass\nclick.Command.main = stop\n"
    return imports(stop + "from nepiq.workers.__main__ import main\nmain([])")


def test_a_worker_is_complete_before_it_serves(loaded: set[str]) -> None:
    assert {"nepiq.tasks.steps", "nepiq.workers.upkeep.sweeper", "celery.bin.worker"} <= loaded


@pytest.mark.parametrize(
    "library",
    [
        "prometheus_client",  # for workers that serve metrics
        "paramiko",  # for the first host over SSH
        "celery.bin.celery",  # all of Celery's commands
        "flower",  # a plugin of theirs
    ],
)
def test_what_it_does_not_need_it_does_not_load(library: str, loaded: set[str]) -> None:
    assert library not in loaded
