"""A shell that notes what it is asked to run, to compare it with what was planned."""

from __future__ import annotations

import base64
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

# What nepiq's own machinery runs is a script or named /bin/sh, or the supervisor's text; else
# ``sh -c`` is for commands.
_NOTING = """#!/bin/sh
if [ "$1" = -c ] && [ "$2" != 'eval "$NEPIQ_SCRIPT"' ]; then
    printf '%s\\n' "$(printf %s "$2" | base64 -w0)" >>"{notes}"
fi
exec /bin/sh "$@"
"""


class NotingShell:
    """``sh`` in a directory that is put first in somebody's PATH.

    Args:
        home: where the directory and the notes are.
        seen: the same place as processes there see it.
    """

    def __init__(self, home: Path, seen: str = "") -> None:
        self._notes = home / "commands"
        self.bin = home / "noting"
        self.path = f"{seen or home}/noting"
        self.bin.mkdir(parents=True, exist_ok=True)
        self._notes.unlink(missing_ok=True)
        program = self.bin / "sh"
        program.write_text(_NOTING.format(notes=f"{seen or home}/commands"))
        program.chmod(0o755)

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.bin)
        self._notes.unlink(missing_ok=True)

    def ran(self) -> Counter[str]:
        """The commands that were run, and how often each."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return Counter(base64.b64decode(line).decode() for line in lines)


def planned(told: str) -> Counter[str]:
    """The commands of a plan in JSON that the noting shell is asked for.

    Those as root are not, as sudo(8) has a PATH of its own; nor are those that only look, which
    go to a shell in another way.
    """
    plans: list[dict[str, Any]] = json.loads(told)
    calls = [
        call
        for plan in plans
        for item in plan["resources"]
        for step in item["steps"]
        for call in step["calls"]
        if call["verb"] in ("run", "supervise")
    ]
    return Counter(
        call["command"]
        for call in calls
        if not call["options"]["sudo"] and call["options"].get("mutates", True)
    )
