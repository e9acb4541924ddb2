"""Users of this machine that exist for some processes only, and what sudo grants them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.host import LineChannel
from nepiq.controller.model.values import SecretReference
from nepiq.workers.hosts import LocalSession
from nepiq.workers.sessions.answers import OUTPUT
from nepiq.workers.sessions.session import Completed

from .rig import Rig

#: The password of all of them; the bytes of Á are among those that dash uses for itself.
PASSWORD = "p wÁß'\"\\x$(id)"
# As "openssl passwd -6 -salt nepiqnepiq" makes it; crypt(5).
_HASH = (
    "$6$nepiqnepiq$ivuqcpxsMpfmhokmC/HVnIFKsK1XJsouw9QMmYTvJFhTuZSrnNbJGrkNpS4R2d9vusmscLvK6"
    ".l9R9XMU5BNq1"
)

#: Number by name: one may use sudo without a password, one with, one not at all.
USERS = {"nepiq-free": 47001, "nepiq-asked": 47002, "nepiq-barred": 47003}

_RULES = """
Defaults env_reset, use_pty, lecture=always, !syslog, logfile={folder}/log
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
nepiq-free ALL=(ALL:ALL) NOPASSWD: ALL
nepiq-asked ALL=(ALL:ALL) ALL
"""


class Sudoers:
    """A mount namespace in which /etc names the users; the machine's own /etc stays as it is.

    Attributes:
        folder: where their homes are; everybody may enter it.
        log: what sudo was asked to do.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nepiq-sudo-"))
        self.folder.chmod(0o755)
        self.log = self.folder / "log"
        etc = self.folder / "etc"
        etc.mkdir(mode=0o755)
        numbers = USERS.items()
        added = {
            "passwd": [f"{name}:x:{n}:{n}::{self.folder}/{name}:/bin/sh" for name, n in numbers],
            "group": [f"{name}:x:{n}:" for name, n in numbers],
            "shadow": [f"{name}:{_HASH}:19000:0:99999:7:::" for name, n in numbers],
        }
        for name, lines in added.items():
            shutil.copy2(f"/etc/{name}", etc / name)
            with (etc / name).open("a") as file:
                file.writelines(f"{line}\n" for line in lines)
        (etc / "sudoers").write_text(_RULES.format(folder=self.folder))
        (etc / "sudoers").chmod(0o440)
        binds = [f"mount --bind {etc}/{name} /etc/{name}" for name in [*added, "sudoers"]]
        # What sudo remembers of users, too.
        memory = [f"mount -t tmpfs none {path}" for path in ("/run/sudo", "/var/lib/sudo")]
        script = " && ".join([*binds, *memory, "echo ready", "exec cat"])
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    def entry(self, user: str) -> str:
        """What has a command run as one of the users, where they exist."""
        number = USERS[user]
        return (
            f"exec nsenter --mount=/proc/{self._holder.pid}/ns/mnt "
            f"setpriv --reuid={number} --regid={number} --clear-groups"
        )

    def close(self) -> None:
        """Let the namespace and the homes go."""
        self._holder.communicate(timeout=10)
        shutil.rmtree(self.folder)


class UserSession:
    """A session in which another user than that of the worker is logged in."""

    def __init__(self, entry: str, home: Path, path: str) -> None:
        # As a variable of this name is exported already, an assignment alone would hand it on.
        env = {"HOME": str(home), "PATH": path, "secret": "of the environment"}
        self._session = LocalSession(home=str(home), env=env)
        self._entry = entry

    @property
    def host_key(self) -> str:
        """Empty: no key is exchanged."""
        return ""

    @property
    def home(self) -> str:
        """Where ``.nepiq`` lies."""
        return self._session.home

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        return self._session.closed

    def check(self) -> None:
        """Nothing: it is always there."""

    def execute(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        deadline: Deadline,
        cancel: threading.Event | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        """Run a command to its end."""
        return self._session.execute(
            self._as_user(command), stdin=stdin, deadline=deadline, cancel=cancel, most=most
        )

    def open(
        self,
        command: str,
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
    ) -> LineChannel:
        """Start a command and talk with it."""
        return self._session.open(
            self._as_user(command), deadline=deadline, cancel=cancel, silence=silence
        )

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _as_user(self, command: str) -> str:
        return f"{self._entry} sh -c {quote(command)}"


class UserRig(Rig):
    """A run on this machine as another user sees it.

    Args:
        sudoers: where the user exists.
        user: its name.
        reference: where the password is that sudo may ask for.
        path: where programs are found; as for the tests if empty.
    """

    def __init__(
        self,
        sudoers: Sudoers,
        user: str,
        *,
        reference: SecretReference | None = None,
        path: str = "",
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{user}-", dir=sudoers.folder))
        folder.chmod(0o755)
        super().__init__(folder)
        os.chown(self.home, USERS[user], USERS[user])
        self.session = UserSession(sudoers.entry(user), self.home, path or os.environ["PATH"])
        self.sudo_password = reference


#: Makes a rig of a user: ``rig_of("nepiq-free")``.
RigOf = Callable[..., UserRig]


def without_sudo(folder: Path) -> str:
    """A folder of all programs but sudo, for PATH."""
    tools = folder / "no-sudo"
    tools.mkdir(mode=0o755)
    for place in ("/usr/bin", "/bin"):
        for program in Path(place).iterdir():
            if program.name != "sudo" and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    return str(tools)
