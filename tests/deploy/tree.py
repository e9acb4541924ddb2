"""The root of a container: what it has of this machine, and what is its own."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.stand import ROOT

# Of /etc, what programs of this machine want to find.
_ETC = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "login.defs"),
    *("pam.d", "security", "ssl"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# The mounts of Docker that services do not name; proc(5) is writable by who may.
_KERNEL = """\
container-proc {root}/proc proc nosuid,nodev,noexec 0 0
container-sys {root}/sys sysfs ro,nosuid,nodev,noexec 0 0
container-pts {root}/dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0
container-shm {root}/dev/shm tmpfs mode=1777,nosuid,nodev,noexec 0 0
"""
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Of whom every tree knows; an image or useradd adds others.
_PASSWD = """\
root:x:0:0:root:/root:/bin/bash
sshd:x:103:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ntty:x:5:\nutmp:x:43:\nnogroup:x:65534:\n"


# As pip makes it.
_START = """\
#!/opt/nepiq/bin/python
import sys
from nepiq.controller.cli import main
sys.exit(main())
"""


class Tree:
    """A root: a folder of its own, with this machine's programs mounted into it, read-only.

    Args:
        path: the folder, which is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mounts: list[str] = []
        path.mkdir(parents=True)
        for place in ("proc", "sys", "dev/pts", "dev/shm", "etc", "home", "root", "run", "var/log"):
            self.folder(place)
        self.folder("tmp", mode=0o1777)
        self.folder("var/tmp", mode=0o1777)
        for device in _DEVICES:
            self.bind(Path("/dev", device), f"/dev/{device}", writable=True)
        (path / "dev/ptmx").symlink_to("pts/ptmx")
        (path / "dev/fd").symlink_to("/proc/self/fd")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            (path / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
        self.bind(Path("/usr"), "/usr")
        for name in ("bin", "sbin", "lib", "lib64"):
            place = Path("/", name)
            if place.is_symlink():
                (path / name).symlink_to(place.readlink())
            elif place.exists():
                self.bind(place, f"/{name}")
        for name in _ETC:
            if Path("/etc", name).exists():
                self.bind(Path("/etc", name).resolve(), f"/etc/{name}")
        self.file("etc/passwd", _PASSWD)
        self.file("etc/group", _GROUP)
        shadow = (f"{line.partition(':')[0]}:*:19000:0:99999:7:::" for line in _PASSWD.split())
        self.file("etc/shadow", "\n".join(shadow) + "\n", mode=0o600)
        self.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        self.file("etc/hosts", "127.0.0.1 localhost\n")

    def again(self) -> Tree:
        """The same root, for another program, with mounts of its own beside those so far."""
        other = copy.copy(self)
        other._mounts = list(self._mounts)
        return other

    def folder(self, place: str, *, mode: int = 0o755, owner: int = 0) -> Path:
        """Make a folder."""
        made = self.path / place.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(mode)
        os.chown(made, owner, owner)
        return made

    def file(self, place: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file."""
        made = self.path / place.lstrip("/")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        made.chmod(mode)

    def user(self, name: str, number: int, home: str) -> None:
        """Add a user with a home, as useradd(8) in a Dockerfile does."""
        for file, line in (
            ("passwd", f"{name}:x:{number}:{number}::{home}:/bin/bash"),
            ("group", f"{name}:x:{number}:"),
            ("shadow", f"{name}:*:19000:0:99999:7:::"),
        ):
            with (self.path / "etc" / file).open("a") as out:
                out.write(f"{line}\n")
        self.folder(home, owner=number)

    def bind(self, source: Path, place: str, *, writable: bool = False) -> None:
        """Mount a file or folder of this machine."""
        target = self.path / place.lstrip("/")
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        options = "bind" if writable else "bind,ro"
        self._mount(source, place, "none", options + ",X-mount.mkdir" * source.is_dir())

    def tmpfs(self, place: str, options: str = "mode=1777,nosuid,nodev,noexec") -> None:
        """Mount an empty file system; by default with what Docker mounts it with."""
        (self.path / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self._mount("container-tmp", place, "tmpfs", options)

    def fstab(self) -> str:
        """What to mount, in order: fstab(5)."""
        other = self.again()
        base = Path(sys.base_prefix)
        if not base.is_relative_to("/usr"):
            # Last: it may lie below what a service hides or has a file system of its own on.
            other.bind(base, str(base))
        return _KERNEL.format(root=_escaped(self.path)) + "".join(other._mounts)

    def _mount(self, source: Path | str, place: str, kind: str, options: str) -> None:
        target = _escaped(self.path / place.lstrip("/"))
        self._mounts.append(f"{_escaped(source)} {target} {kind} {options} 0 0\n")


def _escaped(path: Path | str) -> str:
    return str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")


def install(tree: Tree) -> None:
    """Put nepiq into /opt/nepiq, laid out as pip does from a wheel, and what it depends on."""
    tree.file("opt/nepiq/pyvenv.cfg", f"home = {Path(sys.base_prefix, 'bin')}\n")
    folder = tree.folder("opt/nepiq/bin")
    (folder / "python").symlink_to(Path(sys.base_prefix, "bin", PYTHON))
    tree.file("opt/nepiq/bin/nepiq", _START, mode=0o755)
    packages = f"/opt/nepiq/lib/{PYTHON}/site-packages"
    for name in ("controller", "workers", "tasks"):
        tree.bind(ROOT / name, f"{packages}/nepiq/{name}")
    # Not as a folder of .pth files: the one of an editable install names paths of this machine.
    for number, found in enumerate(_site_packages()):
        place = f"/opt/nepiq/lib/{number}"
        tree.bind(found, place)
        tree.file(f"{packages}/{number}.pth", f"{place}\n")


def _site_packages() -> Iterable[Path]:
    return [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
