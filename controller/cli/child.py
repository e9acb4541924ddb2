"""The child process of ``nepiq run``: runs a script as ``python SCRIPT`` would, or a description.

``python -m nepiq.controller.cli.child VERBOSITY SCRIPT ARGUMENTS...``. Unlike Python, it prints
errors of nepiq on one line without a traceback, and exits with their exit code.
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
    """Return True if the suffix of a file is that of a description."""
    return path.suffix.lower() in _DESCRIPTIONS


def main(arguments: list[str]) -> int:
    """Run a script or description; return the exit code."""
    verbosity, script = int(arguments[0]), arguments[1]
    execute = _run_description if is_description(Path(script)) else _run_script
    try:
        with contact():
            execute(script, arguments[1:])
    except NepiqError as error:
        # Not print_error(): its module imports rich, which slows down every script.
        if verbosity > 1:
            _print_traceback(error, script)
        for line in str(error).splitlines():
            sys.stderr.write(f"nepiq: {' '.join(line.split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - errors of the script go to its author
        _print_traceback(error, script)
        return 1
    return 0


def _run_script(script: str, arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path[0] = str(Path(script).resolve().parent)
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    # Without dont_inherit it would have the annotations import of this module.
    code = compile(Path(script).read_bytes(), script, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102


def _run_description(path: str, _arguments: list[str]) -> None:
    from ..experiment.controller import ExperimentController

    with ExperimentController.load(path, complete=True) as ec:
        ec.deploy()
        ec.wait_finished()


def _print_traceback(error: BaseException, script: str) -> None:
    """Print a traceback from the first frame of the script on, as Python would."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace or error.__traceback__))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
