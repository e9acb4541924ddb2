"""The facts of a host: a script that prints them, and the reader of its output."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...controller.model.facts import Facts, Interface
from ..sessions.answers import whole
from ..sessions.session import Completed
from . import kernel_kinds

#: Notes the host's clock; to be run as early as possible.
CLOCK = "nepiq_clock=$(date +%s%N); "

_SCRIPT = f"""
for file in hostname ostype osrelease random/boot_id; do
    read -r line </proc/sys/kernel/$file; printf '%s\\n' "$line"
    [ $file != osrelease ] || release=$line
done
boot_id=$line
{{ read -r line </sys/devices/system/cpu/online; }} 2>/dev/null || line=$(nproc)
printf '%s\\n' "$line"
while read -r line uid _ && [ "$line" != Uid: ]; do :; done </proc/self/status
user=''
while IFS=: read -r name _ number _; do
    [ "$number" != "$uid" ] || {{ user=$name; break; }}
done 2>/dev/null </etc/passwd
[ -n "$user" ] || user=$(id -un)
printf '%s\\n' "$user" "$HOME"
os=''
while read -r line; do
    case $line in PRETTY_NAME=*) os=${{line#*=}} ;; esac
done 2>/dev/null </etc/os-release
printf '%s\\n' "$os"
{{ read -r line </proc/sys/kernel/arch; }} 2>/dev/null || line=$(uname -m)
printf '%s\\n' "$line"
read -r _ line _ </proc/meminfo; printf '%s\\n' "$line"
processor='' left=16
while [ $left != 0 ] && IFS=: read -r line name; do
    left=$((left - 1))
    case $line in 'model name'*) processor=${{name# }} left=0 ;; esac
done 2>/dev/null </proc/cpuinfo
printf '%s\\n' "$processor"
{{ read -r line </sys/devices/system/cpu/cpu0/cpufreq/scaling_governor; }} 2>/dev/null || line=''
printf '%s\\n' "$line"
PATH=$PATH:/usr/sbin:/sbin
ip address 2>/dev/null || {{
    for file in /sys/class/net/*; do
        read -r line <"$file/operstate"; printf '0: %s: <> state %s\\n' "${{file##*/}}" "$line"
        read -r line <"$file/address"; printf '    link/ether %s\\n' "$line"
    done
    cat /proc/net/fib_trie /proc/net/if_inet6
}} 2>/dev/null
{kernel_kinds.SCRIPT}
modules=/lib/modules/$release
{{ read -r known kinds <"$nepiq_base/kernel"; }} 2>/dev/null
case $kinds in *end) ;; *) known='' ;; esac
if [ "$known" != "$boot_id" ] || [ "$modules/modules.dep" -nt "$nepiq_base/kernel" ]; then
    found=$(kernel_kinds) kinds=''
    while read -r line; do kinds="$kinds$line;"; done <<END
$found
END
    kinds=${{kinds}}end
    printf '%s %s\\n' "$boot_id" "$kinds" >"$nepiq_base/kernel"
fi 2>/dev/null
printf '%s\\n' "@$kinds" "$nepiq_clock"
date +%s%N
"""


def script(base: str) -> str:
    """Return a script that prints what :func:`parse` reads, after :data:`CLOCK`.

    It needs no tool that a small system lacks: what is missing makes the facts unknown that
    depend on it. The kinds of the kernel are found once a boot, and when modules are installed.

    Args:
        base: the directory ``.nepiq``, quoted for a shell.
    """
    return f"nepiq_base={base}\n{_SCRIPT}"


_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_SCOPE_GLOBAL = "00"
# Most characters of a fact, as long as a path may be, most addresses, and most interfaces.
_LONGEST, _MOST_ADDRESSES, _MOST_INTERFACES = 4096, 1000, 100
_LINK = re.compile(
    r"\d+: ([^\s@:/]{1,15})(?:@\S+)?: <[^>]*>(?: mtu (\d{1,9}))?.*? state (\w{1,20})"
)
_MAC = re.compile(r"\s+link/\w+ ([0-9a-f:]{17})\b")
_ADDRESS = re.compile(r"\s+inet6? ([0-9a-f.:/]{3,49})\b")
_NANOSECONDS = re.compile(r"[0-9]{16,19}")


@dataclass(frozen=True)
class ClockOffset:
    """The offset of a host's clock from that of Redis, in seconds.

    Attributes:
        seconds: by how much the host is ahead; None if unknown.
        error: greatest error of that.
    """

    seconds: float | None = None
    error: float | None = None

    @classmethod
    def of(cls, done: Completed, ahead: float) -> ClockOffset:
        """Return the offset by a command that printed the host's clock at its beginning and end.

        The host read its clock after the command was sent and before its output was received,
        so the offset lies between two bounds.

        Args:
            done: the command; its last two lines are times in nanoseconds.
            ahead: seconds by which this machine's clock is ahead of that of Redis.
        """
        lines = done.stdout[-100:].decode("utf-8", "replace").split("\n")[-3:-1]
        if len(lines) != 2 or not all(map(_NANOSECONDS.fullmatch, lines)) or not done.sent:
            return cls()
        first, last = (int(line) / 1e9 for line in lines)
        most, least = first - done.sent, last - done.received
        if most < least:  # one of the two clocks was set meanwhile
            return cls()
        return cls(round((most + least) / 2 + ahead, 6), round((most - least) / 2, 6))


def parse(done: Completed, text: str, *, host_key: str = "", ahead: float = 0.0) -> Facts:
    """Read the output of :data:`SCRIPT`. Link-local addresses are left out with the loopback.

    Args:
        done: the command that ran it.
        text: what the script printed.
        host_key: the SSH host key of the host.
        ahead: seconds by which this machine's clock is ahead of that of Redis.

    Raises:
        ValueError: it is something else.
    """
    hostname, kernel, release, boot_id, cpus, user, home, os, arch, memory, *more = text.split("\n")
    processor, governor, *rest = more
    facts = (hostname, kernel, release, boot_id, user, home, os, arch, processor, governor)
    if max(map(len, facts)) > _LONGEST or not boot_id or not home.startswith("/"):
        raise ValueError("these are no facts of a host")
    end = next((number for number, line in enumerate(rest) if line.startswith("@")), None)
    if end is None:
        raise ValueError("the facts are not complete")
    network, kinds = rest[:end], rest[end][1:].split(";")
    interfaces = _interfaces(network)
    found = kernel_kinds.parse(kinds)
    offset = ClockOffset.of(done, ahead)
    return Facts(
        hostname=hostname,
        system=f"{kernel} {release}",
        cpus=_processors(cpus),
        boot_id=boot_id,
        home=home,
        user=user,
        addresses=_addresses(network, interfaces),
        os=_unquoted(os),
        host_key=host_key,
        kernel=release,
        arch=arch,
        memory=whole(memory) * 1024,
        interfaces=interfaces,
        qdiscs=found.qdiscs,
        link_kinds=found.links,
        clock_offset=offset.seconds,
        clock_error=offset.error,
        processor=processor,
        governor=governor,
    )


def _processors(text: str) -> int:
    """Return the number of processors in a list such as ``0-3,8``, or in a plain number."""
    if text.isdecimal() and text != "0":
        return whole(text)
    count = 0
    for part in text[:_LONGEST].split(","):
        first, _, last = part.partition("-")
        count += max(0, whole(last or first) - whole(first) + 1)
    return count


def _unquoted(text: str) -> str:
    """Return a value of os-release(5), whose quotes are those of a shell."""
    try:
        return " ".join(shlex.split(text))
    except ValueError:
        return text


def _addresses(network: list[str], interfaces: Mapping[str, Interface]) -> tuple[str, ...]:
    """Return the addresses of interfaces, or those in the tables of the kernel."""
    texts = [text.partition("/")[0] for it in interfaces.values() for text in it.addresses]
    texts += _LOCAL.findall("\n".join(network))
    for line in network:
        words = line.split()
        if len(words) == 6 and len(words[0]) == 32 and words[3] == _SCOPE_GLOBAL:
            texts.append(":".join(words[0][start : start + 4] for start in range(0, 32, 4)))
    addresses = (ipaddress.ip_address(text) for text in texts[: 2 * _MOST_ADDRESSES])
    usable = (str(it) for it in addresses if not (it.is_loopback or it.is_link_local))
    return tuple(dict.fromkeys(usable))[:_MOST_ADDRESSES]


def _interfaces(lines: Iterable[str]) -> dict[str, Interface]:
    """Read the output of ``ip address``, of iproute2 or busybox."""
    found: dict[str, tuple[str, int | None, list[str], list[str]]] = {}
    current: tuple[str, int | None, list[str], list[str]] | None = None
    for line in lines:
        link = _LINK.match(line)
        if link is not None:
            if len(found) == _MOST_INTERFACES:
                break
            mtu = int(link[2]) if link[2] else None
            current = found[link[1]] = (link[3].lower(), mtu, [], [])
        elif current is not None:
            for pattern, values in ((_MAC, current[2]), (_ADDRESS, current[3])):
                match = pattern.match(line)
                if match is not None and len(values) < _MOST_ADDRESSES:
                    values.append(match[1])
    return {
        name: Interface(state, macs[0] if macs else "", mtu, tuple(addresses))
        for name, (state, mtu, macs, addresses) in found.items()
    }
