"""J: many hosts, and twenty applications on each.

As NEPI's example scalability did it, on about seventy hosts: all are deployed together, and the
script waits until all have ended. Nothing but the imports and the names of hosts differs from a
script for NEPI.
"""

from __future__ import annotations

import argparse
from collections import Counter

from nepiq.controller import ExperimentController, ResourceState

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("hosts", nargs="+")
parser.add_argument("--user", help="user on the hosts")
parser.add_argument("--identity", help="private key, on the worker machine")
parser.add_argument("--apps", type=int, default=20, help="applications a host (%(default)s)")
parser.add_argument("--seconds", default="30", help="how long each runs (%(default)s)")
options = parser.parse_args()

ec = ExperimentController(exp_id="J-scalability")

apps = []
for host in options.hosts:
    node = ec.register_resource("linux::Node")
    ec.set(node, "hostname", host)
    ec.set(node, "username", options.user)
    ec.set(node, "identity", options.identity)
    ec.set(node, "cleanExperiment", True)
    ec.set(node, "cleanProcesses", True)
    for _ in range(options.apps):
        app = ec.register_resource("linux::Application")
        ec.set(app, "command", f"sleep {options.seconds}; echo 'HOLA'")
        ec.register_connection(app, node)
        apps.append(app)

ec.deploy()
ec.wait_finished(apps)

states = Counter(str(ec.state(app, hr=True)) for app in apps)
answers = Counter(ec.trace(app, "stdout").strip() for app in apps[:: options.apps])
print(f"{len(options.hosts)} hosts, {len(apps)} applications: {dict(states)}")
print(f"one of each host: {dict(answers)}")
assert set(states) <= {ResourceState.FINISHED.name}, ec.failures

ec.shutdown()
