"""A file to every host and back from each: LOGINS SOURCE FOLDER."""

from __future__ import annotations

import json
import sys
import time

from apssh import Pull, Push, SshJob, SshNode
from asynciojobs import Scheduler

logins, source, folder = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]

jobs = []
for number, login in enumerate(logins):
    node = SshNode(
        login["hostname"],
        username=login["username"],
        port=login["port"],
        keys=[login["identity"]],
        known_hosts=None,
        verbose=False,
    )
    commands = [
        Push(source, f"copy-{number}"),
        Pull(f"copy-{number}", f"{folder}/{number}"),
    ]
    jobs.append(SshJob(node, commands=commands))
if not Scheduler(*jobs).run():
    sys.exit("the scheduler failed")
print(json.dumps({"end": time.time(), "outputs": []}), flush=True)
