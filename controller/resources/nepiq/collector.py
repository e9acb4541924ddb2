"""Collector: outputs that are copied to the client's machine when the run is released."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

from ...model import (
    ANY,
    Attribute,
    Connection,
    Context,
    Exit,
    Flag,
    Launch,
    RelativePath,
    ResourceManager,
)


class Collector(ResourceManager, rtype="nepiq::Collector", aliases=("Collector",)):
    """An output to collect from the connected resources.

    The client that releases the run writes each output into its ``run_dir``, as
    ``<guid>.<name>``: outputs that the release removes from their host before the release, all
    others after it, so that they are complete.
    """

    does_io = False

    traceName = Attribute(
        RelativePath,
        required=True,
        help="The trace, or the path of a file in the run directories.",
        flags=Flag.DESIGN,
    )
    subDir = Attribute(
        RelativePath, "", help="Directory in run_dir for the files.", flags=Flag.DESIGN
    )
    rename = Attribute(
        RelativePath, help="Name of the files; traceName by default.", flags=Flag.DESIGN
    )

    resources = Connection(ANY, many=True, help="The resources to collect from.")

    def do_start(self, context: Context) -> Launch:
        """Return the FINISHED state at once, so that waits for the end do not block."""
        return Launch(exit=Exit(0, "FINISHED"))
