"""Reader of YAML with positions, from its events, and writer.

Only plain data is accepted: no tags for objects, no anchors, a bounded depth. Plain scalars are
resolved by the core schema of YAML 1.2, so ``yes`` and ``12:30`` are text. Written scalars are
quoted where a reader of YAML 1.1 would resolve them differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from ...errors import DescriptionError, InvalidValue
from ...errors.text import LONGEST_VALUE, one_line, quoted
from .positions import Findings, Mark, Path

# The bindings of libyaml are ten times as fast; PyYAML may be built without them.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: Maximum depth of nesting in a description.
MAX_DEPTH = 40
_INT = re.compile(r"[-+]?[0-9]{1,4000}")
_OTHER_INT = re.compile(r"0o[0-7]{1,1000}|0x[0-9a-fA-F]{1,1000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_HINTS = {
    "mapping values are not allowed": "put text with ': ' in quotes, or write it below '|'",
    "cannot start any token": "indent with blanks, and put text that begins with it in quotes",
    "expected <block end>": "begin entries of the same mapping in the same column",
    "could not find expected ':'": "write an entry as NAME: VALUE",
}
# Text that every reader restores exactly from a block scalar.
_LINES = re.compile(r"[!-~\u00a1-\u2027\u2030-\ud7ff][ -~\u00a1-\u2027\u2030-\ud7ff\n]*")
_FORBIDDEN = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Line breaks, which other styles may change.
_BREAKS = re.compile("[\n\r\x85\u2028\u2029]")


class Broken(Exception):
    """A syntax error, after which the text cannot be parsed any further.

    Attributes:
        error: the error to report.
        mark: its position.
    """

    def __init__(self, error: DescriptionError, mark: Mark | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.mark = mark


def parse(text: str, findings: Findings) -> Any:
    """Parse a text into plain data, and record all positions.

    Args:
        text: the YAML.
        findings: collects duplicate keys; its positions are filled.

    Raises:
        Broken: the YAML is invalid or has unsupported features.
    """
    try:
        return _Reader(_events(text), findings).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be parsed"
        hint = next((hint for start, hint in _HINTS.items() if start in problem), "")
        raise Broken(
            DescriptionError(f"invalid YAML: {problem}", hint=hint),
            (mark.line + 1, mark.column + 1) if mark else None,
        ) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", "") or str(error)
        match = _FORBIDDEN.search(text)
        position = position_of(text, match.start()) if match else None
        raise Broken(DescriptionError(f"invalid YAML: {reason}"), position) from None


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except (ValueError, OverflowError) as error:
        # PyYAML without libyaml does not check the numbers in escapes and directives.
        raise yaml.YAMLError(str(error)) from error


def position_of(text: str, at: int) -> Mark:
    """Return line and column of an offset in a text."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Reader:
    """A reader that builds data from the events of one document."""

    def __init__(self, events: Iterator[Any], findings: Findings) -> None:
        self._events = events
        self._findings = findings
        self._positions = findings.positions

    def document(self) -> Any:
        data = None
        count = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                count += 1
                if count > 1:
                    raise Broken(
                        DescriptionError("a second document", hint="use one file for each"),
                        _mark(event),
                    )
                data = self._node(next(self._events), (), 0)
        return data

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        self._positions.values[path] = _mark(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.AliasEvent):
            raise _unsupported(event, "aliases are", "write it out, or use 'globals'")
        if event.tag not in _PLAIN_TAGS:
            raise _unsupported(event, f"the tag {_tag_text(event.tag)} is", "leave it out")
        if depth >= MAX_DEPTH:
            error = DescriptionError(f"nested deeper than {MAX_DEPTH} levels")
            raise Broken(error, _mark(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise Broken(DescriptionError("a key must be a name"), _mark(event))
            name: str = event.value
            full_path = (*path, name)
            if name in items:
                first = self._positions.keys[full_path][0]
                error = DescriptionError(
                    f"duplicate key {quoted(name)}, first in line {first}",
                    hint="remove one of them",
                )
                self._findings.add_at(error, _mark(event))
                # The value is parsed, too, but not kept.
                self._node(next(self._events), (*path, name, "again"), depth + 1)
                continue
            self._positions.keys[full_path] = _mark(event)
            items[name] = self._node(next(self._events), full_path, depth + 1)
        return items

    def _scalar(self, event: Any) -> Any:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _unsupported(event, f"the tag {_tag_text(event.tag)} is", "leave it out")
        if event.tag is not None or event.style:
            return event.value
        return resolve(event.value)


def _tag_text(tag: str) -> str:
    return one_line(tag, LONGEST_VALUE)


def _unsupported(event: Any, feature: str, hint: str) -> Broken:
    return Broken(DescriptionError(f"{feature} not supported", hint=hint), _mark(event))


def _mark(event: Any) -> Mark:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def resolve(text: str) -> Any:
    """Return the value of a plain scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinity = _INFINITY.fullmatch(text)
    return float(f"{infinity[1]}inf") if infinity else text


class Line(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(_DUMPER):  # type: ignore[misc]
    """A dumper that writes text of several lines as a block, and plain lists on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    tag = "tag:yaml.org,2002:str"
    if "\n" in value and _LINES.fullmatch(value) and " \n" not in value:
        return dumper.represent_scalar(tag, value, style="|")
    if _BREAKS.search(value):
        return dumper.represent_scalar(tag, value, style='"')
    # The core schema of 1.2 resolves some scalars, such as 1e3, to numbers that 1.1 does not.
    ambiguous = not isinstance(resolve(value), str)
    return dumper.represent_scalar(tag, value, style="'" if ambiguous else None)


def _list(dumper: Any, value: list[Any]) -> Any:
    flow = all(not isinstance(item, (dict, list)) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _line(dumper: Any, value: Line) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(Line, _line)


def dump(data: dict[str, Any]) -> str:
    """Return plain data as YAML; the text of equal data is equal.

    Raises:
        InvalidValue: a text has a lone surrogate, which cannot be encoded.
    """
    try:
        text: str = yaml.dump(
            data,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=10**6,
        )
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"text cannot be encoded: {quoted(error.object)}") from None
    return text
