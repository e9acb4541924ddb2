"""Hosts that are up and do not what a host should: no room on their disk, answers that are none."""

from __future__ import annotations

import subprocess
import threading

from tests.testbed import Host
from tests.testbed.spaces import TestbedFailed

from .faults import Weather
from .site import wait

#: Room for the files of a storm, and some more.
_ROOM = "24m"
_ANSWERS = {
    "noise": "head -c 100000 /dev/urandom",
    "noise without end": "cat /dev/urandom",
    "answers that end in noise": '/bin/sh "$@"; head -c 3000 /dev/urandom',
    "answers without end": '/bin/sh "$@"; cat /dev/zero',
    "other answers": '/bin/sh "$@" | tr 0-9 3-90-2',
}
_DISCONNECT = "pkill -f '^sshd[^:]*: lab' || true"
_BIND = "cat >/run/odd && chmod 755 /run/odd && mount --bind /run/odd /bin/bash && " + _DISCONNECT
_one_at_a_time = threading.Lock()


def make_small(host: Host) -> None:
    """Have a host keep what nepiq writes there on a small disk of its own, until it ends."""
    host.run("mkdir -p .nepiq && chmod 700 .nepiq")
    owner = host.run("id -u").stdout.strip()
    options = f"size={_ROOM},mode=700,uid={owner},gid={owner}"
    host.run(f"mount -t tmpfs -o {options} small /home/lab/.nepiq", user="root")


def fill_disk(weather: Weather) -> str:
    """The disk of a host is full for a time."""
    host = weather.small
    if host is None:
        return ""
    weather.damage.odd.add(host.name)
    seconds = weather.rng.uniform(3.0, 15.0)
    host.run("cat /dev/zero >.nepiq/fill 2>/dev/null; true")
    wait(seconds, weather.over)
    host.run("rm -f .nepiq/fill")
    return f"disk of {host.name} full for {seconds:.0f} s"


def answer_oddly(weather: Weather) -> str:
    """The login shell of a host says anything, and its connections end."""
    with _one_at_a_time:
        host = weather.rng.choice([host for host in weather.site.hosts if host.up])
        what = weather.rng.choice(sorted(_ANSWERS))
        seconds = weather.rng.uniform(5.0, 20.0)
        weather.damage.odd.add(host.name)
        boot = host.space
        try:
            host.run(_BIND, user="root", text=f"#!/bin/sh\n{_ANSWERS[what]}\n")
            wait(seconds, weather.over)
            host.run(f"umount -l /bin/bash; pkill -x odd; {_DISCONNECT}", user="root")
        except (TestbedFailed, subprocess.CalledProcessError):
            if host.up and host.space is boot:
                raise
            # It was booted meanwhile, which brings its shell back.
    return f"{what} from {host.name} for {seconds:.0f} s"
