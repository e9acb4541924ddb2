"""The provenance of a campaign: the git tree that it was submitted from, and its environment."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from nepiq.controller.campaign.provenance import Provenance, SourceTree
from nepiq.controller.campaign.provenance.secret_scan import scan
from nepiq.controller.campaign.provenance.source_tree import LONGEST_DIFF
from nepiq.controller.errors import CampaignError

pytestmark = pytest.mark.needs("git")

KEY = "-----BEGIN OPENSSH PRIVATE " + "KEY-----"  # in two parts, for scans of this file


def git(root: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", *settings, *arguments]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with one commit of ``sweep.yaml`` and ``lib/tools.py``."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "config", "user.name", "Ada")
    (tmp_path / "lib").mkdir()
    (tmp_path / "sweep.yaml").write_text("a: 1\n")
    (tmp_path / "lib" / "tools.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def tree(folder: Path, *reviewed: str) -> SourceTree:
    found = SourceTree.of(folder, reviewed)
    assert found is not None
    return found


def test_a_clean_tree(root: Path) -> None:
    git(root, "remote", "add", "origin", "https://ada:" + "pa55@example.org/study.git")
    found = tree(root / "lib")
    assert found.commit == git(root, "rev-parse", "HEAD")
    assert (found.branch, found.user) == ("trunk", "Ada")
    assert found.origin == "https://example.org/study.git"
    assert found.is_clean
    assert not found.untracked


def test_changes_can_be_applied_again(root: Path) -> None:
    (root / "sweep.yaml").write_bytes(b"a: 2\n\xff\n")
    (root / "lib" / "tools.py").unlink()
    (root / "notes of mine.txt").write_text("private")
    found = tree(root)
    assert not found.is_clean
    assert found.untracked == ["notes of mine.txt"]
    assert "private" not in found.diff
    found = SourceTree.from_data(found.to_data())
    git(root, "checkout", "-q", ".")
    (root / "changes").write_bytes(found.diff.encode("utf-8", "surrogateescape"))
    git(root, "apply", "changes")
    assert (root / "sweep.yaml").read_bytes() == b"a: 2\n\xff\n"
    assert not (root / "lib" / "tools.py").exists()


def test_no_tree_and_no_commit(tmp_path: Path) -> None:
    assert SourceTree.of(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "new.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    found = tree(tmp_path)
    assert not found.commit
    assert "+x = 1" in found.diff
    assert not found.is_clean


def test_a_long_diff_is_left_out(root: Path) -> None:
    (root / "sweep.yaml").write_text("a: 1234\n" * (LONGEST_DIFF // 8))
    found = tree(root)
    assert not found.diff
    assert found.omitted == "the uncommitted diff is longer than 1024 KiB"
    assert not found.is_clean


def test_a_damaged_tree_is_no_obstacle(root: Path) -> None:
    (root / ".git" / "HEAD").write_text("nonsense")
    found = tree(root)
    assert found.omitted.startswith("git cannot read the tree")
    assert not found.is_clean


def test_keys_are_refused(root: Path) -> None:
    (root / "sweep.yaml").write_text(f"a: 1\n{KEY}\n")
    with pytest.raises(
        CampaignError, match=r"'sweep\.yaml' have what looks like a private key"
    ) as it:
        tree(root)
    assert "reviewed=['sweep.yaml']" in str(it.value)
    assert "--reviewed sweep.yaml" in str(it.value)
    assert KEY in tree(root, "sweep.yaml").diff
    (root / "lib" / "tools.py").write_text(f"x = '{KEY}'\n")
    with pytest.raises(CampaignError, match=r"'lib/tools\.py'"):
        tree(root, "sweep.yaml")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (KEY, "a private key"),
        ("id = AKIA" + "ABCDEFGHIJKLMNOP", "an access key of AWS"),
        ("ghp_" + "a1" * 20, "a token of GitHub"),
        ("glpat-" + "a1" * 11, "a token of GitLab"),
        ("xoxb-" + "1234567890-abc", "a token of Slack"),
        ("pypi-AgEIcHlwaS5vcmc" + "a1" * 20, "a token of PyPI"),
        ("redis://nepiq:" + "s3cr3t@10.0.0.1/0", "a URL with a password"),
        ("PASSWORD = '" + "hunter22b'", "a password"),
        ('"api_key": "' + 'a1b2c3d4e5"', "a password"),
        ("export WANDB_API_KEY=" + "a1b2c3d4e5", "a variable with a secret"),
    ],
)
def test_secrets(text: str, kind: str) -> None:
    assert [(it.line, it.kind) for it in scan(["first", text])] == [(2, kind)]


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:owner/name.git",
        "https://example.org:8080/path",
        "redis://nepiq:${PASSWORD}@host/0",
        'password = os.environ["PASSWORD"]',
        "password = '<yours>'",
        "token = next(tokens)",
        "TOKEN=$(cat token)",
        "index 1a2b3c4d5e6f..0f9e8d7c6b5a 100644",
    ],
)
def test_no_secrets(text: str) -> None:
    assert not list(scan([text]))


def test_the_environment(tmp_path: Path) -> None:
    plan = {"repetitions": 3, "space": {"grid": {"n": [1]}}}
    made = Provenance.of(tmp_path, plan, [1])
    assert made.tree is None
    assert made.plan == {"repetitions": 3}
    assert made.packages["celery"] == made.versions["celery"] == version("celery")
    assert made.packages["typing-extensions"] == version("typing_extensions")
    assert Provenance.from_data(made.to_data()) == made
    assert Provenance.of(tmp_path, plan, [1]).digest == made.digest
    assert Provenance.of(tmp_path, plan, [2]).digest != made.digest
