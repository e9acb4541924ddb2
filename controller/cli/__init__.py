"""The command line: ``nepiq VERB ...``. Each verb calls one library function and prints it.

Data goes to stdout, messages to stderr. Exit codes: 0 success, 1 the experiment failed, 2 the
command line or the description is wrong, 3 Redis or a worker is not available, 4 an action on a
host failed, 5 a timeout, 6 another client released the resources, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    # What is loaded first lives until the exit. The garbage collector would search it in vain, then
    # as well: a quarter of a short command.
    gc.disable()
    from . import app

    return app.main(sys.argv[1:] if arguments is None else arguments)
