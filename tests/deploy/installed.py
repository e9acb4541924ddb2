"""A machine on which nepiq is installed as docs/deployment/ says, and what its units start."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from tests.stand import ROOT

from .accounts import Account
from .container import Container, Machine, Program
from .files import DEPLOY
from .sandbox import of_unit, variables
from .tree import Tree, install

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
METRICS = "127.0.0.1:9109"
FLOWER = secrets.token_hex(16)


class Installed:
    """The machine.

    Args:
        folder: for its files.
        machine: where its programs run.
    """

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder = folder
        self._machine = machine
        self._started = 0
        self.tree = Tree(folder / "root")
        for place in ("opt", "var/lib", "etc/systemd/system", "run/user"):
            self.tree.folder(place)
        install(self.tree)
        self.tree.bind(DEPLOY, "/src/deploy")
        self._password = secrets.token_hex(32)

    def set_up(self) -> None:
        """What the documentation has root type; and somebody gives the passwords."""
        install_, give, rest = self._documented()
        self._type(install_)
        file = self.tree.path / "etc/nepiq/nepiq.env"
        self._type(give)
        text = file.read_text().replace("PASSWORD@", f"{self._password}@")
        text = text.replace("NEPIQ_REDIS_PASSWORD=", f"NEPIQ_REDIS_PASSWORD={self._password}")
        file.write_text(text.replace("NEPIQ_FLOWER_PASSWORD=", f"NEPIQ_FLOWER_PASSWORD={FLOWER}"))
        self._type(rest)
        self.tree.file("etc/nepiq/worker-default.env", f"NEPIQ_METRICS={METRICS}\n", mode=0o600)

    def _documented(self) -> tuple[list[str], list[str], list[str]]:
        """The lines before the one that wants passwords, that one, and those after it."""
        text = (ROOT / "docs/deployment/one-machine.md").read_text()
        lines = re.findall(r"(?m)^# ([a-z].*)$", text)
        # The network and a systemd are not here.
        left_out = ("apt-get", "python3", "systemctl")
        lines = [line for line in lines if not line.startswith(left_out)]
        (at,) = [n for n, line in enumerate(lines) if line.endswith("# give the passwords")]
        return lines[:at], lines[at : at + 1], lines[at + 1 :]

    def _type(self, lines: list[str]) -> None:
        program = Program(["sh", "-exc", "\n".join(lines)], {"PATH": PATH}, folder="/src")
        done = self._start("root", program, self.tree.again())
        assert done.ended() == 0, done.text()

    def _start(self, name: str, program: Program, tree: Tree) -> Container:
        self._started += 1
        log = self.folder / f"{self._started}-{name}.log"
        container = Container("", tree, program, log)
        self._machine.start(container)
        return container

    def start_unit(self, name: str) -> Container:
        """What systemctl start does for a unit."""
        log = self.folder / f"{name}.log"
        container = of_unit(DEPLOY / "systemd" / f"{name}.service", self.tree, log)
        self._machine.start(container)
        return container

    def as_user(self, *command: str) -> Container:
        """Start what a user of the machine does, with the environment of docs/deployment/."""
        account = Account(self.tree, "alice")
        known = variables(self.tree.path / "etc/nepiq/nepiq.env")
        urls = {name: text for name, text in known.items() if name.endswith("_URL")}
        environment = {**account.environment, **urls}
        program = Program([*command], environment, user=account.number, folder=account.home)
        return self._start("alice", program, self.tree.again())
