"""What the kernel of a host must have for a network: checked before anything is made."""

from __future__ import annotations

from ....errors import HostError
from ....model import Facts

#: Modules whose name is not the kind of link that they provide.
_MODULES = {
    "gre": "ip_gre",
    "gretap": "ip_gre",
    "ip6gre": "ip6_gre",
    "ip6gretap": "ip6_gre",
    "ip6tnl": "ip6_tunnel",
    "vlan": "8021q",
}


def require_link_kind(facts: Facts, kind: str) -> None:
    """Refuse a host whose kernel cannot make links of a kind; pass one that does not reveal it.

    Args:
        facts: of the host.
        kind: as ip-link(8) names it.

    Raises:
        HostError: it names the module to load.
    """
    if facts.link_kinds is None or kind in facts.link_kinds:
        return
    module = _MODULES.get(kind, kind)
    raise HostError(
        f"the kernel of {facts.hostname} has no links of kind {kind}",
        hint=f"load its module as root: modprobe {module} "
        "(package linux-modules-extra or linux-image of the distribution)",
    )
