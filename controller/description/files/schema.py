"""The schema of description files: their keys and the types of values.

Resource types, attributes and labels are checked later, in ``builder``.
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

#: The version of the file format; no other one is read.
VERSION = 1


def _target(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PydanticCustomError("target", "must be a label or a guid")
    return value


def _as_list(value: Any) -> Any:
    """Return a list; a single value stands for a list of one, None for an empty list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _mapping_or_empty(value: Any) -> Any:
    return {} if value is None else value


_TARGET = {"type": ["string", "integer"]}
_TARGETS = {"anyOf": [_TARGET, {"type": "array", "items": _TARGET}]}
Target = Annotated[Any, BeforeValidator(_target), WithJsonSchema(_TARGET)]
Targets = Annotated[list[Target], BeforeValidator(_as_list), WithJsonSchema(_TARGETS)]
Named = Annotated[dict[str, Any], BeforeValidator(_mapping_or_empty)]


class ConditionEntry(BaseModel):
    """A condition of a step."""

    model_config = ConfigDict(extra="forbid", strict=True, title="condition")

    after: Targets = Field(description="The resources to wait for: a label or a list.")
    state: Annotated[
        str, WithJsonSchema({"enum": [state.name for state in State if state is not State.NEW]})
    ] = Field(description="The state that each of them must have reached.")
    delay: Annotated[Any, WithJsonSchema({"type": ["string", "number"]})] = Field(
        None, description="Time that must have passed since: 500ms, 5s, 2m30s."
    )


_Conditions = Annotated[list[ConditionEntry], BeforeValidator(_as_list)]


class ResourceEntry(BaseModel):
    """A resource: its type, its attributes and its connections."""

    model_config = ConfigDict(extra="allow", strict=True, title="resource")

    type: str = Field(description="Its type, such as linux::Application.")
    guid: int | None = Field(None, description="Its number; counted from 1 by default.")
    connectedTo: Targets = Field(  # noqa: N815 - as in register_resource
        [], description="Resources to connect it to, by any connection that fits."
    )
    deploy: _Conditions = Field([], description="Conditions of its deployment.")
    start: _Conditions = Field([], description="Conditions of its start.")
    stop: _Conditions = Field([], description="Conditions of its stop.")
    attributes: Named = Field({}, description="Attributes with the name of a key of a resource.")
    connections: dict[str, Targets] = Field(
        {}, description="Connections with the name of a key of a resource."
    )


class TopologyEntry(BaseModel):
    """A network of emulated hosts; see docs/emulation.md."""

    model_config = ConfigDict(extra="forbid", strict=True, title="topology")

    on: Targets = Field(description="The linux::Node that it is part of, or several.")
    file: str | None = Field(
        None,
        description="A file of the graph, .graphml, .gml, .yaml, .json or .csv, by its path from "
        "the description; instead of links.",
    )
    nodes: Any = Field(None, description="Nodes by name, with their attributes.")
    links: list[Any] = Field(
        [], description="Links: endpoints and attributes, or pairs of names of nodes."
    )
    routing: Literal["static", "none"] = Field(
        "static", description="Routes by the smallest delay, or none."
    )
    network: str = Field("10.0.0.0/9", description="Where links get their subnets from.")
    node_network: str = Field("10.255.0.0/16", description="Where nodes get addresses from.")
    ipv6: bool | str = Field(
        False,
        description="Whether links and nodes have IPv6 addresses, too; or the network that they "
        "are taken from.",
    )
    prefix: str = Field("", description="What labels of nodes begin with.")
    hosts: Named = Field({}, description="Attributes of all emulated hosts.")
    sample: str | float | None = Field(
        None, description="Time between two samples of the load of all links; none by default."
    )


class Document(BaseModel):
    """A description of an experiment for nepiq."""

    model_config = ConfigDict(extra="forbid", strict=True, title="nepiq description")

    nepiq: Literal[1] = Field(description="Version of the file format.")
    exp_id: str | None = Field(
        None, description="Name of the experiment; by default that of the file."
    )
    globals: Annotated[dict[str, Named], BeforeValidator(_mapping_or_empty)] = Field(
        {}, description="Default values of attributes for all resources of a type."
    )
    resources: Annotated[dict[str, ResourceEntry], BeforeValidator(_mapping_or_empty)] = Field(
        {}, description="The resources by label."
    )
    topology: TopologyEntry | None = Field(
        None, description="A network of emulated hosts beside the resources."
    )


_BEGIN = f"begin it with 'nepiq: {VERSION}'"

#: Keys of a resource that are not attributes.
RESERVED = tuple(ResourceEntry.model_fields)


# -- checking -----------------------------------------------------------------------------------


def check(data: Any, findings: Findings) -> tuple[Document | None, set[str]]:
    """Check plain data by the schema. Errors are collected, and removed from the data.

    Returns:
        The valid part, or None; and the labels and guids of the resources that were removed.
    """
    failed: set[str] = set()
    if not isinstance(data, dict):
        findings.add(DescriptionError("not a description", hint=_BEGIN), ())
        return None, failed
    # Repeated, because a removal may cause another error.
    for _ in range(8):
        try:
            return Document.model_validate(data), failed
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        for detail in details:
            _collect(detail, findings)
        if any(detail["loc"][:1] in ((), ("nepiq",)) for detail in details):
            break
        for detail in details:
            _remove(data, detail["loc"], failed)
    return None, failed


def _collect(detail: ErrorDetails, findings: Findings) -> None:
    path: Path = detail["loc"]
    if not path:  # pydantic has no place for a key that is no text for it
        key = quoted(detail["input"])
        findings.add(DescriptionError(f"key {key} cannot be encoded: it has a lone surrogate"), ())
        return
    kind, name = detail["type"], next(str(step) for step in reversed(path) if step != 0)
    if kind == "missing":
        hint = _BEGIN if path == ("nepiq",) else ""
        findings.add(DescriptionError(f"{quoted(name)} is missing", hint=hint), path[:-1], key=True)
    elif kind == "extra_forbidden":
        model: type[BaseModel] = Document if len(path) == 1 else ConditionEntry
        if path[0] == "topology" and len(path) > 1:
            model = TopologyEntry
        error = DescriptionError(
            f"unknown key {quoted(name)}", hint=partial(near_misses, name, model.model_fields)
        )
        findings.add(error, path, key=True)
    elif path == ("nepiq",):
        error = DescriptionError(
            f"version {quoted(detail['input'])} of descriptions is not supported",
            hint=f"this nepiq reads version {VERSION}",
        )
        findings.add(error, path)
    else:
        text, hint = _WORDS.get(kind, (detail["msg"][:1].lower() + detail["msg"][1:], ""))
        label = one_line(name, LONGEST_VALUE)
        findings.add(DescriptionError(f"{label} {text}", hint=hint), path)


_MAPPING = ("must have entries", "write NAME: VALUE, indented below it")
_WORDS = {
    "string_type": ("must be text", "put it in quotes"),
    "int_type": ("must be a whole number", ""),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "list_type": ("must be a list", ""),
}


def _remove(data: dict[str, Any], path: Path, failed: set[str]) -> None:
    """Remove the smallest part around an error without which the rest can be valid."""
    if path[0] == "topology":
        data["topology"] = {"on": []}  # the builder knows that emulated hosts are missing
        return
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
        # The other conditions keep their indices, which determine their positions in the file.
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
    """Return the JSON Schema, with the attributes and connections of resource types.

    Args:
        rtypes: the types; by default all registered ones, without those of ns-3's hundreds of
            types, which ``nepiq validate`` checks.
    """
    schema = Document.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    schema["properties"]["campaign"] = {
        "type": "object",
        "description": "The runs of a campaign over a space of parameters; see docs/campaigns.md.",
    }
    entry = schema["$defs"]["ResourceEntry"]
    del entry["additionalProperties"]
    names = list(registry.names(families=False) if rtypes is None else rtypes)
    entry["properties"]["type"]["examples"] = names
    for action in _STEPS:
        field = entry["properties"][action]
        one_or_more = [field["items"], {"type": "array", "items": field.pop("items")}]
        entry["properties"][action] = {**field, "anyOf": one_or_more}
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


# A parameter of a campaign may stand for a value of any kind.
_PLACE = r"\$\{\w+\}"
_KINDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _attribute(attribute: Attribute[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": attribute.help}
    if attribute.kind in _KINDS:
        schema["type"] = [_KINDS[attribute.kind], "null"]
        if attribute.kind is not str and attribute.allowed is None:
            schema["type"].append("string")
            schema["pattern"] = _PLACE
    if attribute.allowed is not None:
        schema.pop("type", None)
        schema["anyOf"] = [{"enum": [*attribute.allowed, None]}, {"pattern": _PLACE}]
    if attribute.range is not None:
        limits = zip(("minimum", "maximum"), attribute.range, strict=True)
        schema.update((name, limit) for name, limit in limits if limit is not None)
    if attribute.default is not None:
        schema["default"] = attribute.default
    return schema
