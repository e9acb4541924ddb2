"""What runs have left in the kernel of a host: found by records and by marks.

A run that lives has a record in ``/run/nepiq`` for each resource that has configured something, and
each record says of which ``.nepiq`` it is. So what bears a mark of nepiq, and is of no run that
another ``.nepiq`` has a record of, was left behind.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...controller.model.configuration import ROUTE_PROTOCOL, run_mark

NOBODY = "unknown"
"""The run to which belongs what bears the mark of a run that is not known by its name."""

_RUN = r"(?P<run>[0-9A-Za-z][0-9A-Za-z._-]{0,62}?)"
_CODE = r"(?P<mark>[0-9a-z]{6})"
_RECORD = re.compile(
    rf"record\t{_RUN}-(?P<node>[1-9][0-9]{{0,15}})\t(?P<ours>[01])\t(?P<guids>[0-9 ]*)"
)
_SPACE = re.compile(rf"space\t(?P<name>nq-{_CODE}-[0-9]+)")
_NAME = r"(?P<name>[^\t ]{1,15})"
_ALIASED = re.compile(rf"link\t{_NAME}\tnepiq:{_RUN}\.[0-9]+")
_NAMED = re.compile(rf"link\t(?P<name>nq{_CODE}[0-9a-z]{{1,7}})\t")
_TABLE = re.compile(rf"table\t(?P<name>[a-z0-9]+ nq[_-]?{_CODE}[^ ]*)")
_ROUTE = re.compile(r"route\t(?P<name>(route|rule) .*)")

#: Goes on in the script of :mod:`.host_cleanup`: $base is set. Without root, tables of nft can only
#: be seen where sudo asks for no password; it is not tried where nothing of nepiq is in the kernel.
#: Records come last: whatever a living run has made by then has one.
SCRIPT = rf"""
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
for space in /run/netns/nq-*-[0-9]*; do
    [ ! -e "$space" ] || printf 'space\t%s\n' "${{space##*/}}"
done
ip -o link show 2>/dev/null | sed -n \
    -e 's/^[0-9]*: \([^:@ ]*\).* alias \(nepiq:[^ \\]*\).*/link\t\1\t\2/p' -e t \
    -e 's/^[0-9]*: \(nq[^:@ ]*\).*/link\t\1\t/p'
if [ "$(id -u)" -eq 0 ]; then
    nft list tables 2>/dev/null
elif [ -e /run/nepiq ]; then
    sudo -k -n nft list tables 2>/dev/null </dev/null
fi | sed -n 's/^table /table\t/p'
for family in -4 -6; do
    ip $family -o route show table all proto {ROUTE_PROTOCOL} 2>/dev/null |
        sed "s/^/route\troute $family /"
    ip $family -o rule show 2>/dev/null | grep -wE 'proto(col)? {ROUTE_PROTOCOL}' |
        sed "s/^/route\trule $family /"
done
home() {{ (cd -P "${{1%/.nepiq}}" 2>/dev/null && pwd -P); }}
here=$(home "$base")
for file in /run/nepiq/*/base; do
    {{ IFS= read -r whose <"$file"; }} 2>/dev/null || continue
    ours=0 guids='' place=${{file%/base}}
    [ "$whose" != "$base" ] || ours=1
    [ -z "$here" ] || [ "$(home "$whose")" != "$here" ] || ours=1
    for record in "$place"/[0-9]*; do [ ! -e "$record" ] || guids="$guids ${{record##*/}}"; done
    printf 'record\t%s\t%s\t%s\n' "${{place##*/}}" "$ours" "${{guids# }}"
done
cat /run/nepiq/*/[0-9]* 2>/dev/null | grep -qE '^ip - (-[46] )?(route|rule) ' && echo routed
:
"""


@dataclass
class KernelRemains:
    """What one run has left in the kernel of a host.

    Attributes:
        nodes: guids of nodes that have records.
        things: what there is, as ``namespace nq-abc123-7``, ``interface ...``, ``table ...``,
            ``route ...``, ``rule ...``, ``configuration of 7``.
        marks: those in names of it.
    """

    nodes: set[int] = field(default_factory=set)
    things: list[str] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)


def parse(lines: Iterable[str], known: Iterable[str]) -> dict[str, KernelRemains]:
    """Return what a host has in its kernel by run, without that of other users.

    Args:
        lines: what :data:`SCRIPT` printed.
        known: runs that exist or have existed, by which marks are understood.
    """
    lines = list(lines)
    records = list(_all(_RECORD, lines))
    of_others = {match["run"] for match in records if match["ours"] == "0"}
    ours = [match for match in records if match["ours"] == "1"]
    aliased = list(_all(_ALIASED, lines))
    named = (match["run"] for match in (*records, *aliased))
    runs = {run_mark(run): run for run in {*known, *named}}
    found: dict[str, KernelRemains] = defaultdict(KernelRemains)
    for match in ours:
        remains = found[match["run"]]
        remains.nodes.add(int(match["node"]))
        remains.things += [f"configuration of {guid}" for guid in match["guids"].split()]
    for match in aliased:
        found[match["run"]].things.append(f"interface {match['name']}")
    _add_marked(found, runs, lines)
    if "routed" not in lines:  # routes do not say of which run they are
        found[NOBODY].things += [match["name"] for match in _all(_ROUTE, lines)]
    return {run: item for run, item in found.items() if item.things and run not in of_others}


def _add_marked(
    found: dict[str, KernelRemains], runs: Mapping[str, str], lines: Sequence[str]
) -> None:
    """Add what has the mark of a run in its name."""
    for match in _all(_SPACE, lines):
        remains = found[runs.get(match["mark"], NOBODY)]
        remains.marks.add(match["mark"])
        remains.things.append(f"namespace {match['name']}")
    for what, form in (("interface", _NAMED), ("table", _TABLE)):
        for match in _all(form, lines):
            # A name alone is no proof that it is of nepiq, unless there is such a run.
            nobodys = NOBODY if match["mark"] in found[NOBODY].marks else None
            if (run := runs.get(match["mark"], nobodys)) is not None:
                found[run].things.append(f"{what} {match['name']}")
    for run, remains in found.items():
        if run != NOBODY:
            remains.marks = {run_mark(run)}


def _all(form: re.Pattern[str], lines: Iterable[str]) -> Iterator[re.Match[str]]:
    for line in lines:
        if match := form.fullmatch(line):
            yield match
