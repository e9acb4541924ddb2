"""Every application on every host at once: LOGINS APPLICATIONS COMMAND."""

from __future__ import annotations

import json
import sys
import time

from nepiq.controller import ExperimentController

logins, count, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

with ExperimentController("bench-fan") as ec:
    applications = []
    for login in logins:
        node = ec.register_resource("linux::Node", **login)
        for _ in range(count):
            number = len(applications)
            applications.append(
                ec.register_resource(
                    "linux::Application", connectedTo=node, command=f"{command} {number}"
                )
            )
    ec.deploy()
    ec.wait_finished(applications)
    outputs = [ec.trace(application, "stdout") for application in applications]
    print(json.dumps({"end": time.time(), "outputs": outputs}), flush=True)
