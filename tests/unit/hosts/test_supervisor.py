"""The supervisor, joined from its parts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.workers.hosts import supervisor

FOLDER = Path(supervisor.__file__).parent
#: Linux refuses a longer variable of an environment (execve(2), MAX_ARG_STRLEN), by which it
#: reaches a host whose disk is full.
LONGEST = 128 * 1024


def functions(script: bytes) -> bytes:
    """What bash reads a script as, without the call of a verb at its end."""
    head, _, last = script.rpartition(b"\n")
    assert last == b'"$@"'
    read = b'set -- launch\neval "$SCRIPT" >/dev/null\ndeclare -f\nprintf %s "$nl$tab"'
    environment = {"SCRIPT": head.decode(), "PATH": os.environ["PATH"]}
    command = ["bash", "-c", read.decode(), "/base/run/1/supervisor.sh"]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


@pytest.mark.needs("bash")
def test_only_comments_of_its_parts_are_left_out() -> None:
    assert sorted(supervisor.PARTS) == sorted(path.stem for path in FOLDER.glob("*.sh"))
    parts = [(FOLDER / f"{part}.sh").read_bytes() for part in supervisor.PARTS]
    script = supervisor.script()
    assert b"launch ()" in functions(script)
    assert functions(script) == functions(b"".join(parts).rstrip(b"\n"))
    assert not re.search(rb"^[ \t]*(#|$)", script, re.MULTILINE)


def test_it_can_travel_in_a_variable() -> None:
    text = supervisor.script()
    assert text.isascii()
    assert len(b"NEPIQ_SCRIPT=" + text) < LONGEST


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_shells_read_it(need: Need, shell: str) -> None:
    program = shutil.which(shell)
    need(shell, program, "not on PATH")
    done = subprocess.run(
        [str(program), "-n"], input=supervisor.script(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_function_is_defined_twice() -> None:
    """The later one would replace the earlier one, whichever part it was written for."""
    names = re.findall(rb"^([a-z_]+)\(\)", supervisor.script(), re.MULTILINE)
    assert sorted(names) == sorted(set(names))
