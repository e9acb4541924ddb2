"""The provenance of a campaign, as recorded when it is submitted."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .source_tree import SourceTree

#: The name of a folder of an installed package (specification "Recording installed projects").
_INSTALLED = re.compile(r"([^-]+)-([^-]+)\.dist-info")
#: Folders of packages; other entries of the path may have any number of files.
_FOLDERS = ("site-packages", "dist-packages")
#: The packages that decide about how runs are carried out.
_NAMED = ("nepiq", "celery")


@dataclass(frozen=True)
class Provenance:
    """The code and the environment that a campaign was submitted from.

    Attributes:
        submitted: when, in ISO 8601.
        user: the user's name: that of git's configuration, or the login.
        versions: of Python, nepiq and Celery, by name.
        platform: kernel and architecture of the machine that submitted it.
        packages: versions of all installed packages by name.
        tree: the git tree of the description or script; None if it is in none.
        plan: the plan of the campaign without its space, JSON values.
        digest: SHA-256 of the definition: template, metrics, plan and space.
    """

    submitted: str = ""
    user: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    tree: SourceTree | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @classmethod
    def of(
        cls, folder: Path, plan: Mapping[str, Any], definition: Any, reviewed: Collection[str] = ()
    ) -> Provenance:
        """Return the provenance of a campaign that is submitted now.

        Args:
            folder: the folder of the description or script.
            plan: the plan of the campaign, JSON values.
            definition: all else that decides about its runs, JSON values.
            reviewed: see :meth:`.SourceTree.of`.

        Raises:
            CampaignError: the changes of the tree have what looks like a secret.
        """
        plan = {name: value for name, value in plan.items() if name != "space"}
        text = json.dumps([definition, plan], sort_keys=True)
        tree = SourceTree.of(folder, reviewed)
        return cls(
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            (tree and tree.user) or _login(),
            {"python": platform.python_version(), **{name: version(name) for name in _NAMED}},
            f"{platform.system()} {platform.release()} {platform.machine()}",
            installed_packages(),
            tree,
            plan,
            hashlib.sha256(text.encode()).hexdigest(),
        )

    def to_data(self) -> dict[str, Any]:
        """Return the JSON values."""
        data = dict(vars(self))
        data["tree"] = None if self.tree is None else self.tree.to_data()
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Provenance:
        """Return what :meth:`to_data` gave. Unknown fields are ignored."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        if known.get("tree") is not None:
            known["tree"] = SourceTree.from_data(known["tree"])
        return cls(**known)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return ""


@cache
def installed_packages() -> Mapping[str, str]:
    """Return the versions of all packages that this process can import, by name.

    They are the names of folders. To read the metadata of a hundred packages takes 60 ms.
    """
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        if folder.name not in _FOLDERS or not folder.is_dir():
            continue
        names = [path.name for path in folder.iterdir()]
        for match in filter(None, map(_INSTALLED.fullmatch, names)):
            name = match[1].lower().replace("_", "-")
            found.setdefault(name, match[2])
    return dict(sorted(found.items()))
