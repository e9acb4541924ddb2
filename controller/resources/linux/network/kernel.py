"""What networks need of a host: kinds of links in its kernel, and programs."""

from __future__ import annotations

from ....errors import HostError
from ....model import Context, Facts

#: The module of a kind of links, as ip-link(8) names it, where its name differs.
_MODULES = {
    "gre": "ip_gre",
    "gretap": "ip_gre",
    "ip6gre": "ip6_gre",
    "ip6gretap": "ip6_gre",
    "ip6tnl": "ip6_tunnel",
    "vlan": "8021q",
    "xfrm": "xfrm_interface",
}


def module_of(kind: str) -> str:
    """Return the name of the kernel's module for a kind of links."""
    return _MODULES.get(kind, kind)


def require_link_kind(facts: Facts, kind: str) -> None:
    """Raise an error if the kernel of a host has no links of a kind.

    Args:
        facts: of the host. If it does not reveal its kinds, they are not checked.
        kind: as ip-link(8) names it.

    Raises:
        HostError: it has none.
    """
    if facts.link_kinds is None or kind in facts.link_kinds:
        return
    raise HostError(
        f"the kernel of {facts.hostname} has no links of kind {kind}",
        hint=f"load its module as root: modprobe {module_of(kind)} "
        "(package linux-modules-extra or linux-image of the distribution)",
    )


def require_program(context: Context, program: str, package: str) -> None:
    """Raise an error if a host lacks a program.

    Raises:
        HostError: it does; the hint names the package.
    """
    if context.host.lacks(program):
        raise HostError(
            f"{context.host.facts.hostname} lacks the program {program}",
            hint=f"install the package {package} on that host",
        )
