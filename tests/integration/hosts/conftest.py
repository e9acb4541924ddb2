"""What the tests of hosts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.hosts.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A run whose node is deployed; after the test it is released and must leave nothing."""
    made = Rig(tmp_path)
    made.prepare()
    yield made
    made.close()
