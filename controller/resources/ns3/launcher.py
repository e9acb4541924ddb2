"""The shell script that runs a program of ns-3 on a host.

It waits for a slot, of which the host has a limited number, runs the program, and reports in the
last line of stderr why ns-3 aborted.

A slot is a file that the shell locks (flock(2)) while its program runs. The kernel releases the
lock when the shell ends in any way, so that no slot is lost. The program and its children do not
inherit the lock.

Programs that wait form a queue, which is the lock of the file ``queue``; only its holder takes a
slot. If no slot is free, the holder starts one process for each slot that waits for its lock. The
first of them that gets it reports the slot, the others are ended. So the wait is for any slot, no
process polls, and the host has these processes for one waiting program only.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# Descriptor 8 is the lock of the queue, 9 that of the slot.
_SLOT = r"""
nepiq_slots={folder}
[ -d "$nepiq_slots" ] || mkdir -p "$nepiq_slots"
exec 8>>"$nepiq_slots/queue" && flock 8 || exit
nepiq_slot=
for nepiq_number in {numbers}; do
    exec 9>>"$nepiq_slots/$nepiq_number"
    if flock -n 9; then nepiq_slot=$nepiq_number && break; fi
done
if [ -z "$nepiq_slot" ]; then
    nepiq_slot=$(
        exec 8>&- 9>&-
        for number in {numbers}; do
            flock -s "$nepiq_slots/$number" echo "free $number" &
            echo "waiter $!"
        done | {{
            left={count} slot='' waiters=''
            while [ "$left" -gt 0 ] || [ -z "$slot" ]; do
                read -r word value || exit
                case $word in
                waiter) left=$((left - 1)) waiters="$waiters $value" ;;
                *) slot=$value ;;
                esac
            done
            kill $waiters 2>/dev/null
            echo "$slot"
        }}
    )
    exec 9>>"$nepiq_slots/$nepiq_slot" && flock 9 || exit
fi
exec 8>&-
"""

# With a single slot, its lock is the queue.
_ONLY_SLOT = r"""
nepiq_slots={folder}
[ -d "$nepiq_slots" ] || mkdir -p "$nepiq_slots"
exec 9>>"$nepiq_slots/1" && flock 9 || exit
"""

# The message of NS_FATAL_ERROR, NS_ASSERT or NS_ABORT, or of a C++ exception, may be followed by a
# backtrace.
_RUN = r"""
{command} 9>&-
nepiq_code=$?
if [ "$nepiq_code" -gt 128 ]; then
    nepiq_message=$(tail -c 65536 stderr | sed -nE '
        /^nepiq: /d
        /(msg|cond)="/ {{
            :join
            /line=[0-9]/!{{
                $!{{
                    N
                    b join
                }}
            }}
            s/[[:space:]]*\n[[:space:]]*/ /g
            p
        }}
        s/^ *what\(\): *//p' | tail -n 1 | cut -c 1-{longest})
    [ -z "$nepiq_message" ] || echo "nepiq: ns-3 aborted: $nepiq_message" >&2
fi
{overdue}exit "$nepiq_code"
"""

# timeout(1) has ended the program, but not its children, which are in the shell's process group.
_OVERDUE = r"""
if [ "$nepiq_code" -eq 124 ]; then
    trap '' TERM
    kill -s TERM 0
    echo {message} >&2
fi
"""

_LONGEST = 170


def script(
    words: Sequence[str], *, slots: str = "", count: int = 0, stop_after: float = 0.0
) -> str:
    """Return text for sh that runs a program in the run directory.

    Its exit code is that of the program, or 124 if the time limit was reached.

    Args:
        words: the program and its arguments.
        slots: the folder of the slots on the host.
        count: the number of slots; 0 for a program that needs none.
        stop_after: time limit in seconds, from the moment when it has a slot; 0 for none.
    """
    parts = []
    if count:
        numbers = " ".join(str(number) for number in range(1, count + 1))
        wait = _ONLY_SLOT if count == 1 else _SLOT
        parts.append(wait.format(folder=shlex.quote(slots), numbers=numbers, count=count))
    overdue = ""
    if stop_after:
        # In the foreground: a stop signals the process group, which timeout would leave.
        words = ["timeout", "--foreground", "-k", "5", f"{stop_after:g}", *words]
        message = f"nepiq: ended because it ran for {stop_after:g} s (stopAfter)"
        overdue = _OVERDUE.format(message=shlex.quote(message)).lstrip()
    parts.append(_RUN.format(command=shlex.join(words), longest=_LONGEST, overdue=overdue))
    return "".join(parts).lstrip()
