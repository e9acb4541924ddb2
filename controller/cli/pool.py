"""Verbs about pools of hosts: pool add, rm, ls, show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..description.description import Description
from ..description.files.store import data_of
from ..errors import InvalidValue, NotAllowed, UnknownPool
from ..errors.text import quoted
from ..model.names import check_name
from ..reports import leases
from ..reports.words import duration, plural
from .console import Consoles, print_json, print_line, simple_table
from .runs import AsJson, reading

if TYPE_CHECKING:
    from ..engine.pools import Allocation, LeaseRecord
    from ..resources.linux.pool import Pool

_RTYPE = "linux::Pool"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the pool.")]


def add(
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="YAML or JSON: a list of hosts, or a mapping with hosts and other attributes of "
            "linux::Pool.",
        ),
    ] = None,
    hosts: Annotated[
        str, typer.Option(help="Hosts instead of a file, as root@fit[01-37],other:2222.")
    ] = "",
    gateway: Annotated[str, typer.Option(help="Jump hosts, outermost first.")] = "",
    site: Annotated[str, typer.Option(help="The site whose workers reach the hosts.")] = "",
) -> None:
    """Keep a pool of hosts in the installation; an earlier one of this name is replaced."""
    check_name("name of a pool", name)
    if (file is None) == (not hosts):
        raise InvalidValue("a pool needs either a file or --hosts")
    data = data_of(file) if file is not None else {"hosts": hosts}
    if isinstance(data, list):
        data = {"hosts": data}
    if not isinstance(data, dict) or "hosts" not in data:
        raise InvalidValue("it names no hosts", where=str(file), hint="write hosts: [...]")
    data |= {key: value for key, value in (("gateway", gateway), ("site", site)) if value}
    pool = _checked(data, str(file or "--hosts"))
    with reading() as access:
        access.backend.pools.install(name, data)
    sys.stderr.write(f"pool {name} has {plural(len(pool.entries()), 'host')}\n")


def rm(name: Name) -> None:
    """Remove a pool from the installation. Runs keep the hosts that they have leased."""
    with reading() as access:
        if not access.backend.pools.uninstall(name):
            raise UnknownPool(name, access.backend.pools.all_installed())
    sys.stderr.write(f"pool {name} is removed\n")


def ls(as_json: AsJson = False) -> None:
    """List the hosts of all pools, which runs have them, and which runs wait for hosts."""
    with reading() as access:
        store = access.backend.pools
        pools = {name: _pool(name, raw) for name, raw in store.all_installed().items()}
        allocation = store.allocation()
        names = leases.names_of(access.backend.redis, allocation)
    if as_json:
        print_json(_as_data(pools, allocation))
        return
    if not pools and not allocation.leases and not allocation.queue:
        sys.stderr.write("no pools yet: nepiq pool add keeps one\n")
        return
    table = simple_table("pool", "host", "held by", "for", "resource")
    members = [(name, entry.key) for name, pool in pools.items() for entry in pool.entries()]
    known = {key for _, key in members}
    members += [("-", key) for key in sorted(allocation.leases.keys() - known)]
    for name, key in members:
        lease = allocation.leases.get(key)
        if lease is None:
            table.add_row(name, key, "free", "", "")
        else:
            since = duration(max(0.0, allocation.at - lease.since))
            holder = names.get(lease.run_id, lease.run_id)
            table.add_row(name, key, holder, since, str(lease.guid))
    Consoles().out.print(table)
    for item in allocation.queue:
        holder = names.get(item.run_id, item.run_id)
        print_line(f"{holder} waits for {leases.describe(allocation, item, names)}")


def show(name: Name, as_json: AsJson = False) -> None:
    """Show the hosts of a pool with their labels, and the facts that are known of them."""
    with reading() as access:
        store = access.backend.pools
        raw = store.installed(name)
        if raw is None:
            raise UnknownPool(name, store.all_installed())
        entries = _pool(name, raw).entries()
        facts = store.facts([entry.key for entry in entries])
    shown: list[dict[str, Any]] = [
        {
            "host": entry.key,
            "login": dict(entry.login),
            "labels": dict(entry.labels),
            "facts": facts.get(entry.key, {}),
        }
        for entry in entries
    ]
    if as_json:
        print_json({"name": name, "hosts": shown})
        return
    table = simple_table("host", "labels", "facts")
    for item in shown:
        table.add_row(item["host"], _pairs(item["labels"]), _pairs(item["facts"]))
    Consoles().out.print(table)


def _pairs(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _checked(data: dict[str, Any], where: str) -> Pool:
    """Return the pool that a user describes."""
    try:
        description = Description()
        guid = description.add(_RTYPE, label="pool", **data)
        description.check([guid])
        pool: Any = description.instance(guid)
    except (InvalidValue, NotAllowed) as error:
        error.where = where
        raise
    except TypeError as error:
        raise InvalidValue(f"{quoted(data)} is not a pool", where=where) from error
    return pool  # type: ignore[no-any-return]


def _pool(name: str, raw: dict[str, Any]) -> Pool:
    from ..resources.linux.pool import Pool

    return Pool.load(guid=0, label=name, attributes=raw)


def _as_data(pools: dict[str, Pool], allocation: Allocation) -> dict[str, Any]:
    def held(lease: LeaseRecord | None) -> dict[str, Any] | None:
        if lease is None:
            return None
        return {"run_id": lease.run_id, "guid": lease.guid, "since": lease.since}

    listed = {name: [entry.key for entry in pool.entries()] for name, pool in pools.items()}
    hosts = sorted({*allocation.leases, *(key for keys in listed.values() for key in keys)})
    return {
        "pools": listed,
        "hosts": {key: held(allocation.leases.get(key)) for key in hosts},
        "waiting": [
            {
                "run_id": item.run_id,
                "since": item.since,
                "count": item.count,
                "hosts": sorted(item.hosts()),
                "overtaken": item.overtaken,
                "kept": item.kept,
            }
            for item in allocation.queue
        ],
    }
