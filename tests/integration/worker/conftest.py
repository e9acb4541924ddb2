"""A stand with one worker that knows the types of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand import Stand

KINDS = "tests.integration.worker.kinds"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path, NEPIQ_IMPORTS=KINDS) as made:
        yield made
