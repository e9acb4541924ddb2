"""``nepiq doctor``: looks at everything that experiments need, one line each, with the fix."""

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
from ..monitoring.overdue import Overdue, overdue, shown
from ..reports.words import duration, plural, size, some
from ..services import embedded
from ..settings import Settings
from .console import print_json, tell
from .services import wait_for_worker

_NEEDED_TOOLS = ("sh", "flock", "setsid", "base64", "tail")
_IDLE_DAYS = 7


@dataclass(frozen=True)
class Finding:
    """The result of one look.

    Attributes:
        about: what was looked at.
        ok: nothing has to be done.
        told: what was found.
        fix: what to do; empty if nothing.
    """

    about: str
    ok: bool
    told: str
    fix: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Redis, workers, clocks, this machine and the runs; exit with 3 if something is wrong.

    Without NEPIQ_BROKER_URL the embedded stack is checked, which starts it.
    """
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            fix = f"  -> {finding.fix}" if finding.fix else ""
            mark = "ok" if finding.ok else "!!"
            tell(f"{mark}  {finding.about}: {finding.told}{fix}")
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
        yield Finding("embedded stack", ok=False, told=error.message, fix=error.hint)
        return
    try:
        if access.embedded is not None:
            yield _embedded(access)
        looks: tuple[Callable[[Access], Finding], ...] = (
            _redis,
            _broker,
            _clock,
            _workers,
            _runs,
            _hosts,
        )
        for look in looks:
            try:
                with contact():
                    yield look(access)
            except NepiqError as error:
                yield Finding(look.__name__[1:], ok=False, told=error.message, fix=error.hint)
                return
    finally:
        access.close()


def _tools() -> Finding:
    missing = [tool for tool in _NEEDED_TOOLS if shutil.which(tool) is None]
    if missing:
        fix = "install util-linux and coreutils"
        return Finding("this machine", ok=False, told=f"lacks {some(missing, 5)}", fix=fix)
    return Finding("this machine", ok=True, told=f"has {some(_NEEDED_TOOLS, 5)}")


def _embedded(access: Access) -> Finding:
    began = time.monotonic()
    try:
        name = wait_for_worker(access)
    except NepiqError as error:
        return Finding("embedded stack", ok=False, told=error.message, fix=error.hint)
    told = embedded.status(access.settings.state_home) or {}
    pids = f"keeper {told.get('keeper')}, redis {told.get('redis')}, worker {told.get('worker')}"
    took = duration(time.monotonic() - began)
    return Finding("embedded stack", ok=True, told=f"{name} after {took}; pids: {pids}")


def _redis(access: Access) -> Finding:
    from ..engine.installation import facts_of

    began = time.monotonic()
    info: Any = access.stack.redis.info()
    took = duration(time.monotonic() - began)
    release = str(info.get("redis_version", "0"))
    told = f"{release} answers in {took}"
    if tuple(int(part) for part in re.findall(r"\d+", release)[:2]) < (6, 2):
        return Finding("redis", ok=False, told=told, fix="version 6.2 or later is needed")
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        fix = "set maxmemory-policy noeviction: an evicted key is a lost experiment"
        return Finding("redis", ok=False, told=told + f", {info['maxmemory_policy']}", fix=fix)
    facts = facts_of(info)
    if facts.full:
        told += f", uses {size(facts.memory)} of the {size(facts.limit)} that it may use"
        fix = "nepiq forget RUN makes room; or give Redis more memory (maxmemory)"
        return Finding("redis", ok=False, told=told, fix=fix)
    if not facts.healthy:
        fix = "look at its log and for room on its disk"
        return Finding("redis", ok=False, told=told + ", cannot write its file", fix=fix)
    if not facts.aof:
        return Finding("redis", ok=True, told=told + ", keeps nothing over a restart (no AOF)")
    return Finding("redis", ok=True, told=told + ", keeps its data")


def _broker(access: Access) -> Finding:
    with access.stack.publisher.connection() as connection:
        connection.ensure_connection(max_retries=1, timeout=int(access.settings.connect_timeout))
    same = access.settings.broker_url == access.settings.state_url
    return Finding("broker", ok=True, told="the same Redis" if same else "answers")


def _clock(access: Access) -> Finding:
    ahead = redis_clock.ahead_of(access.stack.redis)
    told = f"this machine is {_place(ahead)}"
    fix = (
        ""
        if abs(ahead) < redis_clock.TOLERATED
        else "start a time service (chrony, systemd-timesyncd)"
    )
    return Finding("clock", ok=not fix, told=told, fix=fix)


def _workers(access: Access) -> Finding:
    found = access.stack.workers()
    alive = [worker for worker in found if worker.alive]
    if not alive:
        gone = f"; gone: {some([worker.name for worker in found])}" if found else ""
        return Finding("workers", ok=False, told="there is none" + gone, fix="nepiq worker")
    told = some([_worker(info) for info in alive], 10)
    wrong = [info for info in alive if info.paused or abs(info.ahead) > redis_clock.TOLERATED]
    if wrong:
        fix = f"start a time service on {some(sorted({info.machine for info in wrong}))}"
        return Finding("workers", ok=False, told=told, fix=fix)
    protocols = sorted({str(info.protocol) for info in alive})
    if len(protocols) > 1:
        fix = "drain the old ones: nepiq drain NAME"
        return Finding("workers", ok=False, told=f"{told}; protocols {some(protocols)}", fix=fix)
    versions = sorted({worker.version for worker in alive})
    if len(versions) > 1:
        fix = "install the same nepiq everywhere"
        return Finding("workers", ok=False, told=f"{told}; versions {some(versions)}", fix=fix)
    return Finding("workers", ok=True, told=told)


def _worker(info: WorkerInfo) -> str:
    words = [" ".join(queue for queue in info.queues if queue == queues.shared(queue))]
    if info.draining:
        words.append(f"draining, {plural(info.running, 'step')} to finish")
    if info.paused:
        words.append("takes no steps")
    if abs(info.ahead) > redis_clock.TOLERATED:
        words.append(f"clock {_place(info.ahead)}")
    return f"{info.name} ({'; '.join(words)})"


def _place(ahead: float) -> str:
    return f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} Redis"


def _hosts(access: Access) -> Finding:
    """What runs may have left whose data Redis has lost."""
    left = access.stack.left()
    if not left:
        return Finding("hosts", ok=True, told="nothing is known to be left of lost runs")
    runs = sorted({item.run_id for item in left})
    whys = sorted({item.why for item in left})
    told = f"Redis has lost the data of {some(runs)}, which may have left something there: "
    machines: dict[str, list[str]] = {}
    for item in left:
        hosts = machines.setdefault(item.machine, [])
        if item.host not in hosts:
            hosts.append(item.host)
    ways = [f"nepiq clean {' '.join(hosts)} (on {name})" for name, hosts in machines.items()]
    return Finding("hosts", ok=False, told=told + some(whys), fix="; ".join(ways))


def _runs(access: Access) -> Finding:
    active = [info for info in access.stack.runs() if info.phase != "RELEASED"]
    late: list[Overdue] = []
    idle = []
    for info in active:
        run = access.stack.exact_run(info.run_id)
        late += overdue(run)
        meta = run.store.meta()
        if meta is not None and time.time() - max(meta.seen, meta.last) > _IDLE_DAYS * 86400:
            idle.append(info.run_id)
    if late:
        fix = "nepiq why RUN RESOURCE says more; nepiq release RUN ends it"
        return Finding("runs", ok=False, told=shown(late), fix=fix)
    if idle:
        told = f"idle for {_IDLE_DAYS} days: {some(idle)}"
        return Finding("runs", ok=False, told=told, fix="nepiq release RUN")
    outlived = access.stack.outlived()
    if outlived:
        told = f"{plural(outlived, 'released run')} kept for longer than NEPIQ_RETENTION"
        return Finding(
            "runs", ok=False, told=told, fix="nepiq forget RUN; workers do it themselves"
        )
    return Finding("runs", ok=True, told=f"{len(active)} active, no step overdue")
