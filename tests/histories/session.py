"""Redis and two workers that the experiments of a test session share."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.stand import Stand

from .admits import problems
from .history import History
from .plan import draw
from .play import Player
from .replay import Call, Monitor

KINDS = "tests.histories.kinds"
_AT_ONCE = 8
_SHOWN = 60


class Session:
    """A stand for many experiments at a time.

    Args:
        folder: where logs and witnesses go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stand = Stand(folder, NEPIQ_IMPORTS=KINDS)

    def __enter__(self) -> Session:
        self.stand.start_redis()
        for _ in range(2):
            self.stand.start_worker(wait=False)
        return self

    def __exit__(self, *error: object) -> None:
        self.stand.__exit__(*error)

    def carry_out(self, seeds: Iterable[int]) -> list[str]:
        """Carry out the experiments of these seeds; what was wrong, with its history."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [text for text in pool.map(self.judge, seeds) if text]

    def watched(self, seeds: Iterable[int]) -> dict[str, list[Call]]:
        """Carry out the experiments of these seeds; what Redis was asked to do for each run."""
        monitor = Monitor(self.stand.socket)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            histories = list(pool.map(self._play, seeds))
        monitor.end(self.stand.backend().redis)
        return {h.run_id: list(monitor.calls(h.run_id)) for h in histories if h.run_id}

    def _play(self, seed: int) -> History:
        return Player(self.stand, draw(seed), self.folder).play()

    def judge(self, seed: int) -> str:
        """What was wrong with one experiment; nothing if it was as it should be."""
        try:
            history = self._play(seed)
            found = problems(history)
        except Exception:  # noqa: BLE001 - the seed must be told with it
            return f"seed {seed}: {traceback.format_exc()}"
        if not found:
            return ""
        concerned = {guid for problem in found[:3] for guid in problem.guids}
        story = list(history.story(concerned))
        more = [f"  ... and {len(story) - _SHOWN} lines more"] if len(story) > _SHOWN else []
        told = [f"  {problem}" for problem in found[:10]]
        return "\n".join([f"seed {seed}:", *told, *story[:_SHOWN], *more])
