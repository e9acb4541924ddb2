"""Collector: outputs that are brought to the machine of the script when its run is released."""
# ruff: noqa: N815 - attributes bear the names that NEPI's scripts use

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
    """Names an output of the resources that it is connected with.

    The client that releases the run writes each into its ``run_dir``, as ``<guid>.<name>``:
    what a release removes from its host before that, all else after it, so that it is complete.
    """

    does_io = False

    traceName = Attribute(
        RelativePath,
        required=True,
        help="The trace, or a file of the run directories.",
        flags=Flag.DESIGN,
    )
    subDir = Attribute(
        RelativePath, "", help="A directory in the run_dir to write into.", flags=Flag.DESIGN
    )
    rename = Attribute(
        RelativePath, help="The name to give it, traceName if not given.", flags=Flag.DESIGN
    )

    resources = Connection(ANY, many=True, help="Whose outputs are collected.")

    def do_start(self, context: Context) -> Launch:
        """Nothing: it is FINISHED, so that nobody waits for it."""
        return Launch(exit=Exit(0, "FINISHED"))
