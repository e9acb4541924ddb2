"""Units as systemd starts them, as far as namespaces and setpriv(1) can do what they say."""

from __future__ import annotations

from pathlib import Path

from .accounts import Account
from .container import Container, Program
from .files import assigned, unit, unit_command
from .tree import Tree

_HIDDEN = ("/home", "/root", "/run/user")


def of_unit(path: Path, machine: Tree, log: Path, instance: str = "default") -> Container:
    """What a unit starts, with the files and rights that it says.

    Of its hardening this carries out User, NoNewPrivileges, ProtectSystem=strict, ProtectHome,
    PrivateTmp, PrivateDevices, ProtectKernelTunables, ReadWritePaths and StateDirectory; what
    systemd does by filters of system calls it does not.

    Args:
        path: the unit.
        machine: the root on which it is installed.
        log: where it writes.
        instance: what is after the @ of its name.
    """
    options = unit(path)
    tree = machine.again()
    account = Account(tree, options["User"][0])
    environment = dict(account.environment)
    assert options["PrivateDevices"] == ["yes"], "a tree has no other devices"
    assert options["ProtectKernelTunables"] == ["yes"], "only root could tune it here"
    for name in options.get("StateDirectory", []):
        place = f"/var/lib/{name}"
        mode = int(options.get("StateDirectoryMode", ["0755"])[0], 8)
        tree.folder(place, mode=mode, owner=account.number)
        tree.bind(tree.path / place[1:], place, writable=True)
        environment["STATE_DIRECTORY"] = place
    for place in (word for line in options.get("ReadWritePaths", []) for word in line.split()):
        tree.bind(tree.path / place[1:], place, writable=True)
    if options.get("PrivateTmp") == ["yes"]:
        for place in ("/tmp", "/var/tmp"):
            tree.tmpfs(place, "mode=1777,nosuid,nodev")
    if options.get("ProtectHome") == ["yes"]:
        for place in _HIDDEN:
            # systemd leaves nothing of them; the interpreter of this machine may lie in one.
            tree.tmpfs(place, "mode=0711,size=4k,nr_inodes=99")
    for name in options.get("EnvironmentFile", []):
        file = tree.path / name.removeprefix("-").replace("%i", instance)[1:]
        if name[0] != "-" or file.exists():
            environment.update(variables(file))
    program = Program(
        unit_command(path, instance),
        environment,
        user=account.number,
        new_privileges=options["NoNewPrivileges"] != ["yes"],
    )
    read_only = options["ProtectSystem"] == ["strict"]
    return Container("", tree, program, log, read_only=read_only)


def variables(file: Path) -> dict[str, str]:
    """What an EnvironmentFile sets; only root may read it."""
    assert file.stat().st_mode & 0o77 == 0, f"{file} is open to others"
    return assigned(file.read_text())
