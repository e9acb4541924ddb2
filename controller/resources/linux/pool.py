"""linux::Pool: hosts that several runs share, each for itself while it uses them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model import Action, Attribute, Flag, Login, Name
from .login_attributes import LOCAL, LOGIN, LoginAttributes
from .node import Node

_MOST = 10_000
_RANGE = re.compile(r"\[([^\]:]*)\]")  # an address in brackets has colons
_SEPARATOR = re.compile(r",(?![^\[]*\])")
_PORT = 22


class PoolHost(NamedTuple):
    """A host of a pool.

    Attributes:
        key: tells it apart from others: its name if it has one, else ``hostname:port``.
        login: attributes of a node by name.
        labels: its labels.
    """

    key: str
    login: Mapping[str, Any]
    labels: Mapping[str, Any]


class Labels(dict[str, Any]):
    """Labels of hosts: a mapping of names to text, numbers or truth values."""

    @classmethod
    def parse(cls, value: Any) -> Labels:
        """Return the labels in a mapping."""
        if not isinstance(value, Mapping):
            raise InvalidValue("must be a mapping of labels to values")
        for name, item in value.items():
            if not isinstance(item, (str, int, float)):
                raise InvalidValue(f"must have text, a number or a truth value as {quoted(name)}")
        return cls(value)


class PoolHosts(list[PoolHost]):
    """The hosts of a pool, without what they have in common.

    Users write text, as ``user@fit[01-37], r2lab:2222``, or a list. An item of it is text or a
    mapping: ``hostname``, other attributes of a node, ``labels``, and ``name``, which tells apart
    hosts of equal addresses behind different gateways.
    """

    @classmethod
    def parse(cls, value: Any) -> PoolHosts:
        """Return the hosts in text or a list."""
        items = value if isinstance(value, list) else [value]
        hosts: list[PoolHost] = []
        for item in items:
            if isinstance(item, str):
                hosts += [_named(text) for text in _expanded(item)]
            elif isinstance(item, Mapping):
                hosts.append(_described(item))
            else:
                raise InvalidValue("must be text such as user@fit[01-37], or a list of hosts")
        return cls(hosts)


def _expanded(text: str) -> Iterator[str]:
    """Yield the names in ``fit[01-03,7],other``."""
    count = 0
    front = [part.strip() for part in _SEPARATOR.split(text)][::-1]
    while front:
        part = front.pop()
        match = _RANGE.search(part)
        if match is None:
            count += 1
            if count > _MOST:
                raise InvalidValue(f"must have at most {_MOST} hosts")
            yield part
            continue
        head, tail = part[: match.start()], part[match.end() :]
        front += [f"{head}{number}{tail}" for number in _numbers(match[1])][::-1]


def _numbers(text: str) -> list[str]:
    numbers: list[str] = []
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or len(first) > 9 or len(last) > 9:
            raise InvalidValue(f"must have ranges such as [01-37], not [{text}]")
        if int(first) > int(last) or int(last) - int(first) >= _MOST:
            raise InvalidValue(f"must have ranges from small to large, not [{text}]")
        numbers += [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return numbers


def _named(text: str) -> PoolHost:
    login = Login.parse(text)
    given = {"hostname": login.hostname, "username": login.username, "port": login.port}
    return _described({name: value for name, value in given.items() if value})


def _described(item: Mapping[str, Any]) -> PoolHost:
    for name in item:
        if name not in (*LOGIN, "site", "labels", "name"):
            raise InvalidValue(
                f"must have hosts without {quoted(name)}",
                hint=f"a host has {', '.join((*LOGIN, 'site', 'labels', 'name'))}",
            )
    if not item.get("hostname"):
        raise InvalidValue("must have a hostname for each host")
    login = {
        name: Node.attributes[name].check(value)
        for name, value in item.items()
        if name not in ("labels", "name") and value is not None
    }
    labels = Labels.parse(item.get("labels", {}))
    return PoolHost(Name.parse(item["name"]) if "name" in item else "", login, labels)


def key_of(hostname: str, port: int | None) -> str:
    """Return the key of a host: ``name:port`` in lower case, an address in its shortest form."""
    try:
        address = ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        name = hostname.lower().rstrip(".")
    else:
        name = f"[{address}]" if address.version == 6 else str(address)
    return f"{name}:{port or _PORT}"


class Pool(LoginAttributes, rtype="linux::Pool"):
    """Hosts that runs lease: each host is used by one run at a time.

    Nodes with ``pool`` lease their hosts when they are deployed, all nodes of one deployment at
    once, and give them back when they are released. Attributes that describe logins apply to all
    hosts that do not have their own; attributes of a node have priority.

    A pool of the experiment names its hosts; one with ``name`` and without hosts is the pool that
    ``nepiq pool add`` keeps in the installation under that name. Pools that name the same host
    exclude each other.
    """

    does_io = False
    endless = True

    name = Attribute(
        Name, help="Name of a pool that is kept in the installation.", flags=Flag.DESIGN
    )
    hosts = Attribute(
        PoolHosts,
        help="Its hosts: text such as user@fit[01-37], or a list of texts and mappings with "
        "hostname, username, port, labels...",
        flags=Flag.DESIGN,
    )
    labels = Attribute(Labels, {}, help="Labels of all its hosts.", flags=Flag.DESIGN)

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has hosts or a name, and each host once."""
        del conditional
        if (self.hosts is None) == (self.name is None):
            raise InvalidValue("set either hosts or name", where=self.label)
        self.entries()

    def entries(self) -> list[PoolHost]:
        """Return its hosts, each with all that applies to it.

        Raises:
            InvalidValue: two of them are the same, or one is the worker machine itself.
        """
        found: dict[str, PoolHost] = {}
        for host in self.hosts or ():
            common = {name: self.stored(name) for name in (*LOGIN, "site") if name in _COMMON}
            login = {name: value for name, value in common.items() if value is not None}
            login |= host.login
            if login["hostname"] in LOCAL and login.get("port") is None:
                raise InvalidValue(
                    f"{login['hostname']} is the worker machine itself, which cannot be leased",
                    where=self.label,
                    hint="give its port to reach it by SSH",
                )
            key = host.key or key_of(login["hostname"], login.get("port"))
            if key in found:
                raise InvalidValue(
                    f"host {key} is in the pool twice",
                    where=self.label,
                    hint="give hosts of equal addresses behind different gateways a name each",
                )
            labels = {"hostname": login["hostname"], **self.labels, **host.labels}
            found[key] = PoolHost(key, login, labels)
        return list(found.values())


_COMMON = frozenset(Pool.attributes)
