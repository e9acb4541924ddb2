"""The packages that an application depends on, installed where they are missing."""

from __future__ import annotations

import re
from typing import Any

from ...errors import CommandError, HostError, InvalidValue
from ...errors.text import last_lines
from ...model import Context

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:-]*", re.ASCII)

# Prints the package manager, and which of its arguments it misses. What another package provides
# is there (netcat, of netcat-openbsd); what was removed but for its configuration is not, though
# dpkg -s knows it.
_MISSING = r"""
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    manager=apt-get
    have() {
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ||
            dpkg-query -W -f '${db:Status-Status} ${Provides}\n' |
            sed -n 's/^installed //p' | tr -s ', ' '\n' | grep -qxF -e "$1"
    }
elif command -v rpm >/dev/null; then
    manager=dnf
    command -v dnf >/dev/null || manager=yum
    have() { rpm -q --whatprovides "$1" >/dev/null 2>&1; }
else
    echo none
    exit
fi
echo "$manager"
for package; do have "$package" || echo "$package"; done
"""

# apt-get tells of a package that is not in its lists, which may be missing or old, by code 100.
_INSTALL = {
    "apt-get": (
        "install='apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install'; "
        "$install {0} || {{ apt-get -q update && $install {0}; }}"
    ),
    "dnf": "dnf -q -y install {0}",
    "yum": "yum -q -y install {0}",
}


class Packages(tuple[str, ...]):
    """Names of packages, with blanks or commas between, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Packages:
        """Accept names as package managers have them, and nothing that they take as an option."""
        names = re.split(r"[,;\s]+", value) if isinstance(value, str) else value
        if not isinstance(names, list) or not all(map(_acceptable, names)):
            raise InvalidValue('must be names of packages, as "iperf3 netcat-openbsd"')
        return cls(dict.fromkeys(name for name in names if name))


def _acceptable(name: object) -> bool:
    return isinstance(name, str) and (not name or _NAME.fullmatch(name) is not None)


def install(context: Context, packages: Packages) -> None:
    """Install those of the packages that the host lacks, as root.

    One command looks; only if something is missing, another installs it, by apt-get, dnf or yum.

    Raises:
        HostError: they cannot be installed, or the host has no package manager that is known.
    """
    asked = f"set -- {' '.join(packages)}\n{_MISSING}"
    manager, *missing = context.host.run(asked, mutates=False).text.split() or [""]
    if manager == "none":
        raise HostError(
            f"there is neither apt-get nor rpm to tell whether {' '.join(packages)} is installed",
            hint="install it by hand and take it out of depends",
        )
    if not missing:
        return
    names = " ".join(missing)
    context.log.info("installing %s with %s", names, manager)
    command = _INSTALL[manager].format(names)
    try:
        context.host.run(command, env={"DEBIAN_FRONTEND": "noninteractive"}, cwd="/", sudo=True)
    except CommandError as error:
        said = last_lines(error.stderr)
        raise HostError(
            f"{manager} cannot install {names} (exit code {error.code}): {said}",
            hint="install it on the host by hand, or correct depends",
        ) from error
