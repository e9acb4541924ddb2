"""One application after another, waited for: LOGINS COUNT COMMAND."""

from __future__ import annotations

import json
import sys
import time

from nepiq.controller import ExperimentController

(login,), count, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

with ExperimentController("bench-exit") as ec:
    node = ec.register_resource("linux::Node", **login)
    ends, outputs = [], []
    for _ in range(count):
        application = ec.register_resource("linux::Application", connectedTo=node, command=command)
        ec.deploy()
        ec.wait_finished(application)
        ends.append(time.time())
        outputs.append(ec.trace(application, "stdout"))
    print(json.dumps({"ends": ends, "outputs": outputs}), flush=True)
