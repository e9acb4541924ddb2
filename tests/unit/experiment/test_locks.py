"""Forks of a process whose other threads are at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLOW = """
import time
time.sleep(0.5)
"""

SCRIPT = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from nepiq.controller import ExperimentController

ec = ExperimentController("forked")
threading.Thread(target=lambda: __import__("slow_to_import")).start()
while "slow_to_import" not in sys.modules:
    time.sleep(0.001)
if os.fork() == 0:
    import slow_to_import
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_fork_waits_for_what_another_thread_imports(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    script = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(script, capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout == "0\n"
