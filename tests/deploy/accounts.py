"""Users of a root."""

from __future__ import annotations

from .tree import Tree

# systemd.exec(5): what the environment has of itself.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


class Account:
    """A user of a root, from its /etc/passwd.

    Args:
        tree: the root.
        name: the user's.
    """

    def __init__(self, tree: Tree, name: str) -> None:
        lines = (tree.path / "etc/passwd").read_text().splitlines()
        found = [line.split(":") for line in lines if line.startswith(f"{name}:")]
        assert found, f"there is no user {name}"
        self.number = int(found[0][2])
        self.home = found[0][5]
        self.environment = {
            "PATH": _PATH,
            "HOME": self.home,
            "USER": name,
            "LOGNAME": name,
            "SHELL": found[0][6],
        }
