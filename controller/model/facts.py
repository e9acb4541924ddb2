"""The facts that a host reports of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Interface:
    """A network interface of a host.

    Attributes:
        state: ``up``, ``down``, ``lowerlayerdown`` and the like, as ip-link(8) names it;
            ``unknown`` for a driver that does not report it.
        mac: its hardware address; empty if it has none.
        mtu: its MTU in bytes; None if unknown.
        addresses: its IP addresses with the length of the prefix, as ``10.0.0.1/24``.
    """

    state: str
    mac: str = ""
    mtu: int | None = None
    addresses: Sequence[str] = ()


@dataclass(frozen=True)
class Facts:
    """The facts that a host reports of itself.

    Attributes:
        hostname: its host name.
        system: kernel name and release, e.g. ``Linux 6.1.0``.
        cpus: processors online.
        boot_id: changes at every boot (``/proc/sys/kernel/random/boot_id``, random(4)).
        home: absolute path of the login user's home directory.
        user: the login user.
        addresses: its IP addresses without loopback.
        os: the name of its operating system (os-release(5), PRETTY_NAME); empty if unknown.
        host_key: its verified SSH host key, as ``ssh-ed25519 AAAA...``; empty for the worker
            machine itself.
        kernel: the release of its kernel, e.g. ``6.1.0``.
        arch: its architecture, as uname(1) names it, e.g. ``x86_64``.
        memory: its memory in bytes.
        interfaces: its network interfaces by name, loopback included, at most 100.
        qdiscs: the queueing disciplines that its kernel has, as tc(8) names them; None if that
            is unknown.
        link_kinds: the kinds of links that its kernel can make, as ip-link(8) names them; None
            if that is unknown.
        clock_offset: seconds by which its clock is ahead of that of Redis; None if unknown.
        clock_error: greatest error of ``clock_offset`` in seconds.
        processor: the model of its first processor; empty if unknown.
        governor: the frequency governor of its first processor, such as ``performance``
            (cpufreq in sysfs); empty if it has none.
    """

    hostname: str
    system: str
    cpus: int
    boot_id: str
    home: str
    user: str
    addresses: Sequence[str] = ()
    os: str = ""
    host_key: str = ""
    kernel: str = ""
    arch: str = ""
    memory: int = 0
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    qdiscs: Sequence[str] | None = None
    link_kinds: Sequence[str] | None = None
    clock_offset: float | None = None
    clock_error: float | None = None
    processor: str = ""
    governor: str = ""
