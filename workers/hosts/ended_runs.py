"""Removal of the directories of runs that have ended on a host."""

from __future__ import annotations

from collections.abc import Iterable

from ...controller.model.durations import Deadline
from ..sessions.session import Session
from .paths import Layout

# A release notes that nothing of the run is left; who finds that has nothing to end.
_SCRIPT = """\
cd {base} || exit
over='' runs=''
for dir in {dirs}; do
    run=${{dir%/*}} node=${{dir#*/}}
    [ -f "ended/$run-$node" ] && read -r word <"ended/$run-$node" && [ "$word" = over ] || continue
    over="$over $dir" runs="$runs $run"
done
[ -n "$over" ] || exit
rm -rf $over
rmdir $runs
for dir in $over; do
    # An empty mark takes no block of the disk.
    [ -e "$dir" ] || {{ : >"ended/${{dir%/*}}-${{dir#*/}}"; echo "$dir"; }}
done
"""


def remove(session: Session, layouts: Iterable[Layout], deadline: Deadline) -> list[Layout]:
    """Remove directories of nodes, of which all have the same base, by one command.

    Args:
        session: a session with the host.
        layouts: the directories.
        deadline: when it must have ended.

    Returns:
        Those that are gone. Others are not known to be released, or need rights of root: see
        :meth:`.ShellHost.dismantle`.

    Raises:
        HostError: the host cannot be reached.
        DeadlineError: it takes too long.
    """
    by_name = {f"{layout.run}/{layout.node}": layout for layout in layouts}
    if not by_name:
        return []
    base = next(iter(by_name.values())).base
    script = _SCRIPT.format(base=base, dirs=" ".join(by_name))
    done = session.execute(f"{{ {script}}} 2>/dev/null", deadline=deadline)
    names = done.stdout.decode("ascii", "replace").split()
    return [by_name[name] for name in names if name in by_name]
