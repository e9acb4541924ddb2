"""``nepiq doctor``: checks of everything that experiments need, each with its fix."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ..engine import WorkerInfo, redis_clock
from ..engine.messaging import queues
from ..engine.redis_errors import contact
from ..errors import NepiqError
from ..experiment.connect import Access
from ..monitoring.overdue import Overdue, latest, overdue
from ..reports.words import duration, plural, size, some
from ..services import embedded
from ..settings import Settings
from .console import print_json, print_line
from .services import wait_for_worker

_NEEDED_TOOLS = ("sh", "flock", "setsid", "base64", "tail")
_IDLE_DAYS = 7


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        about: the checked part of the installation.
        ok: True if nothing has to be done.
        told: the result in words.
        fix: the fix; empty if none is needed.
    """

    about: str
    ok: bool
    told: str
    fix: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Redis, workers, clocks, this machine and the runs; exit with 3 if a check fails.

    Without NEPIQ_BROKER_URL this starts and checks the local services.
    """
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            fix = f"  -> {finding.fix}" if finding.fix else ""
            mark = "ok" if finding.ok else "!!"
            print_line(f"{mark}  {finding.about}: {finding.told}{fix}")
            sys.stdout.flush()
    if as_json:
        print_json(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(3)


def _findings() -> Iterator[Finding]:
    yield _tools()
    settings = Settings.from_environment()
    try:
        access = Access(settings)
    except NepiqError as error:
        yield Finding("local services", ok=False, told=error.message, fix=error.hint)
        return
    try:
        if access.embedded is not None:
            yield _local_services(access)
        checks: tuple[Callable[[Access], Finding], ...] = (
            _redis,
            _broker,
            _clock,
            _workers,
            _runs,
            _hosts,
            _pools,
        )
        for check in checks:
            try:
                with contact():
                    yield check(access)
            except NepiqError as error:
                yield Finding(check.__name__[1:], ok=False, told=error.message, fix=error.hint)
                return
    finally:
        access.close()


def _tools() -> Finding:
    missing = [tool for tool in _NEEDED_TOOLS if shutil.which(tool) is None]
    if missing:
        fix = "install util-linux and coreutils"
        return Finding("this machine", ok=False, told=f"lacks {some(missing, 5)}", fix=fix)
    return Finding("this machine", ok=True, told=f"has {some(_NEEDED_TOOLS, 5)}")


def _local_services(access: Access) -> Finding:
    start = time.monotonic()
    try:
        name = wait_for_worker(access)
    except NepiqError as error:
        return Finding("local services", ok=False, told=error.message, fix=error.hint)
    status = embedded.status(access.settings.state_home) or {}
    pids = f"daemon {status.get('keeper')}, redis {status.get('redis')}"
    pids += f", worker {status.get('worker')}"
    elapsed = duration(time.monotonic() - start)
    return Finding("local services", ok=True, told=f"{name} after {elapsed}; pids: {pids}")


def _redis(access: Access) -> Finding:
    from ..engine.installation import facts_of

    start = time.monotonic()
    info: Any = access.backend.redis.info()
    elapsed = duration(time.monotonic() - start)
    release = str(info.get("redis_version", "0"))
    text = f"{release} answers in {elapsed}"
    if tuple(int(part) for part in re.findall(r"\d+", release)[:2]) < (6, 2):
        return Finding("redis", ok=False, told=text, fix="install Redis 6.2 or later")
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        fix = "set maxmemory-policy noeviction: an evicted key breaks an experiment"
        return Finding("redis", ok=False, told=text + f", {info['maxmemory_policy']}", fix=fix)
    facts = facts_of(info)
    if facts.full:
        text += f", uses {size(facts.memory)} of {size(facts.limit)} (maxmemory)"
        text += f", {size(access.backend.contents.used())} of it for files of applications"
        fix = "free memory with nepiq forget RUN or --contents, or raise maxmemory"
        return Finding("redis", ok=False, told=text, fix=fix)
    if not facts.healthy:
        fix = "check the log of Redis and the free space on its disk"
        return Finding("redis", ok=False, told=text + ", cannot write its file", fix=fix)
    if not facts.aof:
        return Finding("redis", ok=True, told=text + ", data is lost on a restart (no AOF)")
    return Finding("redis", ok=True, told=text + ", data is persistent")


def _broker(access: Access) -> Finding:
    access.backend.broker.ping()
    same = access.settings.broker_url == access.settings.state_url
    return Finding("broker", ok=True, told="the same Redis" if same else "answers")


def _clock(access: Access) -> Finding:
    ahead = redis_clock.ahead_of(access.backend.redis)
    text = f"this machine is {_skew(ahead)}"
    fix = (
        ""
        if abs(ahead) < redis_clock.TOLERATED
        else "start a time service (chrony, systemd-timesyncd)"
    )
    return Finding("clock", ok=not fix, told=text, fix=fix)


def _workers(access: Access) -> Finding:
    workers = access.backend.workers()
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        gone = f"; gone: {some([worker.name for worker in workers])}" if workers else ""
        return Finding("workers", ok=False, told="none is running" + gone, fix="nepiq worker")
    text = some([_worker(info) for info in alive], 10)
    skewed = [info for info in alive if info.paused or abs(info.ahead) > redis_clock.TOLERATED]
    if skewed:
        fix = f"start a time service on {some(sorted({info.machine for info in skewed}))}"
        return Finding("workers", ok=False, told=text, fix=fix)
    protocols = sorted({str(info.protocol) for info in alive})
    if len(protocols) > 1:
        fix = "drain the workers with the old version: nepiq drain NAME"
        return Finding("workers", ok=False, told=f"{text}; protocols {some(protocols)}", fix=fix)
    versions = sorted({worker.version for worker in alive})
    if len(versions) > 1:
        fix = "install the same version of nepiq on all machines"
        return Finding("workers", ok=False, told=f"{text}; versions {some(versions)}", fix=fix)
    return Finding("workers", ok=True, told=text)


def _worker(info: WorkerInfo) -> str:
    words = [" ".join(queue for queue in info.queues if queue == queues.shared(queue))]
    if info.draining:
        words.append(f"draining, {plural(info.running, 'step')} to finish")
    if info.paused:
        words.append("paused because of its clock")
    if abs(info.ahead) > redis_clock.TOLERATED:
        words.append(f"clock {_skew(info.ahead)}")
    return f"{info.name} ({'; '.join(words)})"


def _skew(ahead: float) -> str:
    return f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} Redis"


def _hosts(access: Access) -> Finding:
    """Check for hosts with possible leftovers of runs whose data Redis has lost."""
    leftovers = access.backend.left()
    if not leftovers:
        return Finding("hosts", ok=True, told="no leftovers of lost runs are known")
    runs = sorted({item.run_id for item in leftovers})
    reasons = sorted({item.why for item in leftovers})
    text = f"Redis lost the data of {some(runs)}, which may have left processes and files: "
    machines: dict[str, list[str]] = {}
    for item in leftovers:
        hosts = machines.setdefault(item.machine, [])
        if item.host not in hosts:
            hosts.append(item.host)
    commands = [f"nepiq clean {' '.join(hosts)} (on {name})" for name, hosts in machines.items()]
    return Finding("hosts", ok=False, told=text + some(reasons), fix="; ".join(commands))


def _pools(access: Access) -> Finding:
    """Check for hosts of pools that runs use without a lease."""
    from ..resources.linux.pool import Pool, key_of

    pools = access.backend.pools.all_installed()
    hosts = {
        entry.key: name
        for name, raw in pools.items()
        for entry in Pool.load(guid=0, label=name, attributes=raw).entries()
    }
    if not hosts:
        return Finding("pools", ok=True, told="none is kept here")
    used: dict[str, str] = {}
    for info in access.backend.runs():
        if info.phase == "RELEASED":
            continue
        store = access.backend.exact_run(info.run_id).store
        for record in store.records(store.watches()):  # hosts that are deployed
            values = record.attributes
            if "hostname" in values and "pool" not in values:
                key = key_of(values["hostname"], values.get("port"))
                if key in hosts:
                    used[key] = info.run_id
    leased = sum(key in hosts for key in access.backend.pools.allocation().leases)
    if used:
        listed = [f"{key} of pool {hosts[key]} by run {run_id}" for key, run_id in used.items()]
        fix = "give those nodes pool= instead of hostname=, so that other runs do not get the host"
        return Finding("pools", ok=False, told=f"used without a lease: {some(listed)}", fix=fix)
    text = f"{plural(len(pools), 'pool')} with {plural(len(hosts), 'host')}, {leased} leased"
    return Finding("pools", ok=True, told=text)


def _runs(access: Access) -> Finding:
    active = [info for info in access.backend.runs() if info.phase != "RELEASED"]
    late: list[Overdue] = []
    idle = []
    for info in active:
        run = access.backend.exact_run(info.run_id)
        late += overdue(run)
        meta = run.store.meta()
        if meta is not None and time.time() - max(meta.seen, meta.last) > _IDLE_DAYS * 86400:
            idle.append(info.run_id)
    if late:
        fix = "nepiq why RUN RESOURCE explains it; nepiq release RUN ends the run"
        return Finding("runs", ok=False, told=latest(late), fix=fix)
    if idle:
        text = f"idle for {_IDLE_DAYS} days: {some(idle)}"
        return Finding("runs", ok=False, told=text, fix="nepiq release RUN")
    expired = access.backend.outlived()
    if expired:
        text = f"{plural(expired, 'released run')} kept for longer than NEPIQ_RETENTION"
        fix = "nepiq forget RUN, or start a worker, which deletes them"
        return Finding("runs", ok=False, told=text, fix=fix)
    return Finding("runs", ok=True, told=f"{len(active)} active, no step overdue")
