"""Names from NEPI that its scripts import, where nepiq uses other names."""

from __future__ import annotations

from types import MappingProxyType

from .model import registry
from .model.attributes import Flag
from .model.lifecycle import State
from .model.resource import ResourceManager

#: The names of the states.
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
    """NEPI's name for the registry of resource types."""

    @staticmethod
    def resource_types() -> list[str]:
        """Return the names of all registered types."""
        return registry.names()

    @staticmethod
    def get_resource_type(rtype: str) -> type[ResourceManager]:
        """Return the class of a type.

        Raises:
            UnknownType: the type is not registered.
        """
        return registry.find(rtype)

    @staticmethod
    def register_type(kind: type[ResourceManager]) -> None:
        """Register a class for its type; nepiq does so when the class is defined."""
        registry.register(kind)
