"""A module that workers of these tests list, with a function to schedule."""

from __future__ import annotations

import os
from pathlib import Path


def greet(name: str) -> str:
    """Say something."""
    return f"hello {name}"


def leave(path: str) -> str:
    """Write a file: a trace of having been called."""
    Path(path).write_text(str(os.getpid()))
    return path
