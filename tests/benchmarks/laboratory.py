"""``python -m tests.benchmarks.laboratory``: a campaign on eight hosts, four of them in trouble.

The hosts are namespaces, reached by SSH. The first refuses logins, on the second each third command
fails, the third is ten times slower, and the fourth crashes at half time and boots again. At one of
20 points the command is wrong. It prints what must hold, and what was seen; the exit code is 1 if
something does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.stand import Stand, until
from tests.testbed import Testbed
from tests.testbed.host import Host

from nepiq.controller import Campaign, Parameter, Row, Space
from nepiq.controller.engine.campaign_records import CampaignRecord

HOSTS, POINTS = 8, 20
REFUSING, FAILING, SLOW, REBOOTED = (f"host-{number}:22" for number in range(1, 5))

#: What the runs start. The log outlives them; a boot ends what it has not logged as ended.
_PROGRAM = """\
#!/bin/sh
run="${{NEPIQ_ID%%.*}} $(cat /proc/sys/kernel/random/boot_id)"
echo "begin $run" >>~/laboratory.log
trap 'echo "end $run" >>~/laboratory.log' EXIT
{fault}
sleep {seconds}
"""
_EACH_THIRD = """\
echo >>~/commands
[ $(($(wc -l <~/commands) % 3)) -ne 0 ] || exit 1"""


@dataclass
class Watched:
    """What was seen while the campaign ran.

    Attributes:
        quarantined, suspects: keys of hosts that ever were.
        estimated: the estimate of the seconds left when a quarter of the runs had ended.
        quarter: when that was, by this process's clock.
        crashed, booted: times of the crash and of the boot of the fourth host.
    """

    quarantined: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    estimated: float = 0.0
    quarter: float = 0.0
    crashed: float = 0.0
    booted: float = 0.0


@dataclass(frozen=True)
class Check:
    """A property that must hold.

    Attributes:
        what: the property.
        holds: whether it does.
        seen: what was seen, for people.
    """

    what: str
    holds: bool
    seen: str

    def __str__(self) -> str:
        return f"{'yes' if self.holds else 'NO ':3}  {self.what}: {self.seen}"


def furnish(host: Host, seconds: float, fault: str = ":") -> None:
    """Put the program of the runs on a host."""
    program = host.root / "lab" / "probe"
    program.write_text(_PROGRAM.format(fault=fault, seconds=seconds))
    program.chmod(0o755)


def campaign(stand: Stand, repetitions: int) -> Campaign:
    """A campaign on all hosts, with a wrong command at its last point."""
    ec = stand.experiment("laboratory", quiet=True)
    ec.register_resource("linux::Pool", label="lab", hosts=f"host-[1-{HOSTS}]")
    ec.register_resource("linux::Node", label="host", pool="lab")
    command = f"~/{Parameter('program')} {Parameter('n')}"
    ec.register_resource("linux::Application", label="probe", connectedTo="host", command=command)
    points = [{"program": "probe", "n": n} for n in range(POINTS - 1)]
    space = Space.points([*points, {"program": "prob", "n": POINTS - 1}])
    return stand.owned(
        Campaign(ec, space, repetitions=repetitions, parallel=2 * HOSTS, settings=stand.settings)
    )


def watch(made: Campaign, bed: Testbed, down: float) -> Watched:
    """Look at the campaign until it has ended; crash and boot the fourth host meanwhile."""
    seen, total = Watched(), made.status().total
    reboot = threading.Thread(target=_reboot, args=(bed.hosts[3], down, seen))
    for number, _ in enumerate(made.rows(follow=True), 1):
        health = made.health()
        seen.quarantined |= health.quarantined.keys()
        seen.suspects |= {suspect.host for suspect in health.suspects}
        if number == total // 4:
            left = made.left()
            seen.quarter, seen.estimated = time.time(), 0.0 if left is None else left.seconds
        elif number == total // 2:
            reboot.start()
    reboot.join()
    return seen


def _reboot(host: Host, down: float, seen: Watched) -> None:
    until(lambda: present(host), 60.0, f"no run is on {host.name}")
    host.crash()
    seen.crashed = time.time()
    time.sleep(down)
    host.boot()
    seen.booted = time.time()


def logged(host: Host) -> list[list[str]]:
    """The log of a host: begin or end, run, and boot."""
    log = host.root / "lab" / "laboratory.log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def present(host: Host) -> bool:
    """Whether the program of a run is under way on a host."""
    return [step for step, *_ in logged(host)][-1:] == ["begin"]


def overlaps(host: Host) -> int:
    """How many runs began on a host while another one was there."""
    found, under_way = 0, set[tuple[str, str]]()
    for step, run, boot in logged(host):
        if step == "begin":
            found += any(other == boot for _, other in under_way)
            under_way.add((run, boot))
        else:
            under_way.remove((run, boot))
    return found


def left(host: Host) -> list[str]:
    """What runs have left on a host: processes, and directories."""
    found = [f"process {pid}" for pid in host.bearers("20")]
    return found + [path.name for path in (host.root / "lab" / ".nepiq").glob("20*")]


def checks(
    stand: Stand, made: Campaign, bed: Testbed, seen: Watched, rows: Sequence[Row]
) -> list[Check]:
    """What must hold when the campaign has ended."""
    record = made.status()
    wrong = [row for row in rows if row.parameters["program"] == "prob"]
    by_host = Counter(row.hosts.get("host", "") for row in rows)
    failed_on = {
        row.hosts["host"] for row in rows if row.outcome != "finished" and row not in wrong
    }
    each = Counter((row.point, row.repetition) for row in rows)
    used = [row for row in rows if row.hosts.get("host") == bed.hosts[3].name]
    back = [row for row in used if (row.began or 0.0) > seen.booted]
    first = (
        f"first run {min(row.began or 0.0 for row in back) - seen.booted:.1f} s"
        if back
        else "no run"
    )
    causes, repeated = made.causes(), made.repeats()
    told = {**causes, **repeated}
    truth = max(row.ended or 0.0 for row in rows) - seen.quarter
    status = stand.command("campaign", "status", made.name)
    return [
        Check(
            "each repetition of each point has one row",
            len(each) == record.total and set(each.values()) == {1},
            f"{len(each)} of {record.total}, {len(rows)} rows",
        ),
        Check(
            "other points fail on the second host only",
            failed_on <= {bed.hosts[1].name},
            f"failures on {', '.join(sorted(failed_on))}",
        ),
        Check("the first is in quarantine", REFUSING in seen.quarantined, _names(seen.quarantined)),
        Check("the second alone is suspect", seen.suspects == {FAILING}, _names(seen.suspects)),
        Check(
            "the third is never in quarantine",
            SLOW not in seen.quarantined and by_host[bed.hosts[2].name] > 0,
            f"{by_host[bed.hosts[2].name]} runs on it",
        ),
        Check(
            "the fourth is back after its boot", bool(back), f"{first} later, {len(back)} in all"
        ),
        Check(
            "few causes are named",
            4 <= len(told) <= 6 and all(cause in status for cause in told),
            f"{len(told)} for {record.failed} failures and {record.again} runs begun again",
        ),
        Check(
            "the estimate at a quarter is within 30 %",
            abs(seen.estimated - truth) <= 0.3 * truth,
            f"{seen.estimated:.1f} s, in truth {truth:.1f} s",
        ),
        Check(
            "no host is in two runs at a time",
            not any(map(overlaps, bed.hosts)),
            f"{sum(len(logged(host)) for host in bed.hosts)} lines of the hosts' logs",
        ),
    ]


def retried(stand: Stand, made: Campaign, bed: Testbed, seconds: float) -> list[Check]:
    """Repair the second host, begin again what failed there, and look at what is left."""
    furnish(bed.hosts[1], seconds)
    (cause, (count, _)), *others = [
        item for item in made.causes().items() if item[0].endswith("exited with 1")
    ]
    before = made.status()
    said = stand.command("campaign", "retry", made.name, "--cause", cause)
    after = made.wait(600.0)
    begun = after.begun - before.begun - (after.again - before.again)
    pools = stand.backend().pools
    until(lambda: not pools.allocation().leases, 15.0, "leases were left")
    remains = {host.name: found for host in bed.hosts if (found := left(host))}
    return [
        Check(
            "retry --cause begins just those again",
            not others and begun == count and f"{count} runs" in said,
            f"{begun} of {count}",
        ),
        Check(
            "then the wrong command alone has failed",
            after.failed == after.total // POINTS and after.done == after.total,
            f"{after.failed} of {after.total} runs",
        ),
        Check("nothing is left on hosts", not remains, str(remains or "nothing")),
    ]


def _names(hosts: set[str]) -> str:
    return ", ".join(sorted(hosts)) or "none"


def _summary(record: CampaignRecord, rows: Sequence[Row], seen: Watched) -> str:
    began, ended = min(row.began or 0.0 for row in rows), max(row.ended or 0.0 for row in rows)
    return (
        f"{record.total} runs in {ended - began:.0f} s, {record.failed} failed, {record.again} "
        f"begun again; the fourth host was down from {seen.crashed - began:.0f} s to "
        f"{seen.booted - began:.0f} s"
    )


def measure(repetitions: int, seconds: float, down: float) -> list[Check]:
    """Carry out the campaign, print how it went, and return what must hold.

    Args:
        repetitions: number of runs at each point.
        seconds: how long a command takes; on the third host ten times as long.
        down: seconds between the crash of the fourth host and its boot.
    """
    refusing = {"host-1": {"AllowUsers": "nobody"}}
    with (
        tempfile.TemporaryDirectory(prefix="nepiq-laboratory-") as folder,
        Testbed(hosts=HOSTS, sshd_of=refusing) as bed,
        Stand(Path(folder)) as stand,
    ):
        for host in bed.hosts:
            furnish(host, seconds)
        furnish(bed.hosts[1], seconds, _EACH_THIRD)
        furnish(bed.hosts[2], 10 * seconds)
        for _ in range(2):
            stand.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        made = campaign(stand, repetitions)
        made.submit()
        seen = watch(made, bed, down)
        rows = list(made.rows())
        print(_summary(made.status(), rows, seen))
        print(stand.command("campaign", "status", made.name), flush=True)
        return [
            *checks(stand, made, bed, seen, rows),
            *retried(stand, made, bed, seconds),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--down", type=float, default=5.0)
    options = parser.parse_args(arguments)
    found = measure(options.repetitions, options.seconds, options.down)
    for check in found:
        print(check)
    return 0 if all(check.holds for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
