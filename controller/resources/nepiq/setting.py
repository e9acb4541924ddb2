"""nepiq::Set: sets an attribute of other resources at some moment of a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model import (
    ANY,
    Action,
    Attribute,
    Connection,
    Context,
    Exit,
    Flag,
    Launch,
    ResourceManager,
)


class AnyValue:
    """A value of any attribute: a number, text, a truth value, a list or a mapping.

    Attributes:
        given: the value, as users write it.
    """

    def __init__(self, given: Any) -> None:
        self.given = given

    @classmethod
    def parse(cls, value: Any) -> AnyValue:
        """Return the value as it is; the attribute that it is for checks it."""
        return cls(value)


class Set(ResourceManager, rtype="nepiq::Set"):
    """A change of an attribute of other resources, which it requests when it is started.

    Conditions of its start say when. It is FINISHED once the changes are requested, and FAILED if a
    resource refuses. It is ``ec.set_with_conditions`` as a resource, so that descriptions in files
    have it too.
    """

    deadlines: ClassVar[Mapping[Action, float]] = {Action.START: 600.0}

    name = Attribute(str, help="The attribute to set.", flags=Flag.DESIGN, required=True)
    value = Attribute(AnyValue, help="Its new value.", flags=Flag.DESIGN, required=True)

    resources = Connection(
        ANY, required=True, many=True, waits=False, help="The resources that have the attribute."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that its targets have the attribute, and that it may have the value.

        Raises:
            InvalidValue: one of them has not, or the value is not one of the attribute.
            NotAllowed: it cannot be changed after the deployment.
        """
        del conditional
        for target in self.resources:
            attribute = target.attributes.get(self.name)
            if attribute is None:
                raise InvalidValue(
                    f"{target.label} has no attribute {quoted(self.name)}", where=self.label
                )
            attribute.check_writable(target.label, deployed=True)
            attribute.check(self.value.given, target.rtype)

    def do_start(self, context: Context) -> Launch:
        """Request the changes."""
        for target in self.resources:
            args = [target.guid, self.name, self.value.given]
            context.call(json.dumps({"method": "set", "args": args, "kwargs": {}}))
        return Launch(exit=Exit(0, "FINISHED"))
