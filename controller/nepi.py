"""Names that NEPI's scripts import, for what nepiq calls otherwise."""

from __future__ import annotations

from types import MappingProxyType

from .model import registry
from .model.attributes import Flag
from .model.lifecycle import State
from .model.resource import ResourceManager

#: The name of each state.
ResourceState2str = MappingProxyType({state: state.name for state in State})


class Types:
    """NEPI's names for the kinds of attributes."""

    String = STRING = str
    Bool = BOOL = bool
    Enumerate = ENUM = str
    Double = DOUBLE = float
    Integer = INTEGER = int


class Flags:
    """NEPI's names for the flags of attributes."""

    NoRead = Flag.NO_READ
    NoWrite = Flag.NO_WRITE
    Design = Flag.DESIGN
    Construct = Flag.CONSTRUCT
    Credential = Flag.CREDENTIAL
    Filter = Flag.FILTER
    Reserved = Flag.RESERVED
    Global = Flag.GLOBAL


class ResourceFactory:
    """NEPI's name for what knows the types of resources."""

    @staticmethod
    def resource_types() -> list[str]:
        """The names of all types that are known here."""
        return registry.names()

    @staticmethod
    def get_resource_type(rtype: str) -> type[ResourceManager]:
        """The class of a type.

        Raises:
            UnknownType: there is none.
        """
        return registry.find(rtype)

    @staticmethod
    def register_type(kind: type[ResourceManager]) -> None:
        """Make a class the manager of its type, which defining it has done already."""
        registry.register(kind)
