"""Installation of the packages that an application depends on."""

from __future__ import annotations

import re
from typing import Any

from ...errors import CommandError, HostError, InvalidValue
from ...errors.text import last_lines
from ...model import Context

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:-]*", re.ASCII)

# Prints the package manager, and which of the arguments are not installed. A virtual package counts
# as installed (netcat, provided by netcat-openbsd); a removed package whose configuration remains
# does not, although dpkg -s lists it.
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

# apt-get exits with 100 if a package is not in its lists, which may be missing or outdated.
_INSTALL = {
    "apt-get": (
        "install='apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install'; "
        "$install {0} || {{ apt-get -q update && $install {0}; }}"
    ),
    "dnf": "dnf -q -y install {0}",
    "yum": "yum -q -y install {0}",
}


class Packages(tuple[str, ...]):
    """Names of packages, separated by blanks, commas or semicolons, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Packages:
        """Return names in the form of package managers, which cannot be taken for options."""
        names = re.split(r"[,;\s]+", value) if isinstance(value, str) else value
        if not isinstance(names, list) or not all(map(_acceptable, names)):
            raise InvalidValue('must be names of packages, as "iperf3 netcat-openbsd"')
        return cls(dict.fromkeys(name for name in names if name))


def _acceptable(name: object) -> bool:
    return isinstance(name, str) and (not name or _NAME.fullmatch(name) is not None)


def install(context: Context, packages: Packages) -> None:
    """Install the packages that are missing on the host, as root.

    One command checks them; a second one, by apt-get, dnf or yum, runs only if some are missing.

    Raises:
        HostError: they cannot be installed, or the host has no supported package manager.
    """
    check = f"set -- {' '.join(packages)}\n{_MISSING}"
    manager, *missing = context.host.run(check, mutates=False).text.split() or [""]
    if manager == "none":
        raise HostError(
            f"cannot check that {' '.join(packages)} is installed: neither apt-get nor rpm found",
            hint="install it by hand and remove it from depends",
        )
    if not missing:
        return
    names = " ".join(missing)
    context.log.info("installing %s with %s", names, manager)
    command = _INSTALL[manager].format(names)
    try:
        context.host.run(command, env={"DEBIAN_FRONTEND": "noninteractive"}, cwd="/", sudo=True)
    except CommandError as error:
        output = last_lines(error.stderr)
        raise HostError(
            f"{manager} cannot install {names} (exit code {error.code}): {output}",
            hint="install it on the host by hand, or correct depends",
        ) from error
