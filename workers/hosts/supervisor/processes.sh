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
    case $1 in '' | *\?) occasion='([.][0-9]+)?' ;; esac
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

# bearers: the environments with one of $names, in a subshell, which it becomes. An empty list would
# match every empty entry.
bearers() {
    [ -n "$names" ] || return 0
    export LC_ALL=C
    exec grep -lszxE -f - /proc/[0-9]*/environ <<END
$names
END
}

# leader DIR: the group on record in $leader, empty if none; true if its leader lives. A process that
# has got this number later was born later.
leader() {
    leader=''
    { read -r boot _ <"$root/$1/.started"; } 2>/dev/null && [ "$boot" = "$boot_id" ] || return 1
    { read -r leader since _ <"$root/$1/.group"; } 2>/dev/null || return 1
    inspect "$leader" && [ "$born" -le "$since" ]
}

# strike SIGNAL: to each group once (they stay in $groups), and to each bearer outside of these. For
# TERM a command may have chosen another one. What is on record as a leader and leads no group yet is
# about to begin: it gets the signal itself, and then its group, if it leads one since.
strike() {
    known=' ' strange=' ' singles=' ' chosen=' ' early=' ' struck=''
    for item in $dirs; do
        if leader "$item"; then
            groups="$groups$leader "
            [ "$group" = "$leader" ] || early="$early$leader "
        fi
        [ -n "$leader" ] || continue
        known="$known$leader "
        [ "$1" = KILL ] || [ ! -e "$root/$item/.signal" ] || choose_signal "$item"
    done
    gather
    send "$1" "$groups" "$singles"
    [ "$1" = KILL ] || { struck=$cs termed=$names; }
}

# gather: add the bearers to $groups and $singles. Once $struck, what began later is left out.
gather() {
    for path in $(bearers); do
        pid=${path#/proc/}
        pid=${pid%/*}
        inspect "$pid" || continue
        [ -z "$struck" ] || [ "$born" -le "$struck" ] || continue
        case $groups in *" $group "*) continue ;; esac
        case $singles in *" $pid "*) continue ;; esac
        case $known in
        *" $group "*) groups="$groups$group " ;;
        *) stray ;;
        esac
    done
}

# send SIGNAL GROUPS SINGLES
send() {
    for pid in $2; do
        word=$1
        case $chosen in *" $pid:"*) word=${chosen#*" $pid:"} word=${word%% *} ;; esac
        case $early in *" $pid "*) kill -s "$word" -- "$pid" ;; esac
        kill -s "$word" -- "-$pid"
    done
    for pid in $3; do kill -s "$1" -- "$pid"; done
} 2>/dev/null

# strike_late: TERM to what it has missed, because a process has no environment at the moment when it
# executes another program. For a second after the first signal; what was forked since may be what
# ends the others.
strike_late() {
    [ -n "$struck" ] && [ "$cs" -lt $((struck + 100)) ] || return 0
    had=$groups had_singles=$singles meant=$names names=$termed
    gather
    names=$meant
    send TERM "${groups#"$had"}" "${singles#"$had_singles"}"
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
    singles="$singles$pid "
}

remain() {
    [ -z "$(bearers)" ] || return 0
    for pid in $groups; do ! populated "$pid" || return 0; done
    # What is about to begin bears no name yet.
    for item in $dirs; do recorded "$root/$item" || ! leader "$item" || return 0; done
    return 1
}

# Twice, because a process has no environment at the moment when it executes another program.
gone() { ! remain && ! remain; }

# over: is the end on record of all that $guids and $dirs mean, and does nothing of it live, commands
# and supervisors? One look at all processes costs milliseconds. Those of root only root can see.
over() {
    [ -z "$unlisted" ] && { is_root || ! rooted; } || return
    for item in $dirs; do
        ! leader "$item" && { recorded "$root/$item" || [ ! -s "$root/$item/.started" ]; } || return
    done
    name_all '([.]supervisor)?'
    names="$names${names:+$nl}NEPIQ_ID=$literal[.]$node[.]supervisor" groups=''
    gone
}

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
    [ -n "$lasting" ] || expect_exits
    outlast
}

# Kill what there is after $last. Something of another user, or stuck in the kernel, may remain.
outlast() {
    until gone; do
        hundredths
        if [ "$cs" -lt "$last" ]; then strike_late; else strike KILL; fi
        [ "$cs" -lt $((last + 500)) ] || fail 69 "cannot end processes$groups$singles"
        sleep 0.05
    done
}

# expect_exits: wait until the supervisors of $dirs have recorded the exits, or $last.
expect_exits() {
    pause=0.01
    for item in $dirs; do
        while [ -s "$root/$item/.started" ] && ! recorded "$root/$item" && supervised "$root/$item"; do
            hundredths
            [ "$cs" -lt "$last" ] || return 0
            sleep "$pause"
            case $pause in 0.01) pause=0.02 ;; *) pause=0.05 ;; esac
        done
    done
}

# roll_call: the living supervisors on this host, in $roll: PID:GUID/OCC of each. Those that share an
# environment say by their names what they supervise. What one forks has its name too, for the moment
# until it executes another program.
roll_call() {
    roll=' '
    literal "$run"
    names=$(LC_ALL=C grep -HosazxE "NEPIQ_ID=$literal[.]([0-9]+[.][0-9]+|$node)[.]supervisor" \
        /proc/[0-9]*/environ | tr '\0' '\n')
    while IFS= read -r name; do
        pid=${name#/proc/} name=${name##*"NEPIQ_ID=$run."}
        pid=${pid%%/*} name=${name%.supervisor}
        case $name in
        *.*) ;;
        *) { read -r name <"/proc/$pid/comm"; } 2>/dev/null || continue ;;
        esac
        case $name in
        *[!0-9.]* | '') ;;
        *.*) roll="$roll$pid:${name%.*}/${name#*.} " ;;
        esac
    done <<END
$names
END
}

# on_roll DIR: is it supervised?
on_roll() { case $roll in *":$1 "*) ;; *) return 1 ;; esac }

# chosen_roll: those that supervise what $guids and $dirs mean, in $pids.
chosen_roll() {
    pids=''
    roll_call
    for item in $roll; do
        case " $dirs " in *" ${item#*:} "*) pids="$pids ${item%%:*}" && continue ;; esac
        item=${item%/*}
        case " $guids " in *" ${item#*:} "*) pids="$pids ${item%%:*}" ;; esac
    done
}

# dismiss: supervisors end by themselves once their commands have.
dismiss() {
    groups=' '
    hundredths
    last=$((cs + 200))
    if [ -n "$whole" ]; then
        name_all '[.]supervisor'
        outlast
        return
    fi
    # Twice, because a process has no environment at the moment when it executes another program.
    while chosen_roll && [ -n "$pids" ] || { chosen_roll && [ -n "$pids" ]; }; do
        hundredths
        # shellcheck disable=SC2086
        [ "$cs" -lt "$last" ] || kill -s KILL $pids 2>/dev/null
        [ "$cs" -lt $((last + 500)) ] || fail 69 "cannot end processes$pids"
        sleep 0.05
    done
}

# halt DIR: have its supervisor, if it lives, tell that this was STOPPED.
halt() {
    if { [ -d "$root/$1" ] && [ -w "$root/$1" ] || places "$1"; } && true >"$root/$1/.stop"; then
        return
    fi
    roll_call
    for item in $roll; do
        # What it has forked bears its name too.
        [ "${item#*:}" != "$1" ] || is_fork "${item%%:*}" || kill -s USR1 "${item%%:*}"
    done
} 2>/dev/null

# is_fork PID: is its parent on the roll?
is_fork() {
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    case $roll in *" $2:"*) ;; *) return 1 ;; esac
}

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
    hundredths
    last=$((cs + 100))
    while roll_call && on_roll "$dir"; do
        [ "$cs" -lt "$last" ] || return 0
        sleep 0.05
        hundredths
    done
    return 1
}
