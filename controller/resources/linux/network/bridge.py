"""linux::Bridge: an Ethernet switch in the kernel of a host."""

from __future__ import annotations

from ....model import Attribute, Context, Flag
from .device import Device


class Bridge(Device, rtype="linux::Bridge", aliases=("LinuxBridge",)):
    """An Ethernet switch in the kernel: frames are forwarded between its ports.

    After ip-link(8), "BRIDGE Type Support".
    """

    stp = Attribute(
        bool, False, help="Whether it speaks the spanning tree protocol.", flags=Flag.DESIGN
    )

    def kind(self, context: Context) -> str:
        """Return the kind with its options."""
        del context
        return f"bridge stp_state {int(self.stp)}"
