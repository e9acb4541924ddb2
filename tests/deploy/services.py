"""Services of compose.yaml as containers, by what the file says: docker compose up, run, exec."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.stand import ROOT, until

from .accounts import Account
from .container import DOCKER, Container, Network, Program
from .images import IMAGES, Image, build
from .tree import Tree

SECONDS = 60.0
# What a service may say here: nothing else is carried out.
CARRIED_OUT = {
    *("image", "command", "entrypoint", "environment", "volumes", "working_dir", "hostname"),
    *("init", "read_only", "tmpfs", "cap_drop", "security_opt", "depends_on", "healthcheck"),
    *("stop_grace_period", "user"),
    # Of no effect here: images are laid out by images.py, nothing restarts, addresses are reached
    # as they are; and a profile says what "up" does not start.
    *("build", "restart", "ports", "profiles"),
}


class Project:
    """The services of a compose file.

    Args:
        read: the file, its variables replaced.
        folder: for volumes and roots.
        scale: how many containers of a service, if not one.
    """

    def __init__(self, read: dict[str, Any], folder: Path, scale: dict[str, int]) -> None:
        self._services: dict[str, dict[str, Any]] = read["services"]
        self._folder = folder
        self._scale = scale
        self._close = ExitStack()
        self._created = 0
        self.containers: dict[str, list[Container]] = {}

    def __enter__(self) -> Project:
        self._network = self._close.enter_context(Network())
        self._addresses = {
            name: [self._network.address() for _ in range(self._scale.get(name, 1))]
            for name in self._services
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def addresses(self, name: str) -> list[str]:
        """Where the containers of a service are; known before they are."""
        return self._addresses[name]

    def up(self) -> None:
        """Start what has no profile, each service after those that it depends on."""
        for name, service in self._services.items():
            if not service.get("profiles"):
                self._start(name)

    def run(self, name: str, *command: str) -> Container:
        """Start one more container of a service, with another command if one is given."""
        self._await(name)
        container = self._container(name, self._network.address(), list(command) or None)
        self._network.start(container)
        return container

    def stop(self, name: str) -> list[int]:
        """Have the containers of a service end within its grace; their exit codes."""
        return [container.stop(self.grace(name)) for container in self.containers[name]]

    def restart(self, name: str) -> None:
        """Stop a service, and start new containers of it with the same volumes and addresses."""
        self.stop(name)
        self._begin(name)

    def healthy(self, name: str) -> None:
        """Wait until the health check of a service succeeds in all of its containers."""
        kind, *words = self._services[name]["healthcheck"]["test"]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        for container in self.containers[name]:
            until(lambda: _succeeds(container, command), SECONDS, f"{name} is not healthy")  # noqa: B023

    def checked(self) -> list[str]:
        """The services that have a health check."""
        return [name for name, service in self._services.items() if "healthcheck" in service]

    def grace(self, name: str) -> float:
        """Seconds that a container of a service has to end after SIGTERM."""
        told = self._services[name].get("stop_grace_period", "10s")
        return float(told[:-1]) * {"s": 1, "m": 60}[told[-1]]

    def _start(self, name: str) -> None:
        if name in self.containers:
            return
        self._await(name)
        self._begin(name)

    def _begin(self, name: str) -> None:
        made = [self._container(name, address, None) for address in self._addresses[name]]
        self.containers[name] = made
        for container in made:
            self._network.start(container)

    def _await(self, name: str) -> None:
        for other, how in self._services[name].get("depends_on", {}).items():
            self._start(other)
            if how["condition"] == "service_healthy":
                self.healthy(other)
            elif how["condition"] == "service_completed_successfully":
                for container in self.containers[other]:
                    code = container.ended(SECONDS)
                    assert code == 0, container.text()

    def _container(self, name: str, address: str, command: list[str] | None) -> Container:
        service = self._services[name]
        assert set(service) <= CARRIED_OUT, name
        image = IMAGES[service["image"]]
        self._created += 1
        root = self._folder / f"{self._created}-{name}"
        tree = Tree(root)
        build(image, tree)
        hostname = service.get("hostname", secrets.token_hex(6))
        tree.file("etc/hosts", "127.0.0.1 localhost\n" + "".join(self._names()))
        self._mount(service, image, tree)
        program = Program(
            [
                *service.get("entrypoint", image.entrypoint),
                *(service.get("command", []) if command is None else command),
            ],
            {**image.environment, "HOSTNAME": hostname, **service.get("environment", {})},
            user=Account(tree, service["user"]).number if "user" in service else image.user,
            folder=service.get("working_dir", image.folder),
            capabilities="-all" if service.get("cap_drop") == ["ALL"] else DOCKER,
            new_privileges="no-new-privileges:true" not in service.get("security_opt", []),
            init=service.get("init", False),
        )
        read_only = service.get("read_only", False)
        log = root.with_suffix(".log")
        return Container(hostname, tree, program, log, read_only=read_only, address=address)

    def _names(self) -> Iterable[str]:
        return [f"{address} {name}\n" for name, many in self._addresses.items() for address in many]

    def _mount(self, service: dict[str, Any], image: Image, tree: Tree) -> None:
        for place in service.get("tmpfs", []):
            tree.tmpfs(place)
        for volume in service.get("volumes", []):
            source, place, *mode = volume.split(":")
            if source[0] in "./":
                found = ROOT / source
                assert found.exists(), volume
            else:
                found = self._volume(source, image.owners.get(place, 0))
            tree.bind(found, place, writable=mode != ["ro"])

    def _volume(self, name: str, owner: int) -> Path:
        """The folder of a named volume; a new one is owned as the folder in the image is."""
        folder = self._folder / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, owner, owner)
        return folder


def _succeeds(container: Container, command: list[str]) -> bool:
    assert container.space.alive(), container.text()
    return container.run(*command).returncode == 0
