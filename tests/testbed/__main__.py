"""Bring hosts up for a developer, until ctrl-C: ``python -m tests.testbed --help``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from .bed import Testbed
from .spaces import missing


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    add = parser.add_argument
    add("--hosts", type=int, default=4, help="hosts that this machine reaches (%(default)s)")
    add("--private", type=int, default=0, help="hosts behind a gateway (%(default)s)")
    return parser.parse_args(arguments)


def _describe(bed: Testbed) -> str:
    lines = [f"{'name':<12}{'address':<16}ssh"]
    lines += [
        f"{host.name:<12}{host.address:<16}ssh -F {bed.ssh_config} {host.name}"
        for host in bed.every
    ]
    lines += ["", "Users: lab (sudo without a password), student (sudo, password student), guest."]
    if bed.hosts:
        lines += [
            "In an experiment:",
            f'  ec.register_resource("linux::Node", hostname="{bed.hosts[0].address}", '
            f'username="lab", identity="{bed.identity}")',
            f"  with the host keys in {bed.known_hosts}",
        ]
    return "\n".join([*lines, "", "Up until ctrl-C."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring them up, say how to reach them, wait for a signal, remove them."""
    options = _options(arguments)
    lacking = missing()
    if lacking:
        print(f"hosts need {lacking}; run as root, after tools/system-packages", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with Testbed(options.hosts, options.private) as bed:
            print(_describe(bed), flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
