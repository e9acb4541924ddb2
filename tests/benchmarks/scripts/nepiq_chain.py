"""Applications over all hosts, each after the one before has finished: LOGINS LENGTH COMMAND."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

logins, length, command = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

with ExperimentController("bench-chain") as ec:
    nodes = [ec.register_resource("linux::Node", **login) for login in logins]
    chain = [
        ec.register_resource(
            "linux::Application",
            connectedTo=nodes[number % len(nodes)],
            command=f"{command} {number}",
        )
        for number in range(length)
    ]
    for before, after in pairwise(chain):
        ec.register_condition(after, ResourceAction.START, before, ResourceState.FINISHED)
    ec.deploy()
    ec.wait_finished(chain)
    outputs = [ec.trace(application, "stdout") for application in chain]
    print(json.dumps({"end": time.time(), "outputs": outputs}), flush=True)
