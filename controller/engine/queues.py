"""Names of the queues that steps travel through."""

from __future__ import annotations

COMMON = "nepiq"
"""Every worker serves it: steps that act on no host, and callbacks."""


def of_site(site: str) -> str:
    """The queue of the steps that act on a site's hosts."""
    return f"{COMMON}.{site}"


def of_machine(machine: str) -> str:
    """The queue of the steps bound to one worker machine, such as those on its localhost."""
    return f"{COMMON}.m.{machine}"


def site_of(queue: str) -> str:
    """The site whose queue it is; empty for the others."""
    prefix = f"{COMMON}."
    return queue[len(prefix) :] if queue.startswith(prefix) and ".m." not in queue else ""
