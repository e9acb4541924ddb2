"""The kinds of queueing disciplines and links that the kernel of a host has.

They are read from what the host has installed, so that nothing is loaded or made: the modules in
``/lib/modules`` and ``/proc/modules``, or else the kernel's configuration. Only where neither can
be read, as in a container, does root try each kind in a network namespace of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class _Link(NamedTuple):
    """A driver of links.

    Attributes:
        option: its option in the kernel's configuration, without CONFIG_.
        module: the name of its module.
        kinds: the kinds of links that it provides, as ip-link(8) names them.
    """

    option: str
    module: str
    kinds: str


_LINKS = (
    _Link("BATMAN_ADV", "batman_adv", "batadv"),
    _Link("BONDING", "bonding", "bond"),
    _Link("BRIDGE", "bridge", "bridge"),
    _Link("CAN_VCAN", "vcan", "vcan"),
    _Link("DUMMY", "dummy", "dummy"),
    _Link("GENEVE", "geneve", "geneve"),
    _Link("GTP", "gtp", "gtp"),
    _Link("HSR", "hsr", "hsr"),
    _Link("IFB", "ifb", "ifb"),
    _Link("IPV6_GRE", "ip6_gre", "ip6gre ip6gretap"),
    _Link("IPV6_SIT", "sit", "sit"),
    _Link("IPV6_TUNNEL", "ip6_tunnel", "ip6tnl"),
    _Link("IPVLAN", "ipvlan", "ipvlan"),
    _Link("MACSEC", "macsec", "macsec"),
    _Link("MACVLAN", "macvlan", "macvlan"),
    _Link("MACVTAP", "macvtap", "macvtap"),
    _Link("NETDEVSIM", "netdevsim", "netdevsim"),
    _Link("NETKIT", "netkit", "netkit"),
    _Link("NET_IPGRE", "ip_gre", "gre gretap"),
    _Link("NET_IPIP", "ipip", "ipip"),
    _Link("NET_TEAM", "team", "team"),
    _Link("NET_VRF", "vrf", "vrf"),
    _Link("NLMON", "nlmon", "nlmon"),
    _Link("TUN", "tun", "tun"),
    _Link("VETH", "veth", "veth"),
    _Link("VLAN_8021Q", "8021q", "vlan"),
    _Link("VXLAN", "vxlan", "vxlan"),
    _Link("WIREGUARD", "wireguard", "wireguard"),
    _Link("XFRM_INTERFACE", "xfrm_interface", "xfrm"),
)
_BY_OPTION = {link.option: link.kinds.split() for link in _LINKS}
_BY_MODULE = {link.module: link.kinds.split() for link in _LINKS}

_PLAIN = (
    "cake cbs codel drr etf fq fq_codel fq_pie hfsc hhf htb ingress mqprio multiq netem pie plug "
    "prio qfq sfb sfq skbprio taprio"
)
#: Queueing disciplines that are tried, each with what tc(8) demands before it asks the kernel.
#: A kernel may have others.
QDISCS: Mapping[str, str] = {
    **dict.fromkeys(_PLAIN.split(), ""),
    "choke": "limit 1000 bandwidth 10mbit",
    "ets": "bands 3",
    "gred": "setup DPs 4 default 0",
    "red": "limit 400000 min 30000 max 90000 avpkt 1000 burst 55 bandwidth 1mbit",
    "tbf": "rate 1mbit burst 10k latency 10ms",
}
#: Those of every kernel with traffic control.
_ALWAYS = ("bfifo", "mq", "noqueue", "pfifo", "pfifo_fast")
#: What belongs to none, or to two, of the names of modules and options.
_OTHER_QDISCS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "fifo": (),
    "ingress": ("clsact", "ingress"),
    "mqprio_lib": (),
}

_MODULES = "|".join(["sch_[a-z0-9_]+", *(link.module.replace("_", "[_-]") for link in _LINKS)])
_OPTIONS = "|".join(["NET_SCHED", "NET_SCH_[A-Z0-9_]+", *(link.option for link in _LINKS)])
_TRIED_QDISCS = "".join(f"qdisc replace dev lo root {kind} {it}\n" for kind, it in QDISCS.items())
#: Kinds of links that are known here, by their drivers.
LINK_KINDS = [kind for link in _LINKS for kind in link.kinds.split()]
_TRIED_LINKS = "".join(
    f"link add nepiq{number} type {kind}\n" for number, kind in enumerate(LINK_KINDS)
)

#: Defines a function of the shell that prints what :func:`parse` reads. It expects ``$modules``,
#: the directory of the kernel's modules, ``$release`` and ``$user``.
SCRIPT = f"""
kernel_kinds() {{
config=/boot/config-$release
if [ -r "$modules/modules.builtin" ]; then
    echo modules
    grep -hsoE '^([^:]*/)?({_MODULES})(\\.ko| )' \\
        /proc/modules "$modules/modules.builtin" "$modules/modules.dep"
elif [ -s /proc/config.gz ] || [ -r "$config" ]; then
    echo configuration
    {{ cat "$config" 2>/dev/null || gzip -cd /proc/config.gz; }} |
        grep -oE '^CONFIG_({_OPTIONS})=y'
    grep -hsoE '^({_MODULES}) ' /proc/modules
elif [ "$user" = root ]; then
    echo tried
    unshare -n sh 2>/dev/null <<'END'
ip link set lo up && echo qdiscs && tc -force -batch - 2>&1 <<'IN'
{_TRIED_QDISCS}IN
echo links && ip -force -batch - 2>&1 <<'IN'
{_TRIED_LINKS}IN
echo end
END
fi
}}
"""

# A host that reports more of them is not believed.
_MOST = 200
_MODULE = re.compile(r"(?:[^:]*/)?([\w-]{1,40})(?:\.ko| )$", re.ASCII)
_OPTION = re.compile(r"CONFIG_(\w{1,40})=y", re.ASCII)
_FAILED = re.compile(r"Command failed -:(\d{1,4})")
#: Messages of kernels without the kind, of newer and older ones.
UNKNOWN_KIND = re.compile(
    r"kind is unknown|Unknown device type|No such file or directory|Operation not supported"
)


class Kinds(NamedTuple):
    """The kinds that a kernel has, each None if the host does not reveal them.

    Attributes:
        qdiscs: queueing disciplines, as tc(8) names them, sorted.
        links: kinds of links, as ip-link(8) names them, sorted.
    """

    qdiscs: tuple[str, ...] | None = None
    links: tuple[str, ...] | None = None


def parse(lines: Iterable[str]) -> Kinds:
    """Return the kinds in the output of :data:`SCRIPT`; of other text, that they are unknown."""
    source, *evidence = [*lines] or [""]
    if source == "modules":
        return _of_modules(evidence)
    if source == "configuration":
        return _of_configuration(evidence)
    return _of_trial(evidence) if source == "tried" else Kinds()


def _of_modules(evidence: Iterable[str]) -> Kinds:
    names = {match[1].replace("-", "_") for line in evidence if (match := _MODULE.match(line))}
    qdiscs = (name.removeprefix("sch_") for name in names if name.startswith("sch_"))
    return _kinds(qdiscs, (_BY_MODULE.get(name, []) for name in names))


def _of_configuration(evidence: list[str]) -> Kinds:
    options = {match[1] for line in evidence if (match := _OPTION.match(line))}
    if not options:
        return Kinds()
    loaded = _of_modules(line for line in evidence if not line.startswith("CONFIG_"))
    prefix = "NET_SCH_"
    qdiscs = (name.removeprefix(prefix).lower() for name in options if name.startswith(prefix))
    links = [*(_BY_OPTION.get(name, []) for name in options), loaded.links or ()]
    if "NET_SCHED" not in options:
        return Kinds((), _kinds((), links).links)
    return _kinds([*qdiscs, *(loaded.qdiscs or ())], links)


def _of_trial(evidence: list[str]) -> Kinds:
    """Return the kinds that root could use, if both trials ran to their end."""
    try:
        at, end = evidence.index("links"), evidence.index("end")
    except ValueError:
        return Kinds()
    qdiscs = _not_unknown(evidence[1:at], QDISCS)
    links = _not_unknown(evidence[at + 1 : end], LINK_KINDS)
    return _kinds(qdiscs, [links])


def _not_unknown(messages: Iterable[str], kinds: Iterable[str]) -> list[str]:
    absent: set[int] = set()
    unknown = False
    for line in messages:
        failed = _FAILED.match(line)
        if failed is None:
            unknown = unknown or UNKNOWN_KIND.search(line) is not None
            continue
        if unknown:
            absent.add(int(failed[1]))
        unknown = False
    return [kind for number, kind in enumerate(kinds, 1) if number not in absent]


def _kinds(qdiscs: Iterable[str], links: Iterable[Iterable[str]]) -> Kinds:
    found = {*_ALWAYS}
    for name in qdiscs:
        found.update(_OTHER_QDISCS.get(name, (name,)))
    all_links = {kind for some in links for kind in some}
    return Kinds(tuple(sorted(found)[:_MOST]), tuple(sorted(all_links)))
