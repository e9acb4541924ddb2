"""Run random experiments on the model, with random trouble, and look for violations.

``python -m tests.reference.simulator --seeds 10000`` runs many; a seed that fails is printed
with what was wrong, and belongs into ``seeds.txt``, whose seeds are run by every test run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from .client import Client
from .scenario import FAULTS, Scenario, draw
from .truth import Violation, judge
from .workers import Worker
from .world import Rules, World

_MACHINES = ("m0", "m0", "m1")
_START = 1000.0
_PATIENCE = 900.0
#: After the end, for as long, whatever was paused or on its way may still come.
_AFTERMATH = 45.0
SEEDS = Path(__file__).with_name("seeds.txt")


def run(scenario: Scenario, rules: Rules | None = None) -> World:
    """Run a scenario to its end and past it."""
    world = World(scenario, rules)
    for machine in _MACHINES:
        Worker.start(world, machine)
    client = Client("client", world=world)
    world.kernel.spawn(client, client.experiment())
    _plan_trouble(world, client)

    def until() -> float:
        done = world.truth.done
        return _START + _PATIENCE if done is None else done + _AFTERMATH

    world.kernel.run(until)
    return world


def simulate(
    seed: int, faults: Iterable[str] | None = None, rules: Rules | None = None
) -> list[Violation]:
    """The violations of one seed."""
    return judge(run(draw(seed, faults), rules))


def _plan_trouble(world: World, client: Client) -> None:
    rng, at = world.rng, world.kernel.at
    if "crash" in world.faults:
        for _ in range(rng.randint(1, 5)):
            at(rng.uniform(0, 15), lambda: world.kill(rng.choice(world.workers)))
    if "pause" in world.faults:
        for _ in range(rng.randint(1, 4)):
            start = rng.choice([rng.uniform(0, 1), rng.uniform(0, 15)])
            at(start, lambda: world.pause(rng.choice(world.workers), rng.uniform(1, 25)))
    if "outage" in world.faults:
        at(rng.uniform(0.1, 12), lambda: _outage(world, rng.uniform(1, 30)))
    if "rollback" in world.faults:
        at(rng.uniform(0.3, 12), lambda: world.go_back(rng.uniform(0.2, 2)))
    if "reboot" in world.faults:
        at(rng.uniform(0.3, 8), lambda: _reboot(world))
    if "gone" in world.faults:
        at(rng.uniform(0.3, 8), lambda: _machine_gone(world, rng.choice(_MACHINES)))
    if "client" in world.faults:
        at(rng.choice([rng.uniform(0.01, 0.2), rng.uniform(0, 8)]), lambda: _client_dies(client))


def _outage(world: World, seconds: float) -> None:
    world.outage_until = world.kernel.now + seconds


def _reboot(world: World) -> None:
    if world.machines:
        world.machines[world.rng.choice(list(world.machines))].reboot()


def _machine_gone(world: World, machine: str) -> None:
    world.gone_machines.add(machine)
    for worker in world.workers:
        if worker.machine == machine:
            world.kill(worker)


def _client_dies(client: Client) -> None:
    client.alive = False
    world = client.world
    successor = Client("successor", world=world)
    world.kernel.at(200.0, lambda: world.kernel.spawn(successor, successor.attach()))


def kept_seeds() -> list[int]:
    """Seeds that failed once."""
    lines = SEEDS.read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first one")
    parser.add_argument("--faults", help=f"only these, of {','.join(FAULTS)}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="every violation of a seed")
    arguments = parser.parse_args()
    faults = arguments.faults.split(",") if arguments.faults else None
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    bad = 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        found = pool.map(partial(simulate, faults=faults), seeds, chunksize=20)
        for seed, violations in zip(seeds, found, strict=True):
            if violations:
                bad += 1
                shown = violations if arguments.verbose else violations[:1]
                for violation in shown:
                    print(f"seed {seed}: {violation.what}: {violation.where}", flush=True)
    print(f"{len(seeds)} seeds from {arguments.first}: {bad} with violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(_main())
