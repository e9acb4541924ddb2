"""A PID namespace for each process of xdist, where this user may make one.

What nepiq does on a host includes looks at all processes (proc(5)), and tests of this machine as a
host have thousands of these. In a namespace with a ``/proc`` of its own (pid_namespaces(7)) a look
does not pass over what the tests of the other processes run. When the process ends, the kernel ends
all that is left in there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_COMMAND = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh")
_INIT = Path(__file__).with_name("init.sh")
_ISOLATED = "isolated"


@cache
def _possible() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        trial = subprocess.run([*_COMMAND, "-c", ":"], capture_output=True, check=False)
    except OSError:
        return False
    return trial.returncode == 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Start the Python of each process in namespaces of its own."""
    for spec in specs:
        if spec.popen and not spec.python and _possible():
            spec.python = shlex.join([*_COMMAND, str(_INIT), sys.executable])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell the process of xdist that it has them."""
    node.workerinput[_ISOLATED] = bool(node.gateway.spec.python)


def isolated(config: pytest.Config) -> bool:
    """Whether this process sees only the processes of its own tests."""
    return bool(getattr(config, "workerinput", {}).get(_ISOLATED))
