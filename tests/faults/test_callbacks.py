"""Callbacks at their times, while a worker dies."""

from __future__ import annotations

import functools
import signal
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tests.conformance import kinds
from tests.stand import Stand, until

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(180)]

KINDS = "tests.conformance.kinds"


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize(
    ("count", "seconds"), [(200, 3.0), pytest.param(1000, 30.0, marks=pytest.mark.soak)]
)
def test_callbacks_over_some_time(tmp_path: Path, dies: bool, count: int, seconds: float) -> None:
    file = tmp_path / "calls"
    file.touch()
    with Stand(tmp_path, NEPIQ_IMPORTS=KINDS) as stand:
        workers = [stand.start_worker() for _ in range(2)]
        with stand.experiment("calls") as ec:
            first = time.time() + count * 0.005
            for number in range(count):
                at = datetime.fromtimestamp(first + number * seconds / count, timezone.utc)
                call = functools.partial(kinds.note, str(file), str(number))
                ec.schedule(at, call)
            if dies:
                until(lambda: file.read_text().count("\n") > count / 3, 60.0, "none ran")
                workers[0].signal(signal.SIGKILL)
            wanted = {str(number) for number in range(count)}

            def called() -> list[str]:
                return [line.split()[0] for line in file.read_text().splitlines()]

            until(lambda: set(called()) == wanted, seconds + 60.0, "some did not run")
        assert dies or len(called()) == count
        lines = [line.split() for line in file.read_text().splitlines()]
        late = sorted(float(at) - first - int(n) * seconds / count for n, at in lines)
        assert late[0] > -0.005  # a claim is granted 2 ms early at most
        middle, most = late[count // 2] * 1e3, late[count * 19 // 20] * 1e3
        print(f"\nlate: median {middle:.0f} ms, p95 {most:.0f} ms")
