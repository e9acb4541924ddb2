"""The images of compose.yaml, as far as this machine can stand in for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .files import DEPLOY
from .tree import Tree, install

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEPIQ = 10001


@dataclass(frozen=True)
class Image:
    """What a service gets from its image.

    Attributes:
        build: writes what the image has into a root.
        user: number of the user that commands are started as.
        folder: where they are started.
        environment: of all commands.
        entrypoint: what stands before a command.
        owners: who owns a new volume, by where it is mounted; root if not named.
    """

    build: Callable[[Tree], None]
    user: int = 0
    folder: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    owners: dict[str, int] = field(default_factory=dict)


def _nepiq(tree: Tree) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert f"useradd --create-home --uid {NEPIQ} nepiq" in text
    assert "ENV PATH=/opt/nepiq/bin:$PATH PYTHONUNBUFFERED=1" in text
    assert "USER nepiq\nWORKDIR /home/nepiq" in text
    tree.user("nepiq", NEPIQ, "/home/nepiq")
    install(tree)


def _host(tree: Tree) -> None:
    text = (DEPLOY / "host/Dockerfile").read_text()
    assert re.search(r"useradd .*--uid 10001 lab", text)
    tree.user("lab", 10001, "/home/lab")
    tree.folder("run/sshd")
    tree.file("etc/ssh/sshd_config", _SSHD)
    for source, place in re.findall(r"(?m)^COPY (\S+) (\S+)$", text):
        file = DEPLOY / "host" / source
        tree.file(place, file.read_text(), mode=file.stat().st_mode & 0o777)


def _redis(tree: Tree) -> None:
    tree.user("redis", 999, "/data")


def _prometheus(tree: Tree) -> None:
    tree.folder("etc/prometheus")


# What Debian's sshd_config(5) has beside comments.
_SSHD = """\
Include /etc/ssh/sshd_config.d/*.conf
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""

IMAGES = {
    "nepiq": Image(
        _nepiq,
        user=NEPIQ,
        folder="/home/nepiq",
        environment={
            "PATH": f"/opt/nepiq/bin:{_PATH}",
            "PYTHONUNBUFFERED": "1",
            "HOME": "/home/nepiq",
        },
        owners={"/home/nepiq": NEPIQ},
    ),
    "nepiq-host": Image(_host, environment={"PATH": _PATH, "HOME": "/root"}),
    "redis:7.4-alpine": Image(
        _redis, folder="/data", environment={"PATH": _PATH, "HOME": "/data"}, owners={"/data": 999}
    ),
    "prom/prometheus:v3.1.0": Image(
        _prometheus,
        user=65534,
        folder="/prometheus",
        environment={"PATH": _PATH, "HOME": "/home"},
        entrypoint=("/bin/prometheus",),
        owners={"/prometheus": 65534},
    ),
}


def build(image: Image, tree: Tree) -> None:
    """Make the root of a container of an image."""
    image.build(tree)
    tree.folder(image.folder, owner=image.owners.get(image.folder, 0))
