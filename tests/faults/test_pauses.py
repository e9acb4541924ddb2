"""Pauses of random processes end, and the command is as without them."""

from __future__ import annotations

import re
import subprocess
import sys

WORK = "for i in $(seq 100); do (sleep 0.01; echo $i); done | sort -n | tail -1; exit 3"


def test_a_command_under_pauses_ends_as_usual() -> None:
    words = ["--rate", "90", "--mean", "0.02", "--seed", "1", "sh", "-c", WORK]
    command = [sys.executable, "-m", "tests.faults.pauses", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "100\n"), done.stderr
    told = re.fullmatch(r"(\d+) pauses, seed 1\n", done.stderr)
    assert told, done.stderr
    assert int(told[1]) > 0
