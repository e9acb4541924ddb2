"""Limits of a command's processors and memory, kept by control groups (cgroups(7))."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ...errors import CommandError, HostError, InvalidValue
from ...errors.text import last_lines
from ...model import Attribute, Context, Flag
from .lifetime import Lifetime

_PAGE = 4096
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_MOST_CPUS = 4096
_LONGEST = 100_000  # Linux limits one argument to 128 kB (execve(2))

_HINT = (
    "use a host where the login user is root or has a user manager of systemd with these "
    "controllers, set sudo=True, or leave cpus and memory out"
)

# In version 2 a group that has processes can give its children no controllers, so the new group is
# made beside that of the shell, or at the top. In version 1 it is made below. A group without
# processes may go at any time, for another start removes what others have left. Swap is
# not used beyond a limit of memory, where the kernel counts it.
_GROUPS = r"""
nepiq_enter() {
    rmdir "$1"/nepiq-* 2>/dev/null
    for nepiq_try in 1 2 3; do
        { [ -d "$1/$nepiq_group" ] || mkdir "$1/$nepiq_group"; } &&
            echo "$3" >"$1/$nepiq_group/$2" &&
            { [ ! -e "$1/$nepiq_group/$4" ] || echo "$5" >"$1/$nepiq_group/$4"; } &&
            echo 0 >"$1/$nepiq_group/cgroup.procs" && return
    done
}
nepiq_limit() {
    for nepiq_top in "$nepiq_root" "$nepiq_root/unified"; do
        grep -qsw "$1" "$nepiq_top/cgroup.controllers" || continue
        nepiq_own=$(sed -n 's/^0:://p' /proc/self/cgroup)
        for nepiq_place in "$nepiq_top${nepiq_own%/*}" "$nepiq_top"; do
            grep -qsw "$1" "$nepiq_place/cgroup.subtree_control" ||
                echo "+$1" >"$nepiq_place/cgroup.subtree_control" || continue
            nepiq_enter "$nepiq_place" "$2" "$3" "$6" 0 && return
        done
        return 1
    done
    nepiq_own=$(sed -n "s/^[0-9]*:\([^:]*,\)*$1\(,[^:]*\)*://p" /proc/self/cgroup)
    nepiq_place=$nepiq_root/$1
    [ ! -d "$nepiq_place$nepiq_own" ] || nepiq_place=$nepiq_place${nepiq_own%/}
    nepiq_enter "$nepiq_place" "$4" "$5" "$7" "$5"
}
nepiq_leave() {
    find "$nepiq_root" -depth -type d -name "nepiq-$1" -exec rmdir {} + 2>/dev/null
    :
}
"""


class Size(int):
    """A number of bytes, written as ``512M`` or ``1.5G`` (powers of 1024), in whole pages."""

    @classmethod
    def parse(cls, value: Any) -> Size:
        """Return the bytes of a text or number."""
        match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) else None
        size = int(float(match[1]) * _UNITS[match[2].upper()]) // _PAGE * _PAGE if match else 0
        if isinstance(value, bool) or size < _PAGE or size >= 1 << 60:
            raise InvalidValue("must be a size in bytes", hint="write, for example, 512M or 2G")
        return cls(size)


class Limited(Lifetime):
    """The limits of a type that launches one command.

    They are kept by a scope of systemd, or else by a cgroup of version 2 or 1 that is made
    directly. A host or login where neither is possible is an error of the deployment: a limit is
    never left out silently.
    """

    cpus = Attribute(
        float,
        help="Greatest share of processors, such as 1.5 (a quota, not an affinity).",
        range=(0.01, _MOST_CPUS),
        flags=Flag.DESIGN,
    )
    memory = Attribute(
        Size,
        help="Greatest memory, such as 512M; the kernel kills processes when more is needed.",
        flags=Flag.DESIGN,
    )
    limiter = Attribute(
        str,
        help="The means by which the host keeps the limits: cgroup or a command of systemd.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )

    #: Where the control groups are mounted.
    cgroups = "/sys/fs/cgroup"

    def check_limits(self, context: Context, *, sudo: bool) -> None:
        """Find how the host can keep the limits, by keeping them for a moment.

        Raises:
            HostError: it cannot.
        """
        if self.cpus is None and self.memory is None:
            return
        check = (
            f"for how in 'systemd-run' 'systemd-run --user'; do\n"
            f"$how --scope -q {self._properties} sh -c {shlex.quote(self._verify)} "
            f'2>/dev/null && echo "$how --scope" && exit\ndone\n{self._group}'
            f'({self._limit}) && nepiq_leave "$NEPIQ_ID" && echo cgroup'
        )
        try:
            found = context.host.run(f"{_USER_BUS}{check}", cwd="/", sudo=sudo)
        except CommandError as error:
            limits = " and ".join(
                name for name in ("cpus", "memory") if getattr(self, name) is not None
            )
            raise HostError(
                f"this host cannot limit {limits}: {last_lines(error.stderr, 1) or 'no cgroups'}",
                hint=_HINT,
            ) from error
        self.limiter = found.text

    def limited(self, command: str) -> str:
        """Return a command that keeps the limits.

        Args:
            command: text for sh.

        Raises:
            InvalidValue: the command is too long for an argument.
        """
        if not self.limiter:
            return command
        if self.limiter == "cgroup":
            refusal = "echo 'nepiq: this host no longer keeps cpus and memory' >&2; exit 1"
            return f"{self._group}{self._limit} || {{ {refusal}; }}\n{command}"
        argument = shlex.quote(command)
        if len(argument.encode("utf-8", "surrogateescape")) > _LONGEST:
            raise InvalidValue(
                f"a command of over {_LONGEST} bytes cannot be limited",
                hint="upload it to the host as a file, by ec.upload, and run that",
            )
        return f"{_USER_BUS}exec {self.limiter} -q {self._properties} sh -c {argument}"

    def remove_limits(self, context: Context, *, sudo: bool) -> None:
        """Remove the control groups of the resource, which have no processes any more."""
        if self.limiter == "cgroup":
            group = f'{self._group}nepiq_leave "$NEPIQ_ID.*"'
            context.host.run(group, cwd="/", sudo=sudo)

    @property
    def _properties(self) -> str:
        """Options of systemd-run(1); see systemd.resource-control(5)."""
        words = [] if self.cpus is None else [f"-p CPUQuota={self._quota / 1000:g}%"]
        if self.memory is not None:
            words.append(f"-p MemoryMax={self.memory} -p MemorySwapMax=0")
        return " ".join(words)

    @property
    def _quota(self) -> int:
        """Microseconds of processor time in 0.1 s; the kernel accepts no less than 1000."""
        return max(1000, round((self.cpus or 0.0) * 100_000))

    @property
    def _verify(self) -> str:
        """Shell that succeeds if it runs within the limits; systemd may ignore some of them."""
        lines = [f"d={self.cgroups}$(sed -n 's/^0:://p' /proc/self/cgroup)"]
        if self.cpus is not None:
            lines.append(f'[ "$(cat "$d/cpu.max")" = "{self._quota} 100000" ]')
        if self.memory is not None:
            lines.append(f'[ "$(cat "$d/memory.max")" = {self.memory} ]')
        return " && ".join(lines)

    @property
    def _group(self) -> str:
        return f'nepiq_root={self.cgroups} nepiq_group="nepiq-$NEPIQ_ID"{_GROUPS}'

    @property
    def _limit(self) -> str:
        quota = f"'{self._quota} 100000' cpu.cfs_quota_us {self._quota} - -"
        words = [] if self.cpus is None else [f"nepiq_limit cpu cpu.max {quota}"]
        if self.memory is not None:
            size = f"{self.memory} memory.limit_in_bytes {self.memory}"
            size += " memory.swap.max memory.memsw.limit_in_bytes"
            words.append(f"nepiq_limit memory memory.max {size}")
        return " && ".join(words)


_USER_BUS = 'export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"\n'
