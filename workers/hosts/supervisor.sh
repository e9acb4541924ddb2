#!/bin/sh
# What has to be atomic on a host: the fence, launches, ends, the journal. POSIX sh on Linux.
#
#   sh DIR/supervisor.sh VERB ARGUMENT...      DIR is the directory of one node in one run
#   NEPIQ_SCRIPT=TEXT sh -c 'eval "$NEPIQ_SCRIPT"' BASE VERB RUN NODE ARGUMENT...
#       the same without a file, for prepare, restore, dismantle, tidy and ends; BASE is .nepiq
#
#   .nepiq/lock  able                          what a host needs was found in this boot
#   .nepiq/ended/<run>-<node>                  a run that has ended here; outlives its files
#   .nepiq/<run>/<node>/  boot exp journal supervisor.sh
#       fence/<guid>      the highest token seen, locked while a command is let through; then a line
#                         for each start, in case its directory is removed
#       <guid>/.root      something of this resource was run as root
#       <guid>/<occ>/     run directory of one start: stdout stderr, the user's files, and
#           .lock         held by the living supervisor
#           .started      its boot id, pid, start time and the moment, written before the command
#           .group        pid and start time of the command, leader of its process group
#           .serving      the moment when started_when was met; .waiting is held while it is tested
#           .stop         somebody ends it; .overdue: it did not serve in time
#           .exit         how it ended: the truth; .told: the journal has it
#           .command .env .stdin            what it was started with, where that was given
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

fail() {
    printf 'no %s %s\n' "$1" "$2"
    exit "$1"
}

rights='' whole='' unlisted='' mode=700
script=${NEPIQ_SCRIPT-}
unset NEPIQ_SCRIPT
case ${1-} in
prepare | restore | dismantle | tidy) root=$0/$2/$3 ;;
subdue | abate | clean) root=$2 ;;
launch | launches | supervise | begin | ends | run | run_root | write | receive | forget | watch | hear | follow)
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

# put FILE LINE: a whole line under the name FILE, or nothing.
put() { printf '%s\n' "$2" >"$1.t" && mv -f "$1.t" "$1"; }

# note FILE LINE: the same by one write, which a kill leaves empty: that is as good as nothing.
note() { printf '%s\n' "$2" >"$1"; }

# inspect PID: its state, process group and start time in $state $group $born; false if it is dead.
inspect() {
    state=X group='' born=''
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the fields after the name, which may hold blanks itself
    set -- ${stat##*) }
    state=$1 group=${3:-} born=${20:-}
    case $state in [ZX]) return 1 ;; esac
}

### A command on its way, and how it ended (in its directory)
#
# A shell reads a script as far as it runs: what runs for every command comes first.

# begin COMMAND [INPUT]: become the command, leader of a session and group of its own. First on
# record, then the look at .stop: whoever ends it does these in the other order, so one sees the
# other. With INPUT it opens its streams itself: sudo has used those that it inherits.
begin() {
    inspect $$
    printf '%s %s\n' $$ "$born" >.group
    [ ! -e .stop ] && [ ! -e "$ended" ] || exit 143
    [ -z "${2-}" ] || exec <"$2" >>stdout 2>>stderr
    # shellcheck source=/dev/null
    [ ! -e .env ] || . ./.env
    exec sh -c "$1"
}

[ "$1" != begin ] || "$@"

### Files that others may have removed, moved, replaced or closed to us
#
# What a command of the user does to .nepiq must hinder nothing that ends processes or tells of ends.

# folder PATH: make it a directory that we can write to; a file of that name gives way.
folder() {
    [ -d "$1" ] || { [ ! -e "$1" ] && [ ! -L "$1" ]; } || rm -f "$1"
    [ -d "$1" ] || mkdir -m "$mode" "$1" || [ -d "$1" ] || return
    [ -w "$1" ] && [ -x "$1" ] || chmod u+rwx "$1"
}

# ground: .nepiq is there. What has its name and is none may be somebody's.
ground() {
    if [ -e "$base" ] && [ ! -d "$base" ]; then
        echo "$base is not a directory: move it away" >&2
        return 1
    fi
    [ -d "$base" ] || mkdir -p -m "$mode" "$base" || return
    folder "$base"
}

# places [DIR]: the directory of the node, and one in it, are there.
places() {
    ground && folder "$base/$run" && folder "$root" || return
    case ${1-} in
    */*) folder "$root/${1%/*}" && folder "$root/$1" ;;
    ?*) folder "$root/$1" ;;
    esac
}

# sole FILE: under this name is a file that we can read and write, or nothing.
sole() {
    [ ! -f "$1" ] || [ ! -r "$1" ] || [ ! -w "$1" ] || return 0
    if [ -f "$1" ]; then
        chmod u+rw "$1"
    elif [ -e "$1" ] || [ -L "$1" ]; then
        rm -rf "$1"
    fi
}

# obstacle: why nothing can be written in the directory of the node.
obstacle() {
    said=$(echo | LC_ALL=C cat 2>&1 >"$root/.probe" | tail -n 1)
    rm -f "$root/.probe"
    printf %s "${said##*: }"
}

# populated GROUP: has it a member that lives? (Nobody may be there to reap the dead ones. Users
# may not signal what has root's $rights.)
populated() {
    [ -n "$1" ] && { [ -n "$rights" ] || kill -s 0 -- "-$1" 2>/dev/null; } &&
        LC_ALL=C grep -qsE "\) [^ZX] [0-9]+ $1 " /proc/[0-9]*/stat
}

# conclude CODE OUTCOME: CODE is - where nobody saw it. False if it is not on record.
conclude() {
    clock
    code=$1 outcome=$2 moment=$now boot=$boot_id rung='' called=' '
    compose
    record
}

# record: write .exit and ring. A command may have removed or moved its directory: then in a new one.
record() {
    if { [ . -ef "$root/$guid/$occ" ] && [ -w . ]; } ||
        { places "$guid/$occ" && cd "$root/$guid/$occ"; }; then
        sole .exit
        note .exit "$code $outcome $moment $boot"
    fi
    [ -n "$rung" ] || ring || call
    recorded .
} 2>/dev/null

# The bell: one line in the journal, by one write. After .exit, so that no kill loses an exit.
ring() {
    [ -f "$root/journal" ] && printf '%s\n' "$line" >>"$root/journal" || return
    rung=1
    true >.told || return 0
}

# call: tell the watches that live by their pipe, since no file can be written.
call() {
    for item in $(LC_ALL=C grep -lszxF "NEPIQ_WATCH=$run.$node" /proc/[0-9]*/environ); do
        case $called in *" $item "*) continue ;; esac
        ! printf '%s\n' "$line" |
            dd of="${item%environ}fd/0" bs=4096 oflag=nonblock conv=notrunc status=none ||
            called="$called$item "
    done 2>/dev/null
}

# tell: ring for an exit that is on record.
tell() {
    read -r code outcome moment boot <.exit
    compose
    ring 2>/dev/null
}

# recorded DIR: is the exit of this occasion on record?
recorded() { [ -f "$1/.exit" ] && [ -s "$1/.exit" ]; }

# The line of this exit in $line, less than 4000 bytes. Outputs that are small travel with it: "." is
# an empty one, "=..." one in hexadecimal digits, "..." in base64, "-" one that stays on the host,
# "~..." the end of a large stderr in base64.
compose() {
    { read -r _ journal <"$root/journal"; } 2>/dev/null || journal=-
    out=. err=.
    if [ ! -s stderr ] && [ -s stdout ] && digits stdout; then # most are such, and it is cheap
        out="=$text"
    elif [ -s stdout ] || [ -s stderr ]; then
        [ -e stdout ] || true >stdout
        [ -e stderr ] || true >stderr
        # shellcheck disable=SC2046
        set -- $(wc -c stdout stderr)
        most_out=2700 most_err=2700
        [ "$(($1 + $3))" -le 2700 ] || most_out=1500 most_err=1000
        [ "$1" -eq 0 ] || out=-
        [ "$1" -eq 0 ] || [ "$1" -gt "$most_out" ] || out=$(base64 -w 0 stdout)
        [ "$3" -eq 0 ] || [ "$3" -gt "$most_err" ] || err=$(base64 -w 0 stderr)
        [ "$3" -le "$most_err" ] || err="~$(tail -c 1000 stderr | base64 -w 0)"
        # They may have grown meanwhile, if something of the command runs on in the background.
        [ "${#out}" -le 3600 ] || out=-
        [ "${#err}" -le 3600 ] || err=-
    fi
    line="exit $journal $guid $occ $code $outcome $moment $boot $out $err ."
}

# digits FILE: its bytes in $text, if they are at most 1300.
digits() {
    # shellcheck disable=SC2046
    set -- $(od -An -v -tx1 -N1301 "$1")
    [ $# -le 1300 ] || return 1
    IFS=''
    text="$*"
    unset IFS
}

# What launch answers, from what is on record; nothing if its supervisor was killed.
report() {
    clock
    if recorded .; then
        read -r code outcome moment boot <.exit
        compose
        printf 'ended %s %s %s %s\n' "$adopted" "$now" "$boot_id" "$line"
    elif [ "$kind" = none ]; then
        { read -r _ _ _ moment <.started; } 2>/dev/null || moment=$now
        printf 'running %s %s %s\n' "$adopted" "$moment" "$now"
    elif [ -e .serving ]; then
        read -r moment <.serving
        printf 'running %s %s %s\n' "$adopted" "$moment" "$now"
    fi
}

# supervise GUID OCC OK KIND SIGN LIMIT COMMAND RIGHTS: holds the locks 8 (fence) and 9 (.lock).
supervise() {
    guid=$1 occ=$2 ok=$3 kind=$4 sign=$5 limit=$6 rights=$8 adopted=0 leader='' stopped=''
    inspect $$
    clock
    true >>stdout 2>>stderr
    note .started "$boot_id $$ $born $now" ||
        fail 74 "cannot write in $PWD: $(obstacle)"
    echo "$occ" 2>/dev/null >>"$root/fence/$guid" # behind the token
    exec 8>&-
    trap stopped=1 USR1 # how to stop where no file can say so
    trap '' PIPE # whoever asked may have gone
    if [ "$kind" = none ]; then
        report
    else
        exec 7>>.waiting
        flock 7
        (exec 9>&- && serve) &
        exec 7>&-
    fi
    exec >/dev/null
    trap - PIPE
    input=/dev/null
    [ ! -e .stdin ] || input=.stdin
    if [ -z "$rights" ]; then
        NEPIQ_ID=$run.$guid.$occ NEPIQ_NODE=$run.$node \
            setsid sh "$root/supervisor.sh" begin "$7" <"$input" >>stdout 2>>stderr 9>&-
    else
        # A group apart from sudo's, which passes on each signal that it gets.
        as_root env NEPIQ_ID="$run.$guid.$occ" NEPIQ_NODE="$run.$node" \
            setsid sh "$root/supervisor.sh" begin "$7" "$input" 2>.sudo 9>&-
    fi
    code=$?
    [ -e .group ] || [ ! -e .sudo ] || cat .sudo >>stderr
    { read -r leader _ <.group; } 2>/dev/null
    while { stopping || [ -e .overdue ]; } && populated "$leader"; do sleep 0.05; done
    if stopping; then
        outcome=STOPPED
    elif [ -e .overdue ]; then
        outcome=OVERDUE
    else
        case ,$ok, in ,any, | *",$code,"*) outcome=FINISHED ;; *) outcome=FAILED ;; esac
    fi
    conclude "$code" "$outcome" || keep
}

stopping() { [ -n "$stopped" ] || [ -f .stop ] || [ -f "$root/$guid/$occ/.stop" ]; }

# keep: hold what cannot be recorded until it can.
keep() {
    until [ -e "$ended" ] || record; do sleep 1; done
}

if [ "$1" = supervise ] && [ "$5$9" = none ]; then
    "$@"
    exit
fi

# supervised DIR: does the supervisor of this occasion live?
supervised() {
    { read -r boot pid since _ <"$1/.started"; } 2>/dev/null || return 1
    [ "$boot" = "$boot_id" ] && inspect "$pid" && [ "$born" = "$since" ]
}

### The fence

# fence GUID TOKEN: go on only if nothing newer has acted and the run goes on here. Keeps the lock.
fence() {
    [ -d "$root/fence" ] || fail 75 "the directory of the run is gone"
    sole "$root/fence/$1"
    exec 8<>"$root/fence/$1"
    flock 8 || fail 69 "cannot lock $root/fence/$1"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    raise "$1" "$2" 2>/dev/null || fail 74 "cannot write in $root: $(obstacle)"
}

# override GUID TOKEN: the same for what only ends processes, so that no missing file and no full
# file system keeps it from that.
override() {
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    sole "$root/fence/$1"
    { true <>"$root/fence/$1"; } 2>/dev/null || return 0
    exec 8<>"$root/fence/$1"
    flock 8 || fail 69 "cannot lock $root/fence/$1"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    raise "$1" "$2" 2>/dev/null
    exec 8>&-
}

raise() {
    read -r seen <"$root/fence/$1" || seen=0
    [ "$seen" -le "$2" ] || fail 75 "a newer attempt has acted (token $seen; this one has $2)"
    # One write over what was there: a kill leaves the old token or the new one.
    [ "$seen" -eq "$2" ] || printf '%016d\n' "$2" 1<>"$root/fence/$1"
}

pass() {
    fence "$1" "$2"
    exec 8>&-
}

### Acting as root
#
# What runs as root only root can see and signal: <guid>/.root marks whose processes may. $secret
# is the login user's password, "" if none was sent; it reaches sudo by a pipe, never by an
# argument, the environment or a file. With -k, what sudo has cached neither helps nor is left.

# rooted: may anything of $guids and $dirs (see below) run as root?
rooted() {
    for item in $guids $dirs; do [ ! -e "$root/${item%/*}/.root" ] || return 0; done
    return 1
}

# elevate COMMAND...: become it as root. If there is a secret, the input begins with it.
elevate() {
    [ "$(id -u)" -ne 0 ] || exec "$@"
    [ -z "$secret" ] || exec sudo -k -S -p '' -- "$@"
    exec sudo -k -n -- "$@"
}

# as_root COMMAND...: one that reads no input. No shell stays between that would hold our locks.
as_root() {
    if [ -n "$secret" ]; then
        printf '%s\n' "$secret" | elevate "$@"
    else
        (elevate "$@") </dev/null
    fi
}

# rerun VERB ARGUMENT...: do it as root.
rerun() {
    if [ -z "$script" ]; then
        as_root sh "$0" "$@"
        return
    fi
    file=$base/.supervisor.$$
    if printf '%s\n' "$script" 2>/dev/null >"$file"; then
        as_root sh "$file" "$@"
    else
        as_root sh -c "$script" sh "$@"
    fi
    set -- $?
    rm -f "$file"
    return "$1"
}

# access: go on only if we can act as root, and root in the directory of the node.
access() {
    read -r host </proc/sys/kernel/hostname
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        fail 69 "$host lacks sudo: install the package sudo"
    [ -d "$root" ] && set -- -w "$root" || set -- 1 # what ends processes needs no directory
    said=$(export LC_ALL=C && as_root test "$@" 2>&1) && return
    case $said in
    *'password is required'* | *'authentication is required'*)
        fail 77 "sudo asks for a password on $host"
        ;;
    *'no password was provided'* | *'incorrect password'*)
        fail 77 "sudo refuses the password on $host"
        ;;
    *'not in the sudoers'* | *'is not allowed to'* | *'may not run sudo'*)
        fail 69 "$(id -un) may not use sudo on $host: it needs a rule in sudoers(5)"
        ;;
    '') fail 69 "root may not write to $root on $host: give the node a home on a disk of the host" ;;
    esac
    fail 69 "sudo fails on $host: ${said##*"$nl"}"
}

### Ending processes
#
# What belongs to us bears NEPIQ_ID=<run>.<guid>[.<occ>] and NEPIQ_NODE=<run>.<node> in its
# environment, whether files are there or not. $whole (not empty: the node), $guids and $dirs
# (<guid>/<occ>, from $root) say whose processes are meant.

# The whole node. What a supervisor of before started has no NEPIQ_NODE, but files.
everything() {
    whole=1 guids='' dirs=''
    cd "$root" 2>/dev/null || return 0
    for path in fence/*; do [ ! -e "$path" ] || guids="$guids ${path#*/}"; done
    for path in [0-9]*/[0-9]*; do [ ! -d "$path" ] || dirs="$dirs $path"; done
}

# name_all SUFFIX: what they bear, as regular expressions, one a line, in $names.
name_all() {
    literal "$run"
    names=${whole:+"NEPIQ_NODE=$literal[.]$node$1"} occasion='[.][0-9]+'
    [ -n "$1" ] || occasion='([.][0-9]+)?'
    for item in $guids; do names="$names${names:+$nl}NEPIQ_ID=$literal[.]$item$occasion$1"; done
    for item in $dirs; do
        names="$names${names:+$nl}NEPIQ_ID=$literal[.]${item%/*}[.]${item#*/}$1"
    done
}

# literal TEXT: as part of a regular expression, in $literal.
literal() {
    literal='' tail=$1
    while :; do
        case $tail in
        *.*) literal="$literal${tail%%.*}[.]" tail=${tail#*.} ;;
        *) break ;;
        esac
    done
    literal=$literal$tail
}

# An empty list would match every empty entry of an environment.
bearers() {
    [ -n "$names" ] || return 0
    LC_ALL=C grep -lszxE -f - /proc/[0-9]*/environ <<END
$names
END
}

# leader DIR: the group on record in $leader, empty if none; true if its leader lives.
leader() {
    leader=''
    { read -r boot _ <"$root/$1/.started"; } 2>/dev/null && [ "$boot" = "$boot_id" ] || return 1
    { read -r leader since <"$root/$1/.group"; } 2>/dev/null || return 1
    inspect "$leader" && [ "$born" = "$since" ]
}

# strike SIGNAL: to each group once (they stay in $groups), and to each bearer outside of these.
strike() {
    known=' ' strange=' ' singles=''
    for item in $dirs; do
        ! leader "$item" || groups="$groups$leader "
        [ -z "$leader" ] || known="$known$leader "
    done
    for path in $(bearers); do
        pid=${path#/proc/}
        pid=${pid%/*}
        inspect "$pid" || continue
        case $groups in *" $group "*) continue ;; esac
        case $known in
        *" $group "*) groups="$groups$group " ;;
        *) stray ;;
        esac
    done
    for pid in $groups; do kill -s "$1" -- "-$pid"; done 2>/dev/null
    for pid in $singles; do kill -s "$1" -- "$pid"; done 2>/dev/null
}

# stray: a bearer $pid in a $group that is not on record. The group is ours too if a command leads
# it whose record is lost.
stray() {
    case $strange in *" $group "*) ;; *)
        literal "$run"
        if LC_ALL=C grep -qszxE "NEPIQ_ID=$literal[.][0-9]+[.][0-9]+" "/proc/$group/environ"; then
            groups="$groups$group "
            return
        fi
        strange="$strange$group "
        ;;
    esac
    singles="$singles $pid"
}

remain() {
    [ -z "$(bearers)" ] || return 0
    for pid in $groups; do ! populated "$pid" || return 0; done
    return 1
}

# Twice, because a process has no environment at the moment when it executes another program.
gone() { ! remain && ! remain; }

# put_down GRACE: TERM, after GRACE hundredths of a second KILL, until nothing is left.
put_down() {
    if rooted; then
        access
        rerun subdue "$root" "$guids" "$dirs" "$1" "$whole" || exit
    else
        quell "$1"
    fi
}

# subdue ROOT GUIDS DIRS GRACE WHOLE: root's part of it.
subdue() {
    guids=$2 dirs=$3 whole=${5-}
    quell "$4"
}

quell() {
    name_all ''
    groups=' '
    hundredths
    last=$((cs + $1))
    [ "$1" -eq 0 ] || strike TERM
    for item in $dirs; do expect_exit "$item"; done
    outlast
}

# Kill what there is after $last. Something of another user, or stuck in the kernel, may remain.
outlast() {
    until gone; do
        hundredths
        [ "$cs" -lt "$last" ] || strike KILL
        [ "$cs" -lt $((last + 500)) ] || fail 69 "cannot end processes$groups$singles"
        sleep 0.05
    done
}

# expect_exit DIR: wait until its supervisor has recorded the exit, or $last.
expect_exit() {
    [ -s "$root/$1/.started" ] && ! recorded "$root/$1" || return 0
    hundredths
    left=$((last > cs ? last - cs : 0))
    { flock -s -w "$((left / 100)).$((left / 10 % 10))" 4; } 4>>"$root/$1/.lock"
} 2>/dev/null

# Supervisors end by themselves once their commands have.
dismiss() {
    groups=' '
    name_all '[.]supervisor'
    hundredths
    last=$((cs + 200))
    outlast
}

# halt DIR: have its supervisor, if it lives, tell that this was STOPPED.
halt() {
    if { [ -d "$root/$1" ] && [ -w "$root/$1" ] || places "$1"; } && true >"$root/$1/.stop"; then
        return
    fi
    literal "$run"
    names="NEPIQ_ID=$literal[.]${1%/*}[.]${1#*/}[.]supervisor"
    for path in $(bearers); do
        pid=${path#/proc/}
        # What it has forked bears its name too.
        ! inspect "${pid%/*}" || [ "$group" != "${pid%/*}" ] || kill -s USR1 "${pid%/*}"
    done
} 2>/dev/null

# stop_all GRACE: mark what runs as stopped, end it, and record its end where no supervisor does.
stop_all() {
    mark_stopped
    put_down "$1"
    record_stops
}

mark_stopped() {
    for dir in $dirs; do
        case " $unlisted " in *" $dir "*) ;; *) [ -s "$root/$dir/.started" ] || continue ;; esac
        recorded "$root/$dir" || halt "$dir"
    done
}

record_stops() {
    for dir in $dirs; do
        [ -e "$root/$dir/.stop" ] && ! recorded "$root/$dir" || continue
        sole "$root/$dir/.lock"
        (
            cd "$root/$dir" && flock -w 5 9 && ! recorded . || exit
            guid=${dir%/*} occ=${dir#*/}
            await_supervisor || recorded . || conclude - STOPPED
        ) 9>>"$root/$dir/.lock"
    done
}

# await_supervisor: of $dir, which has lost its lock with its directory. True if it lives on: then
# it is about to record this exit, or holds it until it can.
await_supervisor() {
    guids='' dirs=$dir whole=''
    name_all '[.]supervisor'
    hundredths
    last=$((cs + 100))
    while [ -n "$(bearers)" ]; do
        [ "$cs" -lt "$last" ] || return 0
        sleep 0.05
        hundredths
    done
    return 1
}

### Ending processes of several resources together

# ends TURN: end processes of several resources at the same time: TERM to all, and KILL to each when
# its grace is over. On stdin for each a line GUID OCC TOKEN GRACE new; OCC is - for all of the
# resource, GRACE in hundredths of a second. Answers a line for each, led by the number of its line,
# from 1, in any order: ok, a no, or, if something is left after TURN hundredths, "left END GROUPS":
# KILL comes at the moment END, and GROUPS (with commas between, or -) were found to be of it. To go
# on, GUID OCC TOKEN END GROUPS is asked. So what takes long holds up no other, and no channel.
ends() {
    if [ $# -gt 1 ]; then
        turn=$1
        shift
        echo "$*" | ends "$turn"
        return
    fi
    cd "$root" 2>/dev/null || :
    hundredths
    turn=$((cs + $1)) number=0 own='' roots=''
    while read -r guid occ token end found; do
        number=$((number + 1))
        if [ "$found" = new ]; then end=$((cs + end)); fi
        [ "$found" != new ] && passed "$guid" "$token" || said=$(override "$guid" "$token") || {
            printf '%s\n' "$number $said"
            continue
        }
        item="$number $guid $occ $end $found$nl"
        if [ -e "$root/$guid/.root" ]; then roots=$roots$item; else own=$own$item; fi
    done
    choose "$own$roots" :
    mark_stopped
    [ -z "$roots" ] || (settle_ends "$roots" "$(abate_as_root "$turn" "$roots")") &
    [ -z "$own" ] || settle_ends "$own" "$(abate "$root" "$turn" "$own")"
    wait
}

# passed GUID TOKEN: is this still the attempt that has acted last? It takes no lock and no process.
passed() {
    { read -r seen <"$root/fence/$1"; } 2>/dev/null && [ "$seen" -eq "$2" ] && [ ! -e "$ended" ]
}

# choose ITEMS TEST: what those of ITEMS mean that pass, in $guids and $dirs.
choose() {
    guids='' dirs='' unlisted='' whole=''
    while read -r its_number its_guid its_occ its_end its_groups; do
        [ -n "$its_number" ] && "$2" || continue
        if [ "$its_occ" = - ]; then
            guids="$guids $its_guid"
            for path in "$root/$its_guid"/[0-9]*; do
                [ ! -d "$path" ] || dirs="$dirs ${path#"$root/"}"
            done
        elif [ -s "$root/$its_guid/$its_occ/.started" ]; then
            dirs="$dirs $its_guid/$its_occ"
        elif goes_on "$its_guid/$its_occ"; then
            # Its files have been removed.
            dirs="$dirs $its_guid/$its_occ" unlisted="$unlisted $its_guid/$its_occ"
        fi
    done <<END
$1
END
}

# goes_on DIR: does anything of this occasion run?
goes_on() (
    guids='' dirs=$1 whole=''
    name_all '([.]supervisor)?'
    [ -n "$(bearers)" ]
)

is_new() { [ "$its_groups" = new ] && [ "$its_end" -gt "$cs" ]; }
is_due() { [ "$its_end" -le "$cs" ]; }
is_gone() { case $nl$answers$nl in *"$nl$its_number gone$nl"*) ;; *) return 1 ;; esac }
is_all_gone() { [ "$its_occ" = - ] && is_gone; }

# settle_ends ITEMS ANSWERS: record the ends of what is gone, see supervisors off, and answer.
settle_ends() {
    answers=$2
    choose "$1" is_gone
    record_stops
    choose "$1" is_all_gone
    said=$([ -z "$guids" ] || dismiss)
    while read -r number word; do
        case $word in
        '') ;;
        gone) printf '%s\n' "$number ${said:-ok}" ;;
        *) printf '%s\n' "$number $word" ;;
        esac
    done <<END
$answers
END
}

# abate_as_root TURN ITEMS: the same as root; why that cannot be is told of these items alone.
abate_as_root() {
    if said=$(access); then rerun abate "$root" "$@"; else each "$2" "$said"; fi
}

# each ITEMS ANSWER: the same answer for all of them.
each() {
    while read -r number _; do
        [ -z "$number" ] || printf '%s\n' "$number $2"
    done <<END
$1
END
}

# abate ROOT TURN ITEMS: signal what ITEMS mean, a line NUMBER GUID OCC END GROUPS for each, until it
# is gone or the moment TURN has come. Says for each "NUMBER gone", "NUMBER left END GROUPS" or
# "NUMBER no CODE REASON".
abate() {
    cd "$1" 2>/dev/null || :
    items=$3 last=$2 groups=' '
    hundredths
    choose "$items" is_new
    name_all ''
    [ -z "$names" ] || strike TERM
    while read -r number _ _ end found; do
        case $found in '' | new | -) ;; *) groups="$groups$(echo "$found" | tr , ' ') " ;; esac
        [ -z "$number" ] || [ "$end" -ge "$last" ] || last=$end
    done <<END
$items
END
    choose "$items" :
    name_all ''
    for item in $dirs; do ! leader "$item" || groups="$groups$leader "; done
    for item in $dirs; do
        expect_exit "$item"
        [ "$cs" -lt "$last" ] || break
    done
    until gone; do
        hundredths
        [ "$cs" -lt "$last" ] || (choose "$items" is_due && finish_off)
        [ "$cs" -lt "$2" ] || {
            tell_each
            return
        }
        sleep 0.05
    done
    each "$items" gone
}

# finish_off: KILL to what $guids and $dirs mean, and to those of $groups that are theirs.
finish_off() {
    found=$groups groups=' '
    for item in $dirs; do
        leader "$item"
        case $found in *" ${leader:--} "*) groups="$groups$leader " ;; esac
    done
    name_all ''
    strike KILL
}

# tell_each: what there is of each of $items.
tell_each() {
    borne=$nl$(bearing)$nl
    while read -r number guid occ end _; do
        [ -n "$number" ] || continue
        choose "$number $guid $occ $end -" :
        alive='' found=''
        for item in $dirs; do
            if leader "$item"; then
                found=$found,$leader
                continue
            fi
            case $groups in *" ${leader:--} "*) ! populated "$leader" || found=$found,$leader ;; esac
        done
        case $occ in
        -) case $borne in *"$nl$run.$guid$nl"* | *"$nl$run.$guid."*) alive=1 ;; esac ;;
        *) case $borne in *"$nl$run.$guid.$occ$nl"*) alive=1 ;; esac ;;
        esac
        if [ -z "$alive$found" ]; then
            echo "$number gone"
        elif [ "$cs" -lt $((end + 500)) ]; then
            found=${found#,}
            echo "$number left $end ${found:--}"
        else
            name_all ''
            pids=$(bearers | tr -dc '0-9\n' | tr '\n' ' ')
            echo "$number no 69 cannot end processes $pids$found"
        fi
    done <<END
$items
END
}

# bearing: what commands of the run bear, as <run>.<guid>[.<occ>], one a line.
bearing() {
    literal "$run"
    LC_ALL=C grep -hosazxE "NEPIQ_ID=$literal[.][0-9]+([.][0-9]+)?" /proc/[0-9]*/environ |
        tr '\0' '\n' | cut -d = -f 2
}

### Starting

# launch GUID OCC TOKEN OK KIND SIGN LIMIT MARK [RIGHTS]: start the command, or adopt an
# earlier launch.
#
# OK are the codes that count as FINISHED; KIND (none, port, output, file), SIGN and LIMIT
# (hundredths of a second) say when it serves; RIGHTS may be root. On stdin: a line with its input
# and one with a script that sets its environment, both in base64 ("-" for none, or written before),
# then the command and MARK, either in the third line, which needs no process to read it, or after
# an empty one, for the shell reads byte by byte.
# Answers running ADOPTED SINCE NOW, or ended ADOPTED NOW BOOT and the line of the exit.
launch() {
    guid=$1 occ=$2 token=$3 ok=$4 kind=$5 sign=$6 limit=$7 rights=${9-}
    IFS= read -r input && IFS= read -r setting && IFS= read -r text || fail 65 "no command came"
    [ -n "$text" ] || text=$(cat)
    enter "$8"
}

# launches: start several commands one after the other. On stdin for each: a line with GUID OCC
# TOKEN OK MARK, and the three lines of launch. Answers as launch, a line for each, led by its number.
launches() {
    kind=none sign=- limit=0 number=0
    while IFS=' ' read -r guid occ token ok mark; do
        IFS= read -r input && IFS= read -r setting && IFS= read -r text ||
            fail 65 "no command came"
        answer=$(enter "$mark") number=$((number + 1))
        printf '%s\n' "$number $answer"
    done
}

# enter MARK: what follows once the command is here.
enter() {
    adopted=1
    case $text in
    *"$1") text=${text%"$1"} ;;
    *) fail 65 "the command did not arrive whole" ;;
    esac
    if [ "$kind" = output ]; then
        grep -qE -e "$sign" </dev/null
        [ $? -le 1 ] || fail 64 "no regular expression: $sign"
    fi
    fence "$guid" "$token"
    [ -d "$root/$guid/$occ" ] || mkdir -p "$root/$guid/$occ" 2>/dev/null || places "$guid/$occ"
    [ -w "$root/$guid/$occ" ] || places "$guid/$occ"
    cd "$root/$guid/$occ" || fail 73 "cannot make $root/$guid/$occ"
    sole .lock
    exec 9>>.lock
    if ! flock -n 9; then
        if supervised . || { [ ! -s .started ] && borne; }; then
            adopt
            return
        fi
        flock 9 # an audit or an end has it, for a moment
    fi
    if recorded .; then
        report
    elif supervised .; then
        adopt # somebody has removed the file that it has locked
    elif [ -s .started ]; then
        guids='' dirs=$guid/$occ
        put_down 0
        conclude - LOST
        report
    elif ! launched; then
        spawn
    elif borne; then
        adopt # it has removed its directory
    else
        guids='' dirs=$guid/$occ
        put_down 0
        conclude - LOST
        report
    fi
}

# launched: has this occasion been started before?
launched() {
    while read -r word; do
        [ "$word" != "$occ" ] || return 0
    done <"$root/fence/$guid"
    return 1
}

# borne: does the supervisor of this occasion live, though nothing on record says so?
borne() {
    guids='' dirs=$guid/$occ
    name_all '[.]supervisor'
    [ -n "$(bearers)" ]
}

# The answer comes from the supervisor, which inherits this output and both locks. Not with "&",
# which would have the command ignore interrupts (POSIX, 2.11 "Signals and Error Handling").
spawn() {
    [ -z "$rights" ] || admit "$guid"
    [ "$input" = - ] || (umask 077 && printf %s "$input" | base64 -d >.stdin) || exit
    [ "$setting" = - ] || (umask 077 && printf %s "$setting" | base64 -d >.env) || exit
    if [ "${#text}" -gt 100000 ]; then # Linux allows 128 kB in one argument (execve(2))
        printf '%s\n' "$text" >.command || exit
        text='exec sh ./.command'
    fi
    export NEPIQ_ID="$run.$guid.$occ.supervisor" NEPIQ_NODE="$run.$node.supervisor"
    set -- setsid -f sh "$root/supervisor.sh" supervise \
        "$guid" "$occ" "$ok" "$kind" "$sign" "$limit" "$text" "$rights"
    [ -n "$rights" ] && [ -n "$secret" ] || exec "$@" </dev/null 2>/dev/null
    export NEPIQ_SECRET=1
    printf '%s\n' "$secret" | "$@" 2>/dev/null
}

# admit GUID: go on only if its command can be run as root, and mark it.
admit() {
    access
    [ -d "$root/$1" ] || mkdir -p "$root/$1"
    : >"$root/$1/.root" || exit
}

# An earlier launch runs: wait until it serves, or test that if nobody does any more.
adopt() {
    exec 8>&- 9>&-
    if [ "$kind" != none ] && [ ! -e .serving ]; then
        exec 7>>.waiting
        flock 7
    fi
    if [ "$kind" = none ] || [ -e .serving ] || recorded .; then report; else serve; fi
}

# Wait until the command serves or has ended, end it when it is overdue, and answer.
serve() {
    { read -r _ _ _ moment <.started; } 2>/dev/null || fail 69 "its run directory is gone"
    hundredths
    rounds=0 late=$((${moment%.*} * 100 + 1${moment#*.} - 100 + limit))
    while ! recorded . && supervised .; do
        if serving; then
            clock
            put .serving "$now"
            break
        fi
        hundredths
        if [ "$cs" -ge "$late" ]; then
            true >.overdue
            guids='' dirs=$guid/$occ
            put_down 200
            { flock -s -w 5 4; } 4>>.lock
            break
        fi
        rounds=$((rounds + 1))
        if [ "$rounds" -le 50 ]; then
            sleep 0.02
        elif [ "$rounds" -le 150 ]; then
            sleep 0.05
        else
            sleep 0.2
        fi
    done
    [ -e .started ] || fail 69 "its run directory is gone"
    report
}

serving() {
    case $kind in
    port) grep -qsE ":$sign [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6 ;;
    output) grep -qE -e "$sign" stdout stderr ;;
    file) [ -e "$sign" ] ;;
    esac
}

### Files and other commands

# run GUID OCC TOKEN COMMAND [SKIP]: says ok, then becomes the command. A TOKEN of - passes no
# fence. With SKIP the command's input begins after the first empty line.
run() {
    [ "$3" = - ] || pass "$1" "$3"
    [ -z "${5-}" ] || while IFS= read -r line && [ -n "$line" ]; do :; done
    export NEPIQ_NODE="$run.$node"
    echo ok
    cd "$root/$1/$2" 2>/dev/null || cd || exit
    exec sh -c "$4"
}

# run_root GUID OCC TOKEN COMMAND: the same as root, where it passes the fence once more, since sudo
# may take its time. If there is a secret, it comes again on stdin, with an empty line after it: sudo
# reads the former if it asks, and run what is left of them.
run_root() {
    [ "$3" = - ] || pass "$1" "$3"
    admit "$1"
    set -- env NEPIQ_ID="$run.$1" sh "$0" run "$@" ${secret:+skip}
    # A release signals the command; sudo, which would pass that on once more, bears no name of it.
    export NEPIQ_ID="$run.sudo" NEPIQ_NODE="$run.sudo"
    # This shell stays, and can be killed by those who give up. It need not say of which signal the
    # command died.
    { (elevate "$@" 2>&3 3>&-); } 3>&2 2>/dev/null
}

# write GUID OCC TOKEN PATH MODE LENGTH: a file of LENGTH bytes gets its name when all have come.
# PATH may be relative to the run directory, which is made.
write() {
    pass "$1" "$3"
    settle "$1" "$2" "$4"
    part=$folder/.${path##*/}.$3.part
    rm -f "$folder/.${path##*/}".*.part
    said=$( (cat >"$part") 2>&1) && chmod "$5" "$part" || {
        rm -f "$part"
        fail 74 "$4: $(flat "${said##*: }")"
    }
    if [ "$(wc -c <"$part")" -ne "$6" ]; then
        rm -f "$part"
        fail 65 "$4 did not arrive whole"
    fi
    replaceable "$path" || {
        rm -f "$part"
        fail 64 "$4 is no regular file"
    }
    mv -f "$part" "$path" || exit
    echo ok
}

# replaceable PATH: may a file get this name? A FIFO, a socket or a device keeps it.
replaceable() { [ ! -e "$1" ] || [ -f "$1" ]; }

# settle GUID OCC PATH [tree]: make the directory of a file or tree; its absolute name in $path and
# $folder.
settle() {
    [ -d "$root/$1/$2" ] || mkdir -p "$root/$1/$2" || exit
    case $3 in /*) path=$3 ;; *) path=$root/$1/$2/$3 ;; esac
    if [ "${4-}" = tree ]; then
        [ -d "$path" ] || [ ! -e "$path" ] || fail 64 "$3 is no directory"
        command -v tar >/dev/null || fail 69 "this host lacks tar: install the package tar"
    else
        [ ! -d "$path" ] || fail 64 "$3 is a directory"
        replaceable "$path" || fail 64 "$3 is no regular file"
    fi
    folder=${path%/*}
    [ -d "$folder/" ] || said=$(mkdir -p "$folder" 2>&1) || fail 73 "$3: $(flat "${said##*: }")"
}

# flat TEXT: on one line, for an answer.
flat() { printf %s "$1" | tr '\n' ' '; }

# receive GUID OCC TOKEN PATH MODE LENGTH ID: a file of LENGTH bytes, in as many goes as it takes;
# ID names the transfer over all of them. Says "at N", since N bytes are here already; takes the
# rest; says "got"; takes a line with its SHA-256, and gives the file its name. With the MODE tree it
# is an archive of what the directory PATH is to hold. What is known of a transfer that goes on is in
# .nepiq/<run>/<node>/transfer.
receive() {
    if [ "${NEPIQ_TRANSFER-}" != "$7" ]; then
        export NEPIQ_TRANSFER="$7" # by which another go finds this one
        exec sh "$root/supervisor.sh" receive "$@"
    fi
    pass "$1" "$3"
    mkdir -p "$root/transfer" || exit
    exec 7>>"$root/transfer/$7"
    flock -n 7 || supplant "$7"
    settle "$1" "$2" "$4" "$5"
    abandoned "$path" "$7"
    part=$folder/.nepiq.$7.part
    printf %s "$path" >"$root/transfer/$7"
    said=$( (: >>"$part") 2>&1) || drop 73 "$4: $(flat "${said##*: }")"
    at=$(wc -c <"$part")
    [ "$at" -le "$6" ] || drop 65 "$4: more has come than was sent"
    echo "at $((at))"
    said=$(dd bs=65536 iflag=fullblock,count_bytes count="$(($6 - at))" status=none 2>&1 >>"$part") ||
        drop 74 "$4: $(flat "${said##*: }")"
    at=$(wc -c <"$part")
    # The next go takes it from here.
    [ "$at" -eq "$6" ] || fail 65 "$4 did not arrive whole: $((at)) of $6 bytes"
    echo got
    IFS= read -r sum || fail 65 "$4 did not arrive whole: without its checksum"
    while [ "$6" -ge 16000000 ] && sleep 10 >/dev/null 2>&1; do echo wait; done &
    waiting=$!
    have=$(digest "$part" "$6")
    [ "$5" = tree ] || kill "$waiting" 2>/dev/null
    [ -z "$have" ] || [ "$have" = "$sum" ] || drop 65 "$4 arrived changed"
    [ ! -e "$ended" ] || drop 75 "the run has ended here"
    if [ "$5" = tree ]; then
        unpack "$4"
        kill "$waiting" 2>/dev/null
    else
        replaceable "$path" || drop 64 "$4 is no regular file"
        chmod "$5" "$part" && said=$(mv -f "$part" "$path" 2>&1) ||
            drop 73 "$4: $(flat "${said##*: }")"
    fi
    rm -f "$root/transfer/$7"
    echo ok
}

# unpack NAME: what $part holds into the directory $path. It appears whole, or what is there already
# is added to. Links that are there are replaced, not written through.
unpack() {
    stage=${part%.part}.tree.part goal=$path
    if [ -d "$path" ]; then
        set -- "$1" --no-overwrite-dir
    else
        goal=$stage
        rm -rf "$stage"
        mkdir "$stage" || drop 73 "$1: cannot make its directory"
    fi
    name=$1
    shift
    said=$(LC_ALL=C tar -xpf "$part" -C "$goal" --no-same-owner "$@" 2>&1) ||
        drop 74 "$name: $(flat "$said")"
    [ "$goal" = "$path" ] || said=$(mv -fT "$stage" "$path" 2>&1) ||
        drop 73 "$name: $(flat "${said##*: }")"
    rm -f "$part"
}

# forget ID: nobody goes on with this transfer.
forget() {
    if [ -e "$root/transfer/$1" ]; then
        exec 7>>"$root/transfer/$1"
        flock -n 7 || supplant "$1"
        exec 7>&-
        other=$(cat "$root/transfer/$1" && echo .)
        other=${other%.}
        rm -rf "${other%/*}/.nepiq.$1.part" "${other%/*}/.nepiq.$1.tree.part" "$root/transfer/$1"
    fi
    echo ok
}

# drop CODE REASON: fail, and leave nothing of this transfer.
drop() {
    [ -z "${waiting-}" ] || kill "$waiting" 2>/dev/null
    rm -rf "$part" "${part%.part}.tree.part" "$root/transfer/${NEPIQ_TRANSFER}"
    fail "$@"
}

# supplant ID: an earlier go of this transfer has lost its sender, and may not know it yet.
supplant() {
    for item in $(LC_ALL=C grep -lszxF "NEPIQ_TRANSFER=$1" /proc/[0-9]*/environ); do
        item=${item#/proc/}
        [ "${item%/*}" = $$ ] || kill -s KILL "${item%/*}" 2>/dev/null
    done
    flock -w 10 7 || fail 69 "an earlier go of this transfer does not end"
}

# abandoned PATH ID: remove what other transfers left of the same file; of all files if it is empty.
abandoned() {
    for item in "$root"/transfer/*; do
        [ -e "$item" ] && [ "${item##*/}" != "$2" ] || continue
        other=$(cat "$item" && echo .)
        other=${other%.}
        [ -z "$1" ] || [ "$other" = "$1" ] || continue
        flock -n "$item" rm -rf "${other%/*}/.nepiq.${item##*/}.part" \
            "${other%/*}/.nepiq.${item##*/}.tree.part" "$item"
    done
}

# digest FILE LENGTH: its SHA-256, or nothing on a host without a tool for it. openssl uses the
# processor's own instructions, where sha256sum may take five times as long, but starts slowly.
digest() {
    if [ "$2" -ge 16000000 ] && command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1
    elif command -v sha256sum >/dev/null; then
        sha256sum <"$1" | cut -d ' ' -f 1
    fi
}

### Following the journal

# watch JOURNAL OFFSET PERIOD: until stdin closes, print
#   boot ID, journal ID        first
#   at OFFSET NOW LINE         for each exit that the journal has after OFFSET; OFFSET ends its line
#   told NOW LINE              for one that the journal cannot take, or that was asked for
#   lost GUID OCC WHY          a launch whose supervisor is gone: killed, with the boot before, or
#                              with its directory
#   beat NOW                   every PERIOD seconds
#   gone                       the run has ended here, or files that it needs are not there any more
# A line "held GUID/OCC..." on stdin asks for what the worker takes for running: how it ended is
# told if it has, and that it is lost if nobody supervises it.
watch() {
    inspect $$
    # Its group is what it ends at the end.
    [ "$group" = $$ ] || exec setsid sh "$root/supervisor.sh" watch "$@"
    cd "$root" && read -r _ journal <journal || exit
    printf 'boot %s\njournal %s\n' "$boot_id" "$journal"
    read -r boot <boot
    if [ "$boot" != "$boot_id" ]; then
        # What was written last may not have reached the disk: tell every exit again.
        rm -rf [0-9]*/[0-9]*/.told
        put boot "$boot_id"
    fi
    offset=0
    [ "$1" != "$journal" ] || [ "$2" -gt "$(wc -c <journal)" ] || offset=$2
    lost=' ' known=' '
    audit
    { tail -c "+$((offset + 1))" -f journal | relay; } 2>/dev/null &
    # What hears them has a pipe that stays open as long as the beat.
    { beat "$3" 3>&1 >&4 4>&- | NEPIQ_WATCH=$run.$node sh "$root/supervisor.sh" hear >&4 4>&-; } \
        4>&1 2>/dev/null &
    while read -r verb dirs; do
        # shellcheck disable=SC2086
        [ "$verb" != held ] || question $dirs
    done
    leave
}

leave() {
    trap '' TERM
    kill -s TERM 0
    exit 0
}

relay() {
    while IFS= read -r line; do
        offset=$((offset + ${#line} + 1))
        clock
        case $line in
        journal\ *) ;;
        over)
            echo gone
            break
            ;;
        *) printf 'at %s %s %s\n' "$offset" "$now" "$line" ;;
        esac
    done
    leave
}

# hear: print what supervisors say that can write no file; see call.
hear() {
    while IFS= read -r line; do
        clock
        printf 'told %s %s\n' "$now" "$line"
    done
}

beat() {
    while sleep "$1" && sound; do
        audit
        clock
        echo "beat $now"
    done
    echo gone
    leave
}

# sound: is all there that this watch, launches and ends need?
sound() {
    [ ! -e "$ended" ] && [ . -ef "$root" ] && [ -w . ] && [ -d fence ] && [ -w fence ] &&
        [ -f supervisor.sh ] && [ -r supervisor.sh ] && [ -f journal ] && [ -w journal ] &&
        read -r _ line <journal && [ "$line" = "$journal" ]
}

# Say what has ended without a word: exits that the journal misses, launches that are lost.
audit() {
    seen=' ' missed=''
    for dir in [0-9]*/[0-9]*; do
        recorded "$dir" || { [ -f "$dir/.started" ] && [ -s "$dir/.started" ]; } || continue
        [ ! -e "$dir/.told" ] || continue
        seen="$seen$dir "
        ! supervised "$dir" || continue
        case $lost in *" $dir "*) continue ;; esac
        why=killed
        [ "$boot" = "$boot_id" ] || why=rebooted
        sole "$dir/.lock"
        [ ! -d "$dir" ] || (
            cd "./$dir" && flock -n 9 && [ ! -e .told ] || exit 0
            guid=${dir%/*} occ=${dir#*/}
            recorded . && tell || exit 3
        ) 9>>"$dir/.lock" || {
            lost="$lost$dir "
            retell "$dir" || echo "lost ${dir%/*} ${dir#*/} $why"
        }
    done
    for dir in $known; do
        case $seen in *" $dir "*) continue ;; esac
        [ -e "$dir/.told" ] || missed="$missed $dir"
    done
    known=$seen
    # shellcheck disable=SC2086
    [ -z "$missed" ] || question $missed
}

# question DIR...: tell how these have ended, and which of them nobody supervises.
question() {
    literal "$run"
    names=$(LC_ALL=C grep -hszxE "NEPIQ_ID=$literal[.][0-9]+[.][0-9]+[.]supervisor" \
        /proc/[0-9]*/environ | tr '\0' '\n')
    for dir; do
        guid=${dir%/*} occ=${dir#*/}
        case $nl$names$nl in *"${nl}NEPIQ_ID=$run.$guid.$occ.supervisor$nl"*) continue ;; esac
        retell "$dir" || echo "lost $guid $occ gone"
    done
}

# retell DIR: say without the journal how it ended; false if that is not on record.
retell() (
    recorded "$root/$1" && cd "$root/$1" && read -r code outcome moment boot <.exit || exit
    guid=${1%/*} occ=${1#*/}
    compose
    clock
    printf 'told %s %s\n' "$now" "$line"
)

### Following outputs

# follow [FILE AT]...: until stdin closes, print what each FILE (<guid>/<occ>/<name>) has after its
# first AT bytes, now and whenever it grows:
#   data FILE AT LENGTH    and then LENGTH bytes
#   beat                   every 5 s
# tail only rings: what to print is seen from the sizes, so that nothing comes twice or is lost.
follow() {
    inspect $$
    [ "$group" = $$ ] || exec setsid sh "$root/supervisor.sh" follow "$@"
    cd "$root" || exit
    files=''
    while [ $# -gt 1 ]; do
        files="$files $1"
        place_of "$1"
        eval "at_$place=$2"
        shift 2
    done
    {
        # The last byte rings for what came before tail looked.
        # shellcheck disable=SC2086 # names that hold no blanks
        tail -q -c 1 -s 0.2 -F $files 2>/dev/null &
        while sleep 5 && [ -e journal ]; do echo; done
    } | {
        pump
        while [ "$(dd bs=65536 count=1 2>/dev/null | wc -c)" -gt 0 ]; do
            pump
            echo beat
            sleep 0.05 # not one process for each line of a talkative command
        done
        leave
    } &
    while read -r _; do :; done
    leave
}

# place_of FILE: part of a variable's name, in $place.
place_of() {
    place=${1%/*}
    place=${place%/*}_${place#*/}_${1##*/}
}

# pump: print what has come, no more than 1 MB of a file at a time.
pump() {
    more=1
    while [ "$more" -eq 1 ]; do
        more=0
        # shellcheck disable=SC2086
        sizes=$(stat -L -c '%s %n' $files 2>/dev/null)
        while read -r size file; do
            [ -n "$file" ] || continue
            place_of "$file"
            eval "at=\$at_$place"
            # shellcheck disable=SC2154
            [ "$size" -gt "$at" ] || continue
            [ $((size - at)) -le 1000000 ] || size=$((at + 1000000)) more=1
            printf 'data %s %s %s\n' "$file" "$at" $((size - at))
            dd if="$file" bs=65536 iflag=fullblock,skip_bytes,count_bytes skip="$at" \
                count=$((size - at)) status=none
            eval "at_$place=$size"
        done <<END
$sizes
END
    done
}

### The node

# prepare RUN NODE TOKEN EXP FILES PROCESSES MODE: make its directory. FILES and PROCESSES are 1 to
# remove and end what earlier runs of the experiment EXP left; FILES is 2 for those of all
# experiments. MODE is that of .nepiq, and says who else may look into it.
prepare() {
    mode=$7
    places_of_runs || exit
    need flock setsid base64 grep tail head find wc od mkdir mv rm chmod sleep cat dd stat tr cut
    chmod "$mode" "$base" 2>/dev/null # it may be somebody else's
    folder ended || exit
    sole lock
    exec 5>>lock
    flock 5 || fail 69 "cannot lock $base/lock"
    for mark in ended/*; do
        [ ! -e "$mark" ] || find ended -type f -mtime +30 -exec rm -f {} +
        break
    done
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    rm -f "$ended.cleaned"
    places fence || exit
    fence "$node" "$3"
    furnish "$4" || exit
    exec 8>&- 5>&-
    [ "$5$6" != 00 ] || {
        echo ok
        return
    }
    for mark in "$base"/*/*/exp; do
        read -r name <"$mark"
        earlier=${mark%/exp}
        [ "${earlier%/*}" != "$base/$run" ] || continue
        if [ "$name" = "$4" ]; then
            clean "$earlier" "$5" "$6"
        elif [ "$5" = 2 ]; then
            clean "$earlier" 2 0
        fi
    done
    [ "$5" != 2 ] || rm -rf "$base/.usr" || fail 69 "cannot remove all of $base/.usr"
    echo ok
}

# restore RUN NODE TOKEN EXP MODE: make anew what somebody has removed from the directory of a node.
restore() {
    mode=$5
    places_of_runs || exit
    sole lock
    exec 5>>lock
    flock 5 || fail 69 "cannot lock $base/lock"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    [ ! -e "$ended.cleaned" ] || fail 75 "a later run has removed the directory of the run"
    places fence && furnish "$4" || exit
    echo ok
}

# places_of_runs: .nepiq is there, and we are in it. What we make is closed to whom MODE closes it.
places_of_runs() {
    case $mode in *00) umask 077 ;; *0) umask 027 ;; esac
    ground && cd "$base"
}

# furnish EXP: what lies in the directory of a node, where it is not there as it should be.
furnish() {
    for name in supervisor.sh supervisor.sh.t boot exp journal; do sole "$root/$name"; done
    printf '%s\n' "$script" | cat >"$root/supervisor.sh.t" &&
        mv -f "$root/supervisor.sh.t" "$root/supervisor.sh" || return
    [ -s "$root/boot" ] || note "$root/boot" "$boot_id" || return
    note "$root/exp" "$1" || return
    name='' journal=''
    [ ! -s "$root/journal" ] || read -r name journal <"$root/journal"
    [ "$name" != journal ] || [ -z "$journal" ] || return 0
    read -r journal </proc/sys/kernel/random/uuid
    note "$root/journal" "journal $journal" || return
    rm -rf "$root"/[0-9]*/[0-9]*/.told # a journal of another name tells every exit
}

need() {
    missing=''
    for tool; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
    [ -z "$missing" ] || fail 69 "this host lacks:$missing"
    [ -r /proc/self/environ ] || fail 69 "this host has no /proc"
    # What takes processes to find out is looked at once a boot.
    able=''
    sole able
    { read -r able <able; } 2>/dev/null
    [ "$able" != "$boot_id" ] || return 0
    printf 'a=b\0' | grep -zxqF a=b || fail 69 "grep of this host lacks the option -z"
    setsid -f true 2>/dev/null || fail 69 "setsid of this host lacks the option -f: install util-linux"
    note able "$boot_id"
}

# clean ROOT FILES PROCESSES: what runs keeps its directory.
clean() (
    root=$1 node=${1##*/} run=${1%/*}
    run=${run##*/} ended=$base/ended/${run##*/}-$node
    cd "$root" || exit
    everything
    if [ "$2$3" != 00 ] && rooted && [ "$(id -u)" -ne 0 ]; then
        access
        rerun clean "$@"
        exit
    fi
    if [ "$3" = 1 ]; then
        stop_all 200
        dismiss
    fi
    everything
    name_all ''
    groups=''
    [ "$2" != 0 ] && gone || exit
    # The command of a supervisor that has just answered may not be there yet.
    for item in $dirs; do ! leader "$item" && ! supervised "$item" || exit 1; done
    abandoned '' ''
    # Who follows it shall not make it anew.
    cd "$base" && { [ -e "$ended" ] || true >"$ended.cleaned"; }
    rm -rf "$root" && rmdir "${root%/*}" 2>/dev/null
)

# dismantle RUN NODE TOKEN GRACE REMOVE: end everything of the run here and refuse what may come.
dismantle() {
    if sole "$root/fence/$node" && { true <>"$root/fence/$node"; } 2>/dev/null; then
        exec 8<>"$root/fence/$node"
        flock 8
        raise "$node" "$3"
        exec 8>&-
    fi
    mark_ended && why='' || why=$said
    everything
    as=''
    ! rooted || as=as_root
    stop_all "$4"
    dismiss
    # Watches end by this, also those whose worker is out of reach.
    [ ! -f "$root/journal" ] || { echo over >>"$root/journal"; } 2>/dev/null
    [ ! -d "$root/transfer" ] || abandoned '' ''
    if [ "$5" -ne 0 ] && [ -d "$root" ]; then
        cd "$base" && $as rm -rf "$root" && rmdir "$base/$run" 2>/dev/null
    fi
    # A full file system has room for it when something else is gone; without a fence nothing starts.
    [ -z "$why" ] || mark_ended || rm -rf "$root/fence" ||
        fail 74 "all of it has ended here, but that cannot be noted: $why"
    echo ok
}

# mark_ended: note that the run has ended here, and let who is about to make its directory go first.
mark_ended() {
    said=$({ ground && folder "$base/ended" && sole "$base/lock" && true >>"$base/lock"; } 2>&1) ||
        return
    exec 5>>"$base/lock"
    flock 5
    said=$(true 2>&1 >"$ended")
    set -- $?
    exec 5>&-
    return "$1"
}

# tidy RUN NODE TOKEN [MARK]...: the run is dead: end what it left and remove its directory. MARKs
# are what processes bear, also those whose directory is gone.
tidy() {
    shift 3
    mark_ended && why='' || why=$said
    [ ! -d "$root" ] || clean "$root" 1 1
    names='' dirs='' groups=' '
    for item; do
        literal "$item"
        names="$names${names:+$nl}NEPIQ_ID=$literal"
    done
    hundredths
    last=$((cs + 200))
    if [ -n "$names" ]; then
        strike TERM
        outlast
    fi
    [ ! -d "$root" ] || fail 69 "cannot remove all of $root"
    [ -z "$why" ] || mark_ended || fail 74 "$said"
    echo ok
}

"$@"
