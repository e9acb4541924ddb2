"""The git tree of a user's script: its commit, and the changes that are not committed."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engine import threads
from ...errors import CampaignError
from ...errors.text import quoted
from .secret_scan import scan

LONGEST_DIFF = 1 << 20
"""Bytes of a diff that is kept."""

MOST_UNTRACKED = 200
"""Names of untracked files that are kept."""

_TIMEOUT = 10.0
#: The tree without files, with which a tree without commits is compared.
_EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_LONGEST_OUTPUT = 4 << 20
_SETTINGS = r"^(remote\.origin\.url|user\.name)$"
#: User and password in a URL; the user of ``git@host:path`` is none.
_LOGIN = re.compile(r"(?<=://)[^/@]*@")
_FILE = re.compile(r'diff --git "?a/.*? "?b/(.*?)"?$')


@dataclass(frozen=True)
class SourceTree:
    """The state of a git tree.

    Attributes:
        commit: the commit that is checked out; empty if there is none.
        branch: its branch; empty if none is checked out.
        origin: URL of the remote ``origin``, without a password; empty if there is none.
        user: ``user.name`` of git's configuration.
        diff: the changes that are not committed, as ``git diff`` prints them. Bytes that are not
            UTF-8 are surrogates.
        omitted: why the diff is left out; else empty.
        untracked: names of untracked files and folders, at most :data:`MOST_UNTRACKED`. Their
            contents are not kept.
        more_untracked: number of further ones.
    """

    commit: str = ""
    branch: str = ""
    origin: str = ""
    user: str = ""
    diff: str = ""
    omitted: str = ""
    untracked: Sequence[str] = ()
    more_untracked: int = 0

    @classmethod
    def of(cls, folder: Path, reviewed: Collection[str] = ()) -> SourceTree | None:
        """Return the state of the tree that a folder is in; None if it is in no tree.

        Args:
            folder: the folder.
            reviewed: files, by their path in the tree, in which what looks like a secret is none.

        Raises:
            CampaignError: the changes have what looks like a secret.
        """
        root = _root(folder)
        if root is None:
            return None
        try:
            status = _git(root, "status", "--porcelain=v2", "--branch", "-z", "-unormal")
            settings = _git(root, "config", "-z", "--get-regexp", _SETTINGS, codes=(0, 1))
        except (OSError, subprocess.SubprocessError) as error:
            return cls(omitted=f"git cannot read the tree: {error}"[:200])
        entries = status.split("\0")
        head = dict(_header(entries))
        known = _settings(settings)
        untracked = [entry[2:] for entry in entries if entry.startswith("? ")]
        commit = head.get("branch.oid", "").replace("(initial)", "")
        diff, omitted = "", ""
        if any(entry[:2] in ("1 ", "2 ", "u ") for entry in entries):
            diff, omitted = _changes(root, commit or _EMPTY)
            _refuse_secrets(diff, reviewed)
        return cls(
            commit,
            head.get("branch.head", "").replace("(detached)", ""),
            _LOGIN.sub("", known.get("remote.origin.url", "")),
            known.get("user.name", ""),
            diff,
            omitted,
            untracked[:MOST_UNTRACKED],
            max(0, len(untracked) - MOST_UNTRACKED),
        )

    @property
    def is_clean(self) -> bool:
        """True if the commit has all that was in the tracked files."""
        return bool(self.commit) and not self.diff and not self.omitted

    def to_data(self) -> dict[str, Any]:
        """Return the JSON values, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> SourceTree:
        """Return what :meth:`to_data` gave. Unknown fields are ignored."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


def _root(folder: Path) -> Path | None:
    """Return the folder that has ``.git``, which is a file in a worktree; None without one."""
    folder = folder.absolute()
    return next((it for it in (folder, *folder.parents) if (it / ".git").exists()), None)


def _changes(root: Path, commit: str) -> tuple[str, str]:
    """Return the diff to a commit, and why it is left out if it is."""
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary")
    try:
        diff = _git(root, "diff", *options, commit, limit=LONGEST_DIFF)
    except _TooLong:
        return "", f"the uncommitted diff is longer than {LONGEST_DIFF >> 10} KiB"
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"git cannot compare the tree: {error}"[:200]
    return diff, ""


class _TooLong(subprocess.SubprocessError):
    """A command of git printed more than is kept."""


def _git(
    root: Path, *arguments: str, limit: int = _LONGEST_OUTPUT, codes: Collection[int] = (0,)
) -> str:
    """Return what a command of git prints, which changes nothing.

    Raises:
        OSError: git is not installed.
        SubprocessError: it failed, took too long, or printed more than the limit.
    """
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    with subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe
        timer = threading.Timer(_TIMEOUT, process.kill)
        threads.start(timer)
        try:
            output = process.stdout.read(limit + 1)
            if len(output) > limit:
                process.kill()
                raise _TooLong(f"git {arguments[0]} prints more than {limit} bytes")
        finally:
            timer.cancel()
    if process.returncode not in codes:
        raise subprocess.CalledProcessError(process.returncode, command)
    return output.decode("utf-8", "surrogateescape")


def _header(entries: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if entry.startswith("# "):
            name, _, value = entry[2:].partition(" ")
            yield name, value


def _settings(text: str) -> dict[str, str]:
    """Return settings of git by name; of several values of one, the last."""
    pairs = (item.partition("\n") for item in text.split("\0") if item)
    return {name: value for name, _, value in pairs}


def _refuse_secrets(diff: str, reviewed: Collection[str]) -> None:
    """Refuse a diff that seems to have secrets: all of its lines, since all are kept."""
    lines = diff.splitlines()
    files: list[str] = []
    for line in lines:
        match = _FILE.match(line)
        files.append(match[1] if match else files[-1] if files else "")
    for secret in scan(line[1:] for line in lines):
        file = files[secret.line - 1]
        if file not in reviewed:
            raise CampaignError(
                f"the uncommitted changes of {quoted(file)} have what looks like {secret.kind}, "
                "and would be kept with the campaign",
                where=f"line {secret.line} of git diff",
                hint=f"take it out; if it is not a secret, name the file: "
                f"submit(reviewed=[{file!r}]), or --reviewed {file}",
            )
