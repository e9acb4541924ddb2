#!/bin/sh
# The supervisor of one node in one run: whatever must be atomic on a host, such as the fence,
# launches, ends and the journal. POSIX sh on Linux. This is the first of the parts that are joined
# into one script; a shell reads a script only as far as it runs it, so the verbs that run for every
# command come first.
#
#   sh DIR/supervisor.sh VERB ARGUMENT...      DIR is the directory of one node in one run
#   NEPIQ_SCRIPT=TEXT sh -c 'eval "$NEPIQ_SCRIPT"' BASE VERB RUN NODE ARGUMENT...
#       the same without a file, for prepare, restore, dismantle, tidy, sweep and ends; BASE is .nepiq
#
#   .nepiq/lock  able                          what a host needs was found in this boot
#   .nepiq/swept                               boot and hour of the last look for old marks
#   .nepiq/ended/<run>-<node>                  a run that has ended here, "over" if a release has
#                                              found that nothing lives; outlives its files
#   .nepiq/<run>/<node>/  boot exp journal supervisor.sh .configured
#       fence/<guid>      the highest token seen, locked while a command is let through; then a line
#                         for each start, in case its directory is removed
#       <guid>/.root      something of this resource was run as root
#       <guid>/<occ>/     run directory of one start: stdout stderr, the user's files, and
#           .lock         held by the living supervisor
#           .started      its boot id, pid, start time and the moment, written before the command; of
#                         plain commands the name of its process, and pid and start time of the
#                         shell that has started several
#           .group        pid of the command, leader of its process group, its start time or a moment
#                         soon after that in clock ticks, and pid of its parent
#           .serving      the moment when started_when was met; .waiting is held while it is tested
#           .stop         somebody ends it; .overdue: it did not serve in time
#           .exit         how it ended: the truth; .told: the journal has it
#           .expired                        its time was over
#           .restarts                       a line for each restart: its number, the exit code
#                                           before it and the moment of that exit
#           .command .env .stdin .signal    what it was started with, where that was given
#           .timer                          held by a supervisor that limits the time
#           .sudo         what sudo said, where it was started as root
#
# Moments are seconds since boot (/proc/uptime), start times clock ticks (proc(5)). The first line
# on stdout is the answer: what the verb says below, "ok", or "no CODE REASON" with a code of
# sysexits.h: 64 usage, 65 it did not arrive whole, 69 something is missing here, 73 a file cannot be
# made, 74 it cannot be written, 75 refused, 77 sudo wants another password. With NEPIQ_SECRET the
# first line on stdin is the password.
set -u
nl='
'
tab='	'

fail() {
    printf 'no %s %s\n' "$1" "$2"
    exit "$1"
}

rights='' life='' uid='' whole='' unlisted='' lasting='' struck='' comparable=''
mode=700
script=${NEPIQ_SCRIPT-}
unset NEPIQ_SCRIPT
case ${1-} in
prepare | restore | dismantle | tidy | sweep) root=$0/$2/$3 ;;
subdue | abate | clean | carry_out | revert | sweep_out) root=$2 ;;
launch | launches | starts | supervise | begin | rest | ends | run | run_root | configure | write | receive | keep | forget | watch | hear | follow)
    root=${0%/*}
    if [ -n "$script" ]; then
        verb=$1 root=$0/$2/$3
        shift 3
        set -- "$verb" "$@"
    fi
    ;;
*) fail 64 "unknown verb ${1-}" ;;
esac
node=${root##*/} base=${root%/*}
run=${base##*/} base=${base%/*}
ended=$base/ended/$run-$node
# A variable that came with the environment would be handed on in it.
unset secret
secret=''
if [ -n "${NEPIQ_SECRET-}" ]; then
    unset NEPIQ_SECRET
    IFS= read -r secret || fail 65 "no password came"
fi
read -r boot_id </proc/sys/kernel/random/boot_id

clock() { read -r now _ </proc/uptime; }

# The moment in hundredths, as an integer, in $cs.
hundredths() {
    clock
    cs=$((${now%.*} * 100 + 1${now#*.} - 100))
}

# is_root: without a process.
is_root() {
    [ -n "$uid" ] || while read -r word _ uid _ && [ "$word" != Uid: ]; do :; done </proc/self/status
    [ "$uid" -eq 0 ]
}

# put FILE LINE: a whole line under the name FILE, or nothing.
put() { printf '%s\n' "$2" >"$1.t" && mv -f "$1.t" "$1"; }

# note FILE LINE: the same by one write, which a kill leaves empty: that is as good as nothing.
note() { printf '%s\n' "$2" >"$1"; }

# inspect PID: its state, process group and start time in $state $group $born; false if it is dead.
inspect() {
    state=X group='' born=''
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    front=${stat%") "*}
    # shellcheck disable=SC2086 # the fields after the name, which may hold blanks itself
    set -- ${stat#"$front) "}
    state=$1 group=${3:-} born=${20:-}
    case $state in [ZX]) return 1 ;; esac
}

# myself: the number of this process, which in a subshell is not $$, in $pid.
myself() {
    set -- /proc/self/task/*
    pid=${1##*/}
}

### The start of a supervised command, in its run directory

# enlist [PARENT]: become the group on record. First on record, then the look at .stop and the like:
# whoever ends it does these in the other order, so one sees the other.
enlist() {
    myself
    if [ -n "$comparable" ]; then
        hundredths
        born=$cs # a shell reads its start time slowly, with much else
    else
        inspect "$pid"
    fi
    printf '%s\n' "$pid $born${1+" $1"}" >.group
    [ ! -e .stop ] && [ ! -e .overdue ] && [ ! -e .expired ] && [ ! -e "$ended" ] || exit 143
}

# begin COMMAND INPUT: become the command as root, leader of a session and group of its own. It opens
# its streams itself: sudo has used those that it inherits.
begin() {
    enlist
    exec <"$2" >>stdout 2>>stderr
    # shellcheck source=/dev/null
    [ ! -e .env ] || . ./.env
    exec sh -c "$1"
}

# rest SECONDS: the pause before a restart. It is ended as the command is.
rest() {
    enlist
    exec sleep "$1"
}

case $1 in begin | rest) "$@" ;; esac
