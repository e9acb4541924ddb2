"""A web server, three clients and a monitor on this machine: run it with ``nepiq run``.

The clients start only when the server really serves, each half a second after the one before;
the server is stopped when all of them are done, and the monitor a second after it. Nobody polls
and nothing sleeps in between: each start and stop is brought about by what it waits for.
"""

from __future__ import annotations

import shlex
import socket
import sys

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

START, STOP = ResourceAction.START, ResourceAction.STOP
STARTED, FINISHED, STOPPED = ResourceState.STARTED, ResourceState.FINISHED, ResourceState.STOPPED

PYTHON = shlex.quote(sys.executable)
CLIENT = """
import sys, time, urllib.request
began = time.monotonic()
with urllib.request.urlopen(sys.argv[1]) as page:
    text = page.read().decode().strip()
print(f"{text} ({1000 * (time.monotonic() - began):.1f} ms)")
"""


def free_port() -> int:
    """A TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/greeting.txt"
    with ExperimentController("demo") as ec:
        node = ec.register_resource("linux::Node", label="laptop", hostname="localhost")

        def application(label: str, command: str, **attributes: str) -> int:
            return ec.register_resource(
                "linux::Application",
                label=label,
                command=command,
                connectedTo=node,
                **attributes,
            )

        server = application(
            "server",
            "echo 'Hello from the server' > greeting.txt; "
            f"exec {PYTHON} -u -m http.server {port} --bind 127.0.0.1",
            startedWhen=f"port:{port}",
        )
        clients = [application(f"client-{n}", f"{PYTHON} - {url}", stdin=CLIENT) for n in (1, 2, 3)]
        monitor = application(
            "monitor",
            "while :; do cut -d' ' -f1 /proc/loadavg; sleep 0.5; done",
        )
        summary = application("summary", f"uname -sr; echo 'served {len(clients)} clients'")

        for position, client in enumerate(clients):
            ec.register_condition(client, START, server, STARTED, f"{500 * position}ms")
        ec.register_condition(server, STOP, clients, FINISHED, "1s")
        ec.register_condition(summary, START, server, STOPPED)
        ec.register_condition(monitor, STOP, server, STOPPED, "1s")

        ec.deploy()
        ec.wait_finished()

        for number, client in enumerate(clients, 1):
            print(f"client-{number} got:", ec.trace(client, "stdout").strip())
        print("the server saw", ec.trace(server, "stderr").count("GET"), "requests")
        print("load meanwhile:", ec.trace(monitor, "stdout").split())
        print(ec.trace(summary, "stdout").strip())


if __name__ == "__main__":
    main()
