"""Simulations by sem's ParallelRunner: ``sem_peer.py PROGRAM RUNS PROCESSES ARGUMENTS``.

Prints, as JSON, the seconds from the first simulation to the last result, the processor seconds of
this process and of the simulations, and what each simulation printed, by its RngRun.

sem is made for a source tree of ns-3. From one that is built it reads a list of programs, and calls
the build script in it. Here there is a tree of these two, the script empty.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from sem import ParallelRunner


def tree(folder: Path, program: str) -> Path:
    """A built source tree with this program, as far as sem looks at it."""
    folder.mkdir()
    (folder / "ns3").touch()
    (folder / f".lock-ns3_{sys.platform}_build").write_text(
        f"ns3_runnable_programs = [{program!r}]\n"
    )
    return folder


def processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def main(program: str, runs: int, processes: int, arguments: Mapping[str, object]) -> None:
    with tempfile.TemporaryDirectory(prefix="nepiq-sem-") as folder:
        data = Path(folder) / "data"
        runner = ParallelRunner(
            str(tree(Path(folder) / "ns-3", program)),
            Path(program).name,
            skip_configuration=True,
            max_parallel_processes=processes,
        )
        simulations = [{**arguments, "RngRun": run} for run in range(1, runs + 1)]
        printed = {}
        used, began = processor(), time.perf_counter()
        for result in runner.run_simulations(simulations, str(data)):
            text = (data / result["meta"]["id"] / "stdout").read_text()
            printed[result["params"]["RngRun"]] = text.strip()
        wall, used = time.perf_counter() - began, processor() - used
    print(json.dumps({"wall": wall, "processor": used, "printed": printed}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
