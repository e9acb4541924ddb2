"""What the tests of hosts share."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.integration.hosts.remote import Remote
from tests.integration.hosts.rig import Rig
from tests.integration.hosts.sudoers import PASSWORD, RigOf, Sudoers, UserRig
from tests.testbed import Testbed

from nepiq.controller.model.values import SecretReference


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A run whose node is deployed; after the test it is released and must leave nothing."""
    made = Rig(tmp_path)
    made.prepare()
    yield made
    made.close()


@pytest.fixture(params=["dash", "bash", "busybox"])
def shell_rig(request: pytest.FixtureRequest, need: Need, tmp_path: Path) -> Iterator[Rig]:
    """A rig whose host has that shell as sh."""
    program = shutil.which(request.param)
    need(request.param, program)
    made = Rig(tmp_path, str(program))
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def remote(testbed: Testbed) -> Iterator[Remote]:
    """The sessions of one worker with the shared hosts."""
    made = Remote(testbed)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sudoers(need: Need) -> Iterator[Sudoers]:
    usable = os.geteuid() == 0 and not subprocess.call(["unshare", "--mount", "true"])
    need("root, who may make a mount namespace", usable)
    made = Sudoers()
    yield made
    made.close()


@pytest.fixture
def rig_of(sudoers: Sudoers) -> Iterator[RigOf]:
    with contextlib.ExitStack() as stack:

        def make(user: str, *, deployed: bool = True, **how: str) -> UserRig:
            reference = SecretReference.parse(how.pop("password")) if "password" in how else None
            made = UserRig(sudoers, user, reference=reference, **how)
            stack.callback(made.close)
            if deployed:
                made.prepare()
            return made

        yield make


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return f"file:{tmp_path}/password"
