"""What a worker does not need it does not import."""

from __future__ import annotations

import os
import subprocess
import sys


def test_who_serves_no_metrics_imports_no_library_for_them() -> None:
    script = "import sys, nepiq.workers.app; print('prometheus_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NEPIQ_BROKER_URL": "redis://localhost:1/0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
