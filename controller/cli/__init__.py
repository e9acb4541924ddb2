"""The command line: ``nepiq VERB ...``. Each verb calls one library function and prints it.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 the experiment failed, 2 the command
line or the description is wrong, 3 Redis or the workers are not there, 4 a host did not do what
was asked, 5 a timeout, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    from . import app

    return app.main(sys.argv[1:] if arguments is None else arguments)
