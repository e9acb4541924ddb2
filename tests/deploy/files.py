"""The files of deploy/ as they stand: units, compose.yaml, and the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from tests.stand import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def unit(path: Path) -> dict[str, list[str]]:
    """The options of a unit, by name; each as often as it is given."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def unit_command(path: Path, instance: str = "default") -> list[str]:
    """What a unit starts."""
    (line,) = unit(path)["ExecStart"]
    return shlex.split(line.replace("%i", instance))


def compose(variables: dict[str, str] | None = None) -> dict[str, Any]:
    """compose.yaml, its variables replaced."""
    known = variables or {}

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, _, default = match[1].partition(":")
        if name not in known and default.startswith("?"):
            raise KeyError(name)
        return known.get(name) or default.removeprefix("-")

    text = re.sub(r"\$\$|\$\{([^}]*)\}", value, (ROOT / "compose.yaml").read_text())
    read: dict[str, Any] = yaml.safe_load(text)
    return read
