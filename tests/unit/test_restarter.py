"""The restarter of a worker, where nothing comes of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

RESTARTER = [sys.executable, "-m", "nepiq.controller.services.restarter"]
ORPHAN = """
import os
from nepiq.controller.services.restarter import die_with_parent
die_with_parent(os.getppid() + {off})
print("goes on")
"""


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [([], 2, "give the command"), (["/no/such"], 127, "cannot start /no/such")],
)
def test_what_cannot_be_started(command: list[str], code: int, said: str) -> None:
    done = subprocess.run([*RESTARTER, *command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("off", "said"), [(0, "goes on\n"), (1, "")])
def test_a_command_whose_restarter_died_while_it_began(off: int, said: str) -> None:
    command = [sys.executable, "-c", ORPHAN.format(off=off)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == said
