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


def assigned(text: str) -> dict[str, str]:
    """What lines of the form NAME=VALUE give, as systemd and Docker read such files."""
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def compose(variables: dict[str, str] | None = None) -> dict[str, Any]:
    """compose.yaml as Docker takes it: merges resolved, then variables replaced in values."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    replaced: dict[str, Any] = _replaced(read, variables or {})
    return replaced


def _replaced(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, known) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, known) for item in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, _, default = match[1].partition(":")
        if name not in known and default.startswith("?"):
            raise KeyError(name)
        return known.get(name) or default.removeprefix("-")

    return re.sub(r"\$\$|\$\{([^}]*)\}", one, value)
