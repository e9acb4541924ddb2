"""The form of a description in a file: which keys there are, and what they hold.

What types, attributes and labels there are is not looked at here but in ``building``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from ...errors import DescriptionError, near_misses
from ...errors.text import LONGEST_VALUE, one_line, quoted
from ...model import registry
from ...model.attributes import Attribute, Flag
from ...model.lifecycle import State
from ...model.resource import ResourceManager
from .positions import Findings, Path

#: The version of the form that is written, and the only one that is read.
VERSION = 1


def _target(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PydanticCustomError("target", "must be a label or a guid")
    return value


def _several(value: Any) -> Any:
    """One of something stands for a list of it, nothing for an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _nothing(value: Any) -> Any:
    return {} if value is None else value


_TARGET = {"type": ["string", "integer"]}
_TARGETS = {"anyOf": [_TARGET, {"type": "array", "items": _TARGET}]}
Target = Annotated[Any, BeforeValidator(_target), WithJsonSchema(_TARGET)]
Targets = Annotated[list[Target], BeforeValidator(_several), WithJsonSchema(_TARGETS)]
Named = Annotated[dict[str, Any], BeforeValidator(_nothing)]


class ConditionEntry(BaseModel):
    """What a step waits for."""

    model_config = ConfigDict(extra="forbid", strict=True, title="condition")

    after: Targets = Field(description="The resources waited for: a label or several.")
    state: Annotated[
        str, WithJsonSchema({"enum": [state.name for state in State if state is not State.NEW]})
    ] = Field(description="What each of them must have reached.")
    delay: Annotated[Any, WithJsonSchema({"type": ["string", "number"]})] = Field(
        None, description="How long ago it must have done so: 500ms, 5s, 2m30s."
    )


_Conditions = Annotated[list[ConditionEntry], BeforeValidator(_several)]


class ResourceEntry(BaseModel):
    """A resource: its type, and by name its attributes and connections."""

    model_config = ConfigDict(extra="allow", strict=True, title="resource")

    type: str = Field(description="Its type, such as linux::Application.")
    guid: int | None = Field(None, description="Its number; counted from 1 if not given.")
    connectedTo: Targets = Field(  # noqa: N815 - as register_resource calls it
        [], description="What it is connected to, by whichever connection fits."
    )
    deploy: _Conditions = Field([], description="What its deployment waits for.")
    start: _Conditions = Field([], description="What its start waits for.")
    stop: _Conditions = Field([], description="It is stopped when these hold.")
    attributes: Named = Field({}, description="Attributes whose names are keys of this form.")
    connections: dict[str, Targets] = Field(
        {}, description="Connections whose names are keys of this form."
    )


class Document(BaseModel):
    """An experiment for nepiq."""

    model_config = ConfigDict(extra="forbid", strict=True, title="nepiq description")

    nepiq: Literal[1] = Field(description="Version of this form.")
    exp_id: str | None = Field(None, description="Name of the experiment; that of the file.")
    globals: Annotated[dict[str, Named], BeforeValidator(_nothing)] = Field(
        {}, description="What attributes are for all resources of a type, unless they say more."
    )
    resources: Annotated[dict[str, ResourceEntry], BeforeValidator(_nothing)] = Field(
        {}, description="The resources by label."
    )


_BEGIN = f"it begins with 'nepiq: {VERSION}'"

#: Keys of a resource that are no attributes.
RESERVED = tuple(ResourceEntry.model_fields)


# -- checking -----------------------------------------------------------------------------------


def check(data: Any, findings: Findings) -> tuple[Document | None, set[str]]:
    """Check the form of plain data. What is wrong is noted, and left out of the data.

    Returns:
        The rest, None if there is none; and the labels of the resources that were left out.
    """
    failed: set[str] = set()
    if not isinstance(data, dict):
        findings.add(DescriptionError("this is no description", hint=_BEGIN), ())
        return None, failed
    # Leaving something out may show that something else is missing, hence more than once.
    for _ in range(8):
        try:
            return Document.model_validate(data), failed
        except ValidationError as wrong:
            details = wrong.errors(include_url=False, include_context=False)
        for detail in details:
            _note(detail, findings)
        if any(detail["loc"][0] == "nepiq" for detail in details):
            break
        for detail in details:
            _leave_out(data, detail["loc"], failed)
    return None, failed


def _note(detail: ErrorDetails, findings: Findings) -> None:
    path: Path = detail["loc"]
    kind, name = detail["type"], next(str(step) for step in reversed(path) if step != 0)
    if kind == "missing":
        hint = _BEGIN if path == ("nepiq",) else ""
        findings.add(DescriptionError(f"{quoted(name)} is missing", hint=hint), path[:-1], key=True)
    elif kind == "extra_forbidden":
        model = Document if len(path) == 1 else ConditionEntry
        error = DescriptionError(
            f"unknown key {quoted(name)}", hint=partial(near_misses, name, model.model_fields)
        )
        findings.add(error, path, key=True)
    elif path == ("nepiq",):
        error = DescriptionError(
            f"version {quoted(detail['input'])} of descriptions is not known",
            hint=f"this nepiq reads version {VERSION}",
        )
        findings.add(error, path)
    else:
        text, hint = _WORDS.get(kind, (detail["msg"][:1].lower() + detail["msg"][1:], ""))
        shown = one_line(name, LONGEST_VALUE)
        findings.add(DescriptionError(f"{shown} {text}", hint=hint), path)


_MAPPING = ("must hold entries", "write NAME: VALUE, indented below it")
_WORDS = {
    "string_type": ("must be text", "put it in quotes"),
    "int_type": ("must be a whole number", ""),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "list_type": ("must be a list", ""),
}


def _leave_out(data: dict[str, Any], path: Path, failed: set[str]) -> None:
    """Take out the smallest part around an error without which the rest makes sense."""
    if path[0] != "resources" or len(path) == 1:
        part = data.get("globals") if len(path) > 1 else data
        if isinstance(part, dict):
            part.pop(str(path[1] if len(path) > 1 else path[0]), None)
        return
    label = str(path[1])
    entry = data["resources"].get(label)
    if len(path) == 2 or path[2] == "type":
        data["resources"].pop(label, None)
        failed.add(label)
        if isinstance(entry, dict) and "guid" in entry:
            failed.add(str(entry["guid"]))
    elif isinstance(entry, dict) and len(path) > 3 and path[2] in _STEPS:
        # The others keep their positions, and with them their places.
        if isinstance(entry[path[2]], list):
            entry[path[2]][path[3]] = dict(_NO_CONDITION)
        else:
            entry[path[2]] = dict(_NO_CONDITION)
    elif isinstance(entry, dict):
        entry.pop(path[2], None)


_STEPS = ("deploy", "start", "stop")
_NO_CONDITION = {"after": [], "state": "READY"}


# -- JSON Schema --------------------------------------------------------------------------------


def json_schema(rtypes: Iterable[str] | None = None) -> dict[str, Any]:
    """The form as JSON Schema, with the attributes and connections of resource types.

    Args:
        rtypes: the types; all that are known by default.
    """
    schema = Document.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    entry = schema["$defs"]["ResourceEntry"]
    del entry["additionalProperties"]
    names = list(registry.names() if rtypes is None else rtypes)
    entry["properties"]["type"]["examples"] = names
    for action in _STEPS:
        several = entry["properties"][action]
        one_or_more = [several["items"], {"type": "array", "items": several.pop("items")}]
        entry["properties"][action] = {**several, "anyOf": one_or_more}
        del entry["properties"][action]["type"]
    entry["allOf"] = [_of_type(registry.find(name)) for name in names]
    return schema


def _of_type(cls: type[ResourceManager]) -> dict[str, Any]:
    properties = {
        name: _attribute(attribute)
        for name, attribute in cls.attributes.items()
        if name not in RESERVED and not attribute.flags & (Flag.NO_WRITE | Flag.GLOBAL)
    }
    for name, slot in cls.connections.items():
        if name not in RESERVED:
            shape = _TARGETS if slot.many else _TARGET
            properties[name] = {**shape, "description": slot.help or f"A {slot.rtype}."}
    return {
        "if": {"properties": {"type": {"const": cls.rtype}}, "required": ["type"]},
        "then": {"properties": properties, "propertyNames": {"enum": [*RESERVED, *properties]}},
    }


_KINDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _attribute(attribute: Attribute[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": attribute.help}
    if attribute.kind in _KINDS:
        made["type"] = [_KINDS[attribute.kind], "null"]
    if attribute.allowed is not None:
        made["enum"] = [*attribute.allowed, None]
    if attribute.range is not None:
        limits = zip(("minimum", "maximum"), attribute.range, strict=True)
        made.update((name, limit) for name, limit in limits if limit is not None)
    if attribute.default is not None:
        made["default"] = attribute.default
    return made
