"""The child of ``nepiq run``: carries out a script as ``python SCRIPT`` would, or a description.

``python -m nepiq.controller.cli.child VERBOSITY SCRIPT ARGUMENTS...``. The difference is what
an error of nepiq becomes: one line and its exit code instead of a traceback.
"""

from __future__ import annotations

import sys
import traceback
import types
from pathlib import Path

from ..engine.redis_errors import contact
from ..errors import NepiqError

_DESCRIPTIONS = (".yaml", ".yml", ".json", ".xml")


def is_description(path: Path) -> bool:
    """True if a file is a description, by the suffix of its name."""
    return path.suffix.lower() in _DESCRIPTIONS


def main(arguments: list[str]) -> int:
    """Carry out a script; return the exit code."""
    verbosity, script = int(arguments[0]), arguments[1]
    carry_out = _carry_out_description if is_description(Path(script)) else _carry_out
    try:
        with contact():
            carry_out(script, arguments[1:])
    except NepiqError as error:
        # The console's module would cost what its tables need.
        if verbosity > 1:
            _print_traceback(error, script)
        for line in str(error).splitlines():
            sys.stderr.write(f"nepiq: {' '.join(line.split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - an error of the script is for its author
        _print_traceback(error, script)
        return 1
    return 0


def _carry_out(script: str, arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path[0] = str(Path(script).resolve().parent)
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    exec(compile(Path(script).read_bytes(), script, "exec"), module.__dict__)  # noqa: S102


def _carry_out_description(path: str, _arguments: list[str]) -> None:
    from ..experiment.controller import ExperimentController

    with ExperimentController.load(path, complete=True) as ec:
        ec.deploy()
        ec.wait_finished()


def _print_traceback(error: BaseException, script: str) -> None:
    """Print it from the script's first frame on, as Python would."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace or error.__traceback__))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
