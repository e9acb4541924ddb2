"""The program: ``python3 -m relay VERB SOCKET``.

* ``serve`` runs the relay. It prints ``ready`` when it accepts requests, and the last figures of
  its ends when it ends, by SIGTERM or SIGINT.
* ``ask`` passes on the request from its standard input, a line, and prints the answer. Its exit
  code is 1 if a part of the request was refused, and 3 if there is no relay.
* ``use`` is like ``ask``, and starts a relay first if there is none, which ends with its last end.
"""

# ruff: noqa: T201 - this is a program
from __future__ import annotations

import sys

from .client import ask, use


def serve(path: str) -> None:
    """Run the relay in this process."""
    from .server import serve as run  # the client is quicker without

    for line in run(path):
        print(line, flush=True)


def main() -> None:
    """Do what the arguments name."""
    {"serve": serve, "ask": ask, "use": use}[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
