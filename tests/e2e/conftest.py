"""Installations: one that a module's tests share, and fresh ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose embedded stack stays up for the tests of a module."""
    made = Installation(tmp_path_factory.mktemp("installation"))
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """An installation where nothing has been started yet; its stack leaves after two seconds."""
    made = Installation(tmp_path, NEPIQ_EMBEDDED_IDLE="2")
    yield made
    made.close()
