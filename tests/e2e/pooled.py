"""Campaigns whose runs lease hosts, and note themselves in a log of each host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.stand import Stand
from tests.testbed.host import Host

from nepiq.controller import Campaign, Space

#: The log outlives the run.
_COMMAND = """
echo "begin ${NEPIQ_ID%%.*}" >>~/pool.log
sleep %s
echo "end ${NEPIQ_ID%%.*}" >>~/pool.log
"""


def campaign(
    stand: Stand,
    name: str,
    roles: Sequence[str],
    points: int,
    hosts: str,
    seconds: float = 0.1,
    before: str = "true",
    **plan: Any,
) -> Campaign:
    """A campaign whose runs have an application on each of their hosts.

    Args:
        stand: Redis and workers.
        name: its name.
        roles: labels of the nodes of a run.
        points: number of points.
        hosts: the pool.
        seconds: how long the applications take.
        before: a command that they run first.
        plan: more of the campaign.
    """
    ec = stand.experiment(name, quiet=True)
    ec.register_resource("linux::Pool", label="lab", hosts=hosts)
    for role in roles:
        ec.register_resource("linux::Node", label=role, pool="lab")
        ec.register_resource(
            "linux::Application",
            label=f"{role}-app",
            connectedTo=role,
            command=f"{before}\n{_COMMAND.replace('%s', str(seconds))}",
        )
    return stand.owned(Campaign(ec, Space.grid(n=range(points)), settings=stand.settings, **plan))


def noted(hosts: Iterable[Host]) -> Counter[str]:
    """The runs that began, as the hosts note them; fail if a host was in two at the same time.

    One whose worker was killed may have begun without an end.
    """
    begun: Counter[str] = Counter()
    for host in hosts:
        log = host.root / "lab" / "pool.log"
        words = log.read_text().split() if log.exists() else []
        present = ""
        for step, run in zip(words[::2], words[1::2], strict=True):
            assert step == "begin" or run == present, (host, run, present)
            assert step == "end" or not present, (host, run, present)
            present = run if step == "begin" else ""
            begun[run] += step == "begin"
    return begun
