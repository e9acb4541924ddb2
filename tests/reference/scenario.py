"""Random experiments and random trouble, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from nepiq.controller.model.spec import Gate, ResourceSpec

#: What may go wrong, and how often a run has it.
FAULTS: dict[str, float] = {
    "crash": 0.35,  # workers die, anywhere
    "pause": 0.35,  # workers stand still for up to two leases
    "zombie": 0.15,  # ... exactly between a look at their lease and a command
    "loss": 0.35,  # messages are lost
    "duplicate": 0.35,  # messages arrive twice
    "reply": 0.35,  # a script's reply is lost: it runs twice, or its caller never knows
    "outage": 0.15,  # Redis stands still
    "rollback": 0.15,  # Redis comes back up to two seconds younger
    "abort": 0.15,  # everything is released in the middle
    "client": 0.35,  # the client dies, anywhere; another one attaches later
    "cut": 0.35,  # a connection to a host breaks before or after a command was carried out
    "reboot": 0.15,  # a host reboots
    "skew": 0.35,  # a worker's clock is ahead
    "slow": 0.2,  # whoever drains the to-do list takes breaks
    "poison": 0.15,  # a step kills every worker that takes it up
    "gone": 0.08,  # a worker machine never comes back
}


@dataclass
class Resource:
    """A resource manager and how it will behave.

    Attributes:
        spec: what is uploaded.
        kind: ``node``, ``app`` (acts on a node) or ``null`` (no I/O).
        life: seconds that its process runs, by occasion (the last one for all later ones).
        lasts: seconds after which a ``null`` ends by itself; 0 if it does not.
        code: its exit code.
        deploy_fails: its deploy hook raises.
        rounds: how often its deploy finds the world not ready.
        work: seconds that its hooks take.
        poison: the action that kills whoever carries it out.
    """

    spec: ResourceSpec
    kind: str
    life: float = 0.0
    lasts: float = 0.0
    code: int = 0
    deploy_fails: bool = False
    rounds: int = 0
    work: float = 0.01
    poison: str = ""

    @property
    def guid(self) -> int:
        """Its guid."""
        return self.spec.guid


@dataclass
class Move:
    """Something that the client does while the experiment runs.

    Attributes:
        at: seconds after the deployment.
        kind: ``condition``, ``join``, ``release``, ``set``, ``stop`` or ``restart``.
        guids: which resource managers it is about.
        condition: the late condition.
        value: the value that is set.
    """

    at: float
    kind: str
    guids: list[int]
    condition: Gate | None = None
    value: int = 0


@dataclass
class Scenario:
    """An experiment, what its client does, and what goes wrong."""

    seed: int
    faults: frozenset[str]
    resources: dict[int, Resource] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    joining: list[int] = field(default_factory=list)
    barrier: bool = True
    limit: int = 3
    moves: list[Move] = field(default_factory=list)

    def apps(self) -> list[int]:
        """Those that end by themselves or are stopped: all but nodes."""
        return [guid for guid, resource in self.resources.items() if resource.kind != "node"]


def draw(seed: int, faults: Iterable[str] | None = None) -> Scenario:
    """Draw a scenario; with ``faults`` exactly these go wrong."""
    rng = random.Random(seed * 7 + 1)
    drawn = frozenset(name for name, share in FAULTS.items() if rng.random() < share)
    scenario = Scenario(seed, drawn if faults is None else frozenset(faults))
    for guid in range(1, rng.randint(1, 2) + 1):
        scenario.resources[guid] = _node(rng, guid)
    nodes = list(scenario.resources)
    for guid in range(len(nodes) + 1, len(nodes) + rng.randint(4, 9) + 1):
        kind = "null" if rng.random() < 0.25 else "app"
        scenario.resources[guid] = _resource(rng, guid, kind, scenario, rng.choice(nodes))
    _divide(rng, scenario)
    _draw_moves(rng, scenario)
    _draw_poison(rng, scenario)
    _draw_ends(random.Random(seed * 7 + 2), scenario)
    return scenario


def _node(rng: random.Random, guid: int) -> Resource:
    spec = ResourceSpec(
        guid,
        "linux::Node",
        f"node-{guid}",
        queue="nepiq.default",
        host=guid,
        is_host=True,
        local=rng.random() < 0.3,
        site="default",
        limit=rng.choice([None, 1, 2, 3]),
        affinity="host" if guid % 2 else "",
    )
    return Resource(spec, "node", work=rng.choice([0.01, 0.2]))


def _resource(rng: random.Random, guid: int, kind: str, scenario: Scenario, node: int) -> Resource:
    earlier = scenario.apps()
    after = [node] if kind == "app" else []
    gates = [Gate("deploy", node, "READY", 0.0, need=True)] if kind == "app" else []
    if earlier and rng.random() < 0.15:
        peer = rng.choice(earlier)
        after.append(peer)
        gates.append(Gate("deploy", peer, "READY", 0.0, need=True))
    life = rng.choice([0, 0.001, 0.3, 2.0, 5.0])
    for other in earlier:
        if rng.random() < 0.22:
            milestone = rng.choice(["STARTED", "STOPPED", "FINISHED", "READY"])
            offset = rng.choice([0, 0, 0.5, 3])
            gates.append(Gate("start", other, milestone, float(offset)))
    # What nobody stops must end by itself; a null never does.
    if kind == "null" or rng.random() < 0.25:
        life = 1e6
        offset = rng.choice([0.2, 2.0, 2.0, 25.0, 40.0])
        gates.append(Gate("stop", guid, "STARTED", offset))
        if earlier and rng.random() < 0.3:
            gates.append(Gate("stop", rng.choice(earlier), "STOPPED", 0.0))
    dispensable = rng.random() < 0.15
    weak = dispensable or rng.random() < 0.02
    return Resource(
        ResourceSpec(
            guid,
            "linux::Application" if kind == "app" else "nepiq::Null",
            f"{kind}-{guid}",
            queue="nepiq.default" if kind == "app" else "nepiq",
            critical=not dispensable,
            batch=kind == "null",
            host=node if kind == "app" else None,
            gates=gates,
            after=after,
            left_to_host=after == [node] and guid % 2 == 0,
        ),
        kind,
        life=life,
        code=rng.choice([0, 3]) if weak else 0,
        deploy_fails=weak and rng.random() < 0.4,
        rounds=rng.choice([0, 0, 0, 2]),
        work=0.0 if kind == "null" else rng.choice([0.005, 0.005, 0.2, 2.0]),
    )


def _divide(rng: random.Random, scenario: Scenario) -> None:
    guids = list(scenario.resources)
    late = rng.choice([0, 0, 2]) if len(guids) > 6 else 0
    scenario.first = guids[: len(guids) - late]
    scenario.joining = guids[len(guids) - late :]
    rng.shuffle(scenario.first)
    scenario.barrier = rng.random() < 0.85
    scenario.limit = rng.choice([1, 3, 3, 3])


def _draw_moves(rng: random.Random, scenario: Scenario) -> None:
    moves = scenario.moves
    if scenario.joining:
        moves.append(Move(rng.choice([0.0, 0.05, rng.uniform(0, 3)]), "join", scenario.joining))
    apps = [guid for guid in scenario.apps() if guid in scenario.first]
    for guid in apps:
        resource = scenario.resources[guid]
        if rng.random() < 0.15:
            _make_late(rng, scenario, resource)
        if rng.random() < 0.2:
            earlier = [other for other in apps if other < guid]
            if earlier:
                wanted = Gate("start", rng.choice(earlier), "STOPPED", rng.choice([0.0, 4.0]))
                at = rng.choice([rng.uniform(0, 4), rng.uniform(0, 4), rng.uniform(10, 30)])
                moves.append(Move(at, "condition", [guid], wanted))
        if resource.kind == "app" and rng.random() < 0.2:
            at = rng.uniform(0, 5)
            moves.extend(Move(at, "set", [guid], value=value) for value in (1, 2, 3))
        if resource.kind == "app" and resource.life < 1e6 and rng.random() < 0.15:
            moves.append(Move(rng.uniform(0, 2), "restart", [guid]))
        if resource.kind == "app" and rng.random() < 0.1:
            moves.append(Move(rng.uniform(0, 8), "stop", [guid]))
    if rng.random() < 0.2:
        chosen = rng.choice([*apps, *scenario.resources])
        at = rng.choice([0.0, rng.uniform(0, 0.5), rng.uniform(0, 10)])
        moves.append(Move(at, "release", [chosen]))
    moves.sort(key=lambda move: move.at)


def _make_late(rng: random.Random, scenario: Scenario, resource: Resource) -> None:
    """Let the stop condition of a resource come only after the deployment."""
    spec = resource.spec
    stops = [gate for gate in spec.gates if gate.action == "stop"]
    if not stops:
        return
    kept = [gate for gate in spec.gates if gate.action != "stop"]
    resource.spec = spec._replace(gates=kept)
    scenario.moves.append(Move(rng.uniform(0, 4), "condition", [spec.guid], stops[0]))


def _draw_ends(rng: random.Random, scenario: Scenario) -> None:
    """Let some that have no process end after a time, some before anything stops them."""
    for resource in scenario.resources.values():
        if resource.kind == "null" and rng.random() < 0.4:
            resource.lasts = rng.choice([0.01, 0.5, 3.0, 35.0])


def _draw_poison(rng: random.Random, scenario: Scenario) -> None:
    if "poison" not in scenario.faults:
        return
    victim = scenario.resources[rng.choice(scenario.first)]
    victim.poison = rng.choice(["deploy", "start", "release"])
    if victim.poison != "release":
        victim.spec = victim.spec._replace(critical=False)
