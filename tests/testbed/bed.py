"""The test bed: hosts, a gateway and private hosts behind it, on this machine."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import overload

from . import claim, files
from .host import Host, boot
from .spaces import TestbedFailed, missing
from .switch import PRIVATE, SITE, Leg, Switch

MOST = 200  # of a /24, so that some addresses stay free


class Hosts(Sequence[Host]):
    """Some hosts of a bed; whoever takes one finds it up.

    Args:
        hosts: the hosts.
        ready: brings those up that have not been booted yet.
    """

    def __init__(self, hosts: list[Host], ready: Callable[[Iterable[Host]], None]) -> None:
        self._hosts = hosts
        self._ready = ready

    @overload
    def __getitem__(self, index: int) -> Host: ...
    @overload
    def __getitem__(self, index: slice) -> list[Host]: ...
    def __getitem__(self, index: int | slice) -> Host | list[Host]:
        taken = self._hosts[index]
        self._ready([taken] if isinstance(taken, Host) else taken)
        return taken

    def __iter__(self) -> Iterator[Host]:
        return iter(self[:])

    def __len__(self) -> int:
        return len(self._hosts)


class Testbed:
    """Hosts that are up while the bed is entered.

    Args:
        hosts: how many hosts on the site, which this machine reaches.
        private: how many behind a gateway, which reaches them through its sshd only. There is a
            gateway if this is not 0, or ``gateway`` is true.
        folder: where the files of hosts go; a temporary folder, removed at the end, if not given.
        sshd: options of every host's sshd, as in sshd_config(5); the rest is OpenSSH's default.
        sshd_of: options by the name of a host, on top of those.
        on_demand: boot a host when it is taken from the attributes below, the gateway with the
            first private one. Tests look at all processes of the machine, and those of hosts that
            nobody uses make that slow.

    Attributes:
        hosts: ``host-1`` and so on.
        private: ``private-1`` and so on.
        identity: the private key that logs in everywhere.
        known_hosts: a known_hosts file with every host.
        ssh_config: a file for ``ssh -F``.
        unreachable: an address on the site that never answers, also not that nobody is there.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(
        self,
        hosts: int = 4,
        private: int = 0,
        folder: Path | None = None,
        *,
        gateway: bool = False,
        sshd: Mapping[str, str] | None = None,
        sshd_of: Mapping[str, Mapping[str, str]] | None = None,
        on_demand: bool = False,
    ) -> None:
        if not (0 <= hosts <= MOST and 0 <= private <= MOST):
            raise ValueError(f"at most {MOST} hosts and {MOST} private ones: {hosts}, {private}")
        self._counts = (hosts, private, gateway or private > 0)
        self._own_folder = folder is None
        self._given_folder = folder
        self._sshd = dict(sshd or {})
        self._sshd_of = dict(sshd_of or {})
        self._sockets: list[socket.socket] = []
        self._cleanup = ExitStack()
        self._on_demand = on_demand
        self._hosts: list[Host] = []
        self._private: list[Host] = []
        self._gateways: list[Host] = []
        self._fresh: list[Host] = []  # not booted yet, or not since they were cleared
        self._lock = threading.Lock()
        self.hosts = Hosts(self._hosts, self._ready)
        self.private = Hosts(self._private, lambda taken: self._ready([*self._gateways, *taken]))

    def __enter__(self) -> Testbed:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def gateway(self) -> Host | None:
        """``gateway``, or None."""
        self._ready(self._gateways)
        return self._gateways[0] if self._gateways else None

    @property
    def every(self) -> list[Host]:
        """All hosts, the gateway and private ones too."""
        self._ready(self._made)
        return self._made

    @property
    def _made(self) -> list[Host]:
        return [*self._hosts, *self._gateways, *self._private]

    @property
    def mark(self) -> str:
        """What each process 1 of this bed bears as ``NEPIQ_TESTBED`` in its environment."""
        return self._claim.mark

    def start(self) -> None:
        """Bring all of it up; :meth:`close` is due afterwards, also after an error.

        Raises:
            TestbedFailed: this machine lacks something, or a part did not come up.
        """
        lacking = missing()
        if lacking:
            raise TestbedFailed(f"a test bed needs {lacking}")
        folder = self._make_folder()
        self._claim = claim.take(folder if self._own_folder else None)
        self._cleanup.callback(self._claim.release)
        self.unreachable = str(self._claim.site[254])
        self._switch = Switch(self._claim)
        self._cleanup.callback(self._switch.ended)
        self._cleanup.callback(self._switch.kill)
        self._cleanup.callback(self._end_hosts)
        self._switch.start(self.unreachable)
        self._make_hosts(folder)
        self._boot(self._made)

    def close(self) -> None:
        """End and remove all of it. A second call does nothing."""
        for listener in self._sockets:
            listener.close()
        self._cleanup.close()

    def reset(self) -> None:
        """Crash every host that was used, and boot it with empty homes and its first options."""
        used = [host for host in self._made if host not in self._fresh and host.used()]
        for host in used:
            host.clear()
        self._boot(used)

    def _boot(self, hosts: list[Host]) -> None:
        """Boot hosts, now or when somebody takes them."""
        with self._lock:
            self._fresh += hosts
        if not self._on_demand:
            self._ready(hosts)

    def _ready(self, hosts: Iterable[Host]) -> None:
        """Boot those that have not been."""
        with self._lock:
            fresh = [host for host in hosts if host in self._fresh]
            self._fresh[:] = [host for host in self._fresh if host not in fresh]
            if fresh:
                boot(fresh, self._switch)

    def silent_port(self) -> tuple[str, int]:
        """An address and port, on this machine, that accepts connections and never answers."""
        listener = socket.create_server((str(self._claim.site[1]), 0), backlog=64)
        self._sockets.append(listener)
        address, port = listener.getsockname()
        return str(address), int(port)

    def _end_hosts(self) -> None:
        for host in self._made:
            host.kill()
        for host in self._made:
            host.ended()

    def _make_folder(self) -> Path:
        if self._given_folder is None:
            folder = Path(tempfile.mkdtemp(prefix="nepiq-testbed-"))
            self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        self._given_folder.mkdir(parents=True, exist_ok=True)
        return self._given_folder.resolve()

    def _make_hosts(self, folder: Path) -> None:
        client = files.Key.make()
        self.identity = folder / "id_ed25519"
        client.save(self.identity)
        hosts, private, gateway = self._counts
        for number in range(1, hosts + 1):
            self._hosts.append(self._host(folder, f"host-{number}", [(SITE, number + 1)]))
        if gateway:
            legs = [(SITE, MOST + 10), (PRIVATE, 1)]
            self._gateways.append(self._host(folder, "gateway", legs))
        for number in range(1, private + 1):
            self._private.append(self._host(folder, f"private-{number}", [(PRIVATE, number + 1)]))
        names = "".join(f"{host.address} {host.name}\n" for host in self._made)
        for host in self._made:
            host.furnish(client, names)
        self.known_hosts = folder / "known_hosts"
        lines = [host.known_hosts_line for host in self._made]
        self.known_hosts.write_text("\n".join(lines) + "\n")
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text(self._ssh_config())

    def _host(self, folder: Path, name: str, places: list[tuple[str, int]]) -> Host:
        legs = []
        for number, (bridge, place) in enumerate(places):
            network = self._claim.site if bridge == SITE else self._claim.private
            kind = 0 if bridge == SITE else 1
            mac = f"02:4e:51:{self._claim.number:02x}:{kind:02x}:{place:02x}"
            port = f"{bridge}{place}"
            legs.append(Leg(f"eth{number}", port, bridge, str(network[place]), mac))
        options = {**self._sshd, **self._sshd_of.get(name, {})}
        return Host(name, folder / name, legs, self._switch, self.identity, options)

    def _ssh_config(self) -> str:
        entries = []
        for host in self._made:
            entry = f"Host {host.name} {host.address}\n  HostName {host.address}\n"
            if host in self._private:
                entry += "  ProxyJump gateway\n"
            entries.append(entry)
        return files.ssh_config(entries, self.identity, self.known_hosts)
