"""What a worker imports that gives processes a minute to end by themselves."""

from __future__ import annotations

from nepiq.workers.hosts import shell_host

shell_host.GRACE = 60.0
