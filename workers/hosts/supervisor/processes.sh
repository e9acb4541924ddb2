### Processes of a resource or of the node: finding and ending them
#
# Ours bear NEPIQ_ID=<run>.<guid>[.<occ>] and NEPIQ_NODE=<run>.<node> in their environment, whether
# files are there or not. The processes meant are those of $whole (not empty: the node), $guids and
# $dirs (<guid>/<occ>, from $root).

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
    names=${whole:+"NEPIQ_NODE=$literal[.]$node$1"} occasion='[.][0-9]+' either=''
    [ -n "$1" ] || occasion='([.][0-9]+)?'
    # grep takes long for many expressions.
    for item in $guids; do either="$either|$item"; done
    [ -z "$either" ] || names="$names${names:+$nl}NEPIQ_ID=$literal[.](${either#|})$occasion$1"
    either=''
    for item in $dirs; do either="$either|${item%/*}[.]${item#*/}"; done
    [ -z "$either" ] || names="$names${names:+$nl}NEPIQ_ID=$literal[.](${either#|})$1"
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

# strike SIGNAL: to each group once (they stay in $groups), and to each bearer outside of these. For
# TERM a command may have chosen another one.
strike() {
    known=' ' strange=' ' singles='' chosen=' '
    for item in $dirs; do
        ! leader "$item" || groups="$groups$leader "
        [ -n "$leader" ] || continue
        known="$known$leader "
        [ "$1" = KILL ] || [ ! -e "$root/$item/.signal" ] || choose_signal "$item"
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
    for pid in $groups; do
        word=$1
        case $chosen in *" $pid:"*) word=${chosen#*" $pid:"} word=${word%% *} ;; esac
        kill -s "$word" -- "-$pid"
    done 2>/dev/null
    for pid in $singles; do kill -s "$1" -- "$pid"; done 2>/dev/null
}

choose_signal() {
    { read -r word <"$root/$1/.signal"; } 2>/dev/null || return 0
    case $word in '' | *[!A-Z0-9]*) ;; *) chosen="$chosen$leader:$word " ;; esac
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

# put_down GRACE: TERM, after GRACE hundredths of a second KILL, until nothing is left. With $lasting
# the supervisors go on.
put_down() {
    if rooted; then
        access
        rerun subdue "$root" "$guids" "$dirs" "$1" "$whole" "$lasting" || exit
    else
        quell "$1"
    fi
}

# subdue ROOT GUIDS DIRS GRACE WHOLE LASTING: root's part of it.
subdue() {
    guids=$2 dirs=$3 whole=${5-} lasting=${6-}
    quell "$4"
}

quell() {
    name_all ''
    groups=' '
    hundredths
    last=$((cs + $1))
    [ "$1" -eq 0 ] || strike TERM
    [ -n "$lasting" ] || for item in $dirs; do expect_exit "$item"; done
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
