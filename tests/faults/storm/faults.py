"""What can go wrong, each as a function that does it, waits, and undoes it.

What goes wrong on hosts while nobody loses power is in ``hosts.py``.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.testbed import Host

from nepiq.controller.engine.messaging.celery_app import make_app
from nepiq.controller.engine.redis_connection import broker_url, connect

from .site import Site, WorkerMachine, wait

#: Longer than a lease.
PAUSED = 18.0
CUT = 15.0
_QUEUE = "nepiq.default"


@dataclass
class Damage:
    """What a storm has done that shows in the results.

    Attributes:
        rebooted: names of hosts.
        orphaned: ``run.guid`` of applications whose supervisor was killed.
        odd: names of hosts that did not answer as a host does, or had no room: what is on them
            may fail, with a reason.
        told: what was done when, for people.
        broken: faults that could not be carried out, and why.
    """

    rebooted: set[str] = field(default_factory=set)
    orphaned: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass
class Weather:
    """What a fault needs.

    Attributes:
        site: what it goes over.
        rng: draws whom it hits.
        damage: notes what it did.
        run_id: the run.
        small: the host whose disk is small, if there is one; it is not rebooted.
        over: the storm is called off.
    """

    site: Site
    rng: random.Random
    damage: Damage
    run_id: str
    small: Host | None
    over: threading.Event


Fault = Callable[[Weather], str]


def _on_a_worker(act: Callable[[WorkerMachine, Weather], str]) -> Fault:
    """Make a fault of what is done to a worker machine; one at least is always left alone."""

    @functools.wraps(act)
    def fault(weather: Weather) -> str:
        free = [worker for worker in weather.site.workers if not worker.stopped]
        return act(weather.rng.choice(free), weather) if len(free) > 1 else ""

    return fault


def _on_redis(act: Callable[[Weather], str]) -> Fault:
    """Make a fault of what is done to Redis: one at a time, with a rest after it."""

    @functools.wraps(act)
    def fault(weather: Weather) -> str:
        with weather.site.redis_lock:
            told = act(weather)
            time.sleep(1.0)
        return told

    return fault


@_on_a_worker
def kill_worker(worker: WorkerMachine, _: Weather) -> str:
    """A worker is killed; its machine starts another."""
    worker.signal(signal.SIGKILL)
    return f"kill -9 {worker.name}"


@_on_a_worker
def stop_worker(worker: WorkerMachine, weather: Weather) -> str:
    """A worker stands still past its lease, and goes on."""
    with worker.out_of_order():
        worker.signal(signal.SIGSTOP)
        wait(PAUSED, weather.over)
        worker.signal(signal.SIGCONT)
    return f"{worker.name} stopped for {PAUSED:g} s"


@_on_a_worker
def pause_worker(worker: WorkerMachine, weather: Weather) -> str:
    """A worker machine sleeps, as a laptop does, and wakes up while the run goes on."""
    seconds = weather.rng.uniform(20.0, 90.0)
    with worker.out_of_order():
        worker.signal(signal.SIGSTOP)
        time.sleep(seconds)  # also if the rest of the storm is over: what it does then is tested
        worker.signal(signal.SIGCONT)
        # All that it was about to do when it fell asleep it does now, and the run still lasts.
        time.sleep(5.0)
    return f"{worker.name} slept for {seconds:.0f} s"


@_on_a_worker
def cut_worker(worker: WorkerMachine, weather: Weather) -> str:
    """A worker machine reaches neither Redis nor hosts for a time."""
    with worker.out_of_order():
        worker.host.cut()
        wait(CUT, weather.over)
        worker.host.mend()
    return f"{worker.name} cut off for {CUT:g} s"


@_on_redis
def restart_redis(weather: Weather) -> str:
    """Redis is killed, and started again from its log."""
    gone = weather.rng.choice([0.0, 2.0, 5.0])
    weather.site.end_redis(weather.rng.choice([signal.SIGTERM, signal.SIGKILL]))
    wait(gone, weather.over)
    weather.site.start_redis()
    return f"Redis ended, back after {gone:g} s"


@_on_redis
def pause_redis(weather: Weather) -> str:
    """Redis stands still."""
    seconds = weather.rng.choice([3.0, 8.0, 30.0])
    weather.site.signal_redis(signal.SIGSTOP)
    wait(seconds, weather.over)
    weather.site.signal_redis(signal.SIGCONT)
    return f"Redis stopped for {seconds:g} s"


@_on_redis
def forget_a_second(weather: Weather) -> str:
    """Redis is put back to what it was a second ago, as after a crash of its machine."""
    log = weather.site.log_of_redis
    size = log.stat().st_size
    time.sleep(1.0)
    weather.site.end_redis(signal.SIGKILL)
    lost = log.stat().st_size - size
    os.truncate(log, size)
    weather.site.start_redis()
    return f"Redis forgot a second ({lost} bytes)"


def lose_replies(weather: Weather) -> str:
    """Scripts of workers are carried out, and nobody hears of it."""
    for _ in range(3):
        weather.site.lose_replies()
        wait(0.7, weather.over)
    return "replies of scripts lost"


def tamper_with_queue(weather: Weather) -> str:
    """Messages that wait in the queues of a site and its workers are lost or doubled."""
    drop = weather.rng.random() < 0.5
    url = weather.site.settings.broker_url
    app = make_app(broker_url(url))
    with weather.site.redis_lock:
        broker = connect(url)
        control = app.control
        names = [f"w@{worker.name}" for worker in weather.site.workers]
        queues = {name: [_QUEUE, f"{_QUEUE}@{name}"] for name in names}
        for name, own in queues.items():
            for queue in own:
                control.cancel_consumer(queue, destination=[name])
        wait(1.5, weather.over)
        waiting = 0
        for queue in {queue for own in queues.values() for queue in own}:
            key = f"nepiq:{queue}"
            held = broker.lrange(key, 0, -1)
            waiting += len(held)
            if drop:
                broker.delete(key)
            elif held:
                broker.lpush(key, *held)
        for _ in range(2):  # Whoever came back meanwhile may not have heard it.
            for name, own in queues.items():
                for queue in own:
                    control.add_consumer(queue, destination=[name])
            wait(0.5, weather.over)
        broker.close()
        app.close()
    return f"{waiting} messages {'lost' if drop else 'doubled'}"


def reboot_host(weather: Weather) -> str:
    """A host loses its power, and comes back."""
    host = weather.rng.choice([host for host in weather.site.hosts if host is not weather.small])
    weather.damage.rebooted.add(host.name)
    silently = weather.rng.random() < 0.5
    if silently:
        host.cut()
    host.crash()
    wait(weather.rng.choice([0.0, 3.0]), weather.over)
    host.boot()
    if silently:
        host.mend()
    return f"{host.name} rebooted{' silently' if silently else ''}"


def kill_supervisor(weather: Weather) -> str:
    """What watches an application on its host is killed."""
    hosts = list(weather.site.hosts)
    weather.rng.shuffle(hosts)
    for host in hosts:
        if not host.up:
            continue
        for pid in host.bearers(f"{weather.run_id}."):
            try:
                environment = (host.inside(f"/proc/{pid}/environ")).read_bytes().split(b"\0")
                name = host.inside(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                continue
            mark = next(item for item in environment if item.startswith(b"NEPIQ_ID="))
            run, guid, *role = mark.decode().removeprefix("NEPIQ_ID=").split(".")
            if role == ["supervisor"] and "." in name:  # what it supervises
                guid, *role = f"{name}.supervisor".split(".")
            if role[1:] == ["supervisor"]:
                weather.damage.orphaned.add(f"{run}.{guid}")
                host.run(f"kill -9 {pid}", user="root", check=False)
                return f"supervisor of {guid} on {host.name} killed"
    return ""


FAULTS: tuple[Fault, ...] = (
    kill_worker,
    stop_worker,
    cut_worker,
    restart_redis,
    pause_redis,
    forget_a_second,
    lose_replies,
    tamper_with_queue,
    reboot_host,
    kill_supervisor,
)
