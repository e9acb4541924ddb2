"""Commands over all hosts, each after the one before has ended: LOGINS LENGTH COMMAND."""

from __future__ import annotations

import json
import sys
import time

from apssh import CaptureFormatter, Run, SshJob, SshNode
from asynciojobs import Scheduler, Sequence

logins, length, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

nodes = [
    SshNode(
        login["hostname"],
        username=login["username"],
        port=login["port"],
        keys=[login["identity"]],
        known_hosts=None,
        formatter=CaptureFormatter(verbose=False),
    )
    for login in logins
]
jobs = [
    SshJob(nodes[number % len(nodes)], command=Run(f"{command} {number}"))
    for number in range(length)
]
if not Scheduler(Sequence(*jobs)).run():
    sys.exit("the scheduler failed")
outputs = [node.formatter.get_capture() for node in nodes]
print(json.dumps({"end": time.time(), "outputs": outputs}), flush=True)
