"""Every command on every host at once: LOGINS APPLICATIONS COMMAND SESSIONS.

A connection takes no more sessions than its server allows, so further ones are opened.
"""

from __future__ import annotations

import json
import sys
import time

from apssh import CaptureFormatter, Run, SshJob, SshNode
from asynciojobs import Scheduler

logins, count, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sessions = int(sys.argv[4])

nodes, jobs = [], []
for login in logins:
    for number in range(count):
        if number % sessions == 0:
            node = SshNode(
                login["hostname"],
                username=login["username"],
                port=login["port"],
                keys=[login["identity"]],
                known_hosts=None,
                formatter=CaptureFormatter(verbose=False),
            )
            nodes.append(node)
        jobs.append(SshJob(node, command=Run(f"{command} {len(jobs)}")))
if not Scheduler(*jobs).run():
    sys.exit("the scheduler failed")
outputs = [node.formatter.get_capture() for node in nodes]
print(json.dumps({"end": time.time(), "outputs": outputs}), flush=True)
