"""JSON as descriptions use it: read with places, and written."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import DescriptionError, InvalidValue
from . import yaml_text
from .places import Findings

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_AFTER_ESCAPE = str.maketrans({'"': "'", "\\": "/"})


def parse(text: str, findings: Findings) -> Any:
    """Read a text as plain data, and note where everything stands.

    Raises:
        yaml_text.Broken: it is no JSON.
    """
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(reversed(pairs))
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in made if names.count(name) > 1)
        return dict(reversed(made.items()))

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        wrong = DescriptionError(f"no valid JSON: {error.msg[:1].lower()}{error.msg[1:]}")
        raise yaml_text.Broken(wrong, (error.lineno, error.colno)) from None
    except (ValueError, RecursionError) as error:
        raise yaml_text.Broken(DescriptionError(f"no valid JSON: {error}"), None) from None
    repeated = Findings(findings.places)
    _find_places(text, repeated)
    if twice and len(repeated):
        findings.take(repeated)
    else:
        for name in twice:
            findings.add(DescriptionError(f"{name!r} is here twice", hint="remove one of them"))
    return data


def _find_places(text: str, findings: Findings) -> None:
    """Note where everything stands: JSON is YAML but for tabs and some escapes."""
    spelt: dict[str, str] = {}

    def without_escapes(found: re.Match[str]) -> str:
        literal = found[0]
        if "\\" not in literal:
            return literal
        # As many characters, none of which has a meaning.
        plain = literal[1:-1].translate(_AFTER_ESCAPE)
        spelt[plain] = json.loads(literal)
        return f'"{plain}"'

    try:
        yaml_text.parse(_STRING.sub(without_escapes, text.replace("\t", " ")), findings)
    except yaml_text.Broken as broken:
        if broken.deep:
            raise
    if spelt:
        findings.places.rename(spelt)


def dump(data: dict[str, Any]) -> str:
    """Write plain data as JSON; the same data gives the same text.

    Raises:
        InvalidValue: a text holds half of a surrogate pair, which no file can.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue("a text holds half of a surrogate pair") from None
    return text
