"""The files that make a host differ from this machine: its users, its sshd, what it mounts."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

# sudo: without a password; with the one below; not at all.
USERS = {"lab": 2001, "student": 2002, "guest": 2003}
PASSWORD = "student"
# openssl passwd -6 -salt nepiqtestbed student
_HASH = (
    "$6$nepiqtestbed$Xh6O6G4ADUadRzEMXM28MiRWhMz30qix5I0ZcwMltWlq1/"
    "qG7i6Jzy2jZFS87WaE1rf0nDM1dYqqFyguS0zz10"
)

_SUDOERS = """\
Defaults env_reset, use_pty, !lecture
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
lab ALL=(ALL:ALL) NOPASSWD: ALL
student ALL=(ALL:ALL) ALL
"""
_PAM = """\
auth required pam_unix.so nodelay
account required pam_unix.so
session required pam_permit.so
"""
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"

_SSHD = {
    "HostKey": "/etc/ssh/ssh_host_ed25519_key",
    "PidFile": "/run/sshd.pid",
    "AuthorizedKeysFile": "/etc/ssh/authorized_keys",
    "UsePAM": "no",
    "UseDNS": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "no",
    "AllowTcpForwarding": "yes",
    "PrintMotd": "no",
    "PrintLastLog": "no",
    "LogLevel": "VERBOSE",
    "Subsystem": "sftp internal-sftp",
}

# What replaces a file of the machine, where the machine has one.
_REPLACED = (
    *("passwd", "group", "shadow", "sudoers", "nsswitch.conf", "pam.d", "ssh"),
    *("hosts", "hostname", "machine-id"),
)
# Last, since what is mounted above may lie in the machine's /tmp or /run.
_OWN = """\
testbed-sys /sys sysfs defaults 0 0
testbed-pts /dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0
testbed-shm /dev/shm tmpfs mode=1777 0 0
testbed-log /var/log tmpfs mode=755 0 0
testbed-var /var/tmp tmpfs mode=1777 0 0
testbed-tmp /tmp tmpfs mode=1777 0 0
testbed-run /run tmpfs mode=755 0 0
"""


@dataclass(frozen=True)
class Key:
    """An Ed25519 key, as ssh(1) wants both parts."""

    private: bytes
    public: str

    @classmethod
    def make(cls) -> Key:
        """A new one."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        return cls(private, public.decode())

    def save(self, path: Path) -> None:
        """Write the private part, for its owner only, and the public part beside it."""
        path.touch(mode=0o600)
        path.write_bytes(self.private)
        path.with_name(f"{path.name}.pub").write_text(f"{self.public}\n")


def furnish(folder: Path, name: str, key: Key, client: Key, names: str) -> None:
    """Write what stays the same from boot to boot.

    Args:
        folder: the host's folder on this machine.
        name: its hostname.
        key: its host key.
        client: whose public part may log in.
        names: its /etc/hosts after the lines of the loopback.
    """
    etc = folder / "etc"
    for path in (folder, etc, etc / "ssh", etc / "pam.d", folder / "home", folder / "root"):
        path.mkdir(mode=0o755)
    for path in (etc / "ssh", etc / "pam.d", folder / "home"):
        path.chmod(0o755)  # sshd and sudo refuse what others may write to; umask may differ
    (folder / "root").chmod(0o700)
    for user, number in USERS.items():
        make_home(folder / "home" / user, number)
    key.save(etc / "ssh" / "ssh_host_ed25519_key")
    texts = {
        "ssh/authorized_keys": f"{client.public}\n",
        "pam.d/sudo": _PAM,
        "pam.d/sudo-i": _PAM,
        "pam.d/other": "auth required pam_deny.so\naccount required pam_deny.so\n",
        "passwd": _passwd(),
        "group": _group(),
        "shadow": _shadow(),
        "sudoers": _SUDOERS,
        "nsswitch.conf": _NSSWITCH,
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n{names}",
        "hostname": f"{name}\n",
        "machine-id": f"{uuid.uuid4().hex}\n",
    }
    for place, text in texts.items():
        (etc / place).write_text(text)
        (etc / place).chmod(0o644)
    (etc / "shadow").chmod(0o600)
    (etc / "sudoers").chmod(0o440)


def make_home(path: Path, number: int) -> None:
    """Make the empty home of the user with a number."""
    path.mkdir(mode=0o755, exist_ok=True)
    os.chown(path, number, number)


def sshd_config(options: Mapping[str, str]) -> str:
    """What sshd is told; options override ours, and what nobody sets is OpenSSH's default."""
    return "".join(f"{name} {value}\n" for name, value in {**_SSHD, **options}.items())


def fstab(folder: Path) -> str:
    """What a host mounts, in order: fstab(5). Blanks in paths are escaped as it says."""
    here = str(folder).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    lines = [
        f"{here}/etc/{name} /etc/{name} none bind 0 0"
        for name in _REPLACED
        if Path("/etc", name).exists()
    ]
    lines += [f"{here}/{name} /{name} none bind 0 0" for name in ("home", "root")]
    lines.append("testbed-proc /proc proc defaults 0 0")
    lines.append(f"{here}/boot_id /proc/sys/kernel/random/boot_id none bind 0 0")
    return "\n".join(lines) + "\n" + _OWN


def ssh_config(hosts: Sequence[str], identity: Path, known: Path) -> str:
    """A configuration for ``ssh -F``: the entries of hosts, then what holds for all."""
    every = (
        "Host *\n  User lab\n"
        f'  IdentityFile "{identity}"\n  IdentitiesOnly yes\n  UserKnownHostsFile "{known}"\n'
        "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
    )
    return "\n".join([*hosts, every])


def _passwd() -> str:
    lines = [
        "root:x:0:0:root:/root:/bin/bash",
        "sshd:x:103:65534::/run/sshd:/usr/sbin/nologin",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ]
    lines += [f"{user}:x:{uid}:{uid}::/home/{user}:/bin/bash" for user, uid in USERS.items()]
    return "\n".join(lines) + "\n"


def _group() -> str:
    lines = ["root:x:0:", "tty:x:5:", "utmp:x:43:", "nogroup:x:65534:"]
    return "\n".join([*lines, *(f"{user}:x:{uid}:" for user, uid in USERS.items())]) + "\n"


def _shadow() -> str:
    """``*``: no password, which does not lock the account for keys as ``!`` would."""
    secrets = {"root": "*", "sshd": "*", "nobody": "*", **dict.fromkeys(USERS, "*")}
    secrets["student"] = _HASH
    return "".join(f"{user}:{secret}:19000:0:99999:7:::\n" for user, secret in secrets.items())
