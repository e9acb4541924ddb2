"""One command after another, each followed by a job that takes the time: LOGINS COUNT COMMAND."""

from __future__ import annotations

import json
import sys
import time

from apssh import CaptureFormatter, Run, SshJob, SshNode
from asynciojobs import Job, Scheduler, Sequence

(login,), count, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ends: list[float] = []


async def ended() -> None:
    """Take the time."""
    ends.append(time.time())


node = SshNode(
    login["hostname"],
    username=login["username"],
    port=login["port"],
    keys=[login["identity"]],
    known_hosts=None,
    formatter=CaptureFormatter(verbose=False),
)
jobs = []
for _ in range(count):
    jobs += [SshJob(node, command=Run(command)), Job(ended())]
if not Scheduler(Sequence(*jobs)).run():
    sys.exit("the scheduler failed")
outputs = node.formatter.get_capture().split()
print(json.dumps({"ends": ends, "outputs": outputs}), flush=True)
