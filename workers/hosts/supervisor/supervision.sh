### The supervisor of one command, and the record of its exit
#
# .exit holds the truth, a line in the journal announces it.

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

# record: write .exit and ring. A command may have removed or moved its directory: then in a new one,
# unless the run has ended here, which leaves no directory.
record() {
    if { [ . -ef "$root/$guid/$occ" ] && [ -w . ]; } ||
        { [ ! -e "$ended" ] && places "$guid/$occ" && cd "$root/$guid/$occ"; }; then
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
# an empty one, ":..." a text in which %XX are bytes, "=..." one in hexadecimal digits, "..." in
# base64, "-" one that stays on the host, "~..." the end of a large stderr in base64.
compose() {
    { read -r _ journal <"$root/journal"; } 2>/dev/null || journal=-
    out=. err=.
    if odd stdout || odd stderr; then
        out=- err=- # somebody has put it there since
    elif [ ! -s stderr ] && [ -s stdout ] && legible stdout; then # most are such; it needs no process
        out=":$text"
    elif [ ! -s stderr ] && [ -s stdout ] && digits stdout; then
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

# odd FILE: is it there, and no regular file?
odd() { [ -e "$1" ] && [ ! -f "$1" ]; }

# legible FILE: its bytes in $text, if they are at most 800 of a text. A shell reads byte by byte, so
# not a file of unknown size: as far as the command has written it itself, the place of fd 3 tells.
legible() {
    { read -r _ at </proc/self/fdinfo/3; } 2>/dev/null && [ "$at" -gt 0 ] && [ "$at" -le 800 ] ||
        return
    LC_ALL=C text='' piece=''
    {
        while IFS= read -r piece <&4 && [ "${#text}" -le 800 ]; do text=$text$piece$nl; done
        read -r _ at </proc/self/fdinfo/4
    } 4<"$1"
    text=$text$piece
    # A shell passes over NUL characters.
    [ "$at" -eq "${#text}" ] && [ "$at" -le 800 ] || return
    case $text in *[![:print:]"$tab$nl"]*) return 1 ;; esac
    rest=$text text=''
    while :; do
        piece=${rest%%[ %"$tab$nl"]*}
        text=$text$piece rest=${rest#"$piece"}
        case $rest in
        ' '*) text=$text%20 ;;
        %*) text=$text%25 ;;
        "$nl"*) text=$text%0A ;;
        "$tab"*) text=$text%09 ;;
        *) break ;;
        esac
        rest=${rest#?}
    done
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
        { read -r _ _ _ moment _ <.started; } 2>/dev/null || moment=$now
        printf 'running %s %s %s\n' "$adopted" "$moment" "$now"
    elif [ -e .serving ]; then
        read -r moment <.serving
        printf 'running %s %s %s\n' "$adopted" "$moment" "$now"
    fi
}

# supervise GUID OCC OK KIND SIGN LIMIT COMMAND RIGHTS LIFE: holds the locks 8 (of the fence) and 9
# (.lock).
supervise() {
    guid=$1 occ=$2 ok=$3 kind=$4 sign=$5 limit=$6 rights=$8 adopted=0
    leader='' stopped='' expired=''
    live "$9"
    inspect $$
    clock
    true >>stdout 2>>stderr
    note .started "$boot_id $$ $born $now" ||
        fail 74 "cannot write in $PWD: $(obstacle)"
    echo "$occ" 2>/dev/null >>"$root/fence/$guid" # behind the token
    [ "$signal" = TERM ] || note .signal "$signal" || exit
    exec 8>&-
    trap stopped=1 USR1 # how to stop where no file can say so
    trap expired=1 USR2
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
    [ "$timeout" -eq 0 ] || limit_time
    hundredths
    while execute "$7" && recurs; do
        decimal "$delay"
        NEPIQ_ID=$run.$guid.$occ NEPIQ_NODE=$run.$node \
            setsid sh "$root/supervisor.sh" rest "$decimal" >/dev/null 2>&1 </dev/null 6>&- 9>&-
        judge
        ! halted && [ ! -e "$ended" ] || break
        hundredths
    done
    exec 6>&-
    conclude "$code" "$outcome" || retain
}

# live LIFE: how it ends and whether it is restarted, TIMEOUT:SIGNAL:GRACE:RESTART:MOST:PAUSE with
# times in hundredths of a second; nothing for what is usual.
live() {
    timeout=0 signal=TERM grace=1000 restart=no most=0 pause=0 restarts=0 delay=0
    [ -n "$1" ] || return 0
    IFS=:
    # shellcheck disable=SC2086
    set -- $1
    unset IFS
    timeout=$1 signal=$2 grace=$3 restart=$4 most=$5 pause=$6
}

# execute COMMAND: wait for it; how it has ended in $code and $outcome. Not by "&", which would have
# the command ignore interrupts (POSIX, 2.11 "Signals and Error Handling").
execute() {
    if [ -z "$rights" ]; then
        { true >>stdout; } 2>/dev/null && exec 3>>stdout || exec 3>&-
        myself
        (become "$1" "$pid") <"$input" >&3 2>>stderr 3>&- 6>&- 9>&-
    else
        # A group apart from sudo's, which passes on each signal that it gets.
        as_root env NEPIQ_ID="$run.$guid.$occ" NEPIQ_NODE="$run.$node" \
            setsid sh "$root/supervisor.sh" begin "$1" "$input" 2>.sudo 6>&- 9>&-
    fi
    code=$?
    [ -e .group ] || [ ! -e .sudo ] || cat .sudo >>stderr
    ! halted || { read -r leader _ <.group; } 2>/dev/null
    while halted && populated "$leader"; do sleep 0.05; done
    judge
}

# become COMMAND PARENT: the command, leader of a session and group of its own, in a subshell.
become() {
    enlist "$2"
    export NEPIQ_ID="$run.$guid.$occ" NEPIQ_NODE="$run.$node"
    # It may set any variable, also one of ours.
    # shellcheck source=/dev/null
    [ ! -e .env ] || . ./.env
    exec setsid sh -c "$1"
}

judge() {
    if stopping; then
        outcome=STOPPED
    elif [ -e .overdue ]; then
        outcome=OVERDUE
    elif [ -n "$expired" ]; then
        outcome=EXPIRED
    else
        case ,$ok, in ,any, | *",$code,"*) outcome=FINISHED ;; *) outcome=FAILED ;; esac
    fi
}

halted() { stopping || [ -e .overdue ] || [ -n "$expired" ]; }

# decimal HUNDREDTHS: the same in seconds, in $decimal.
decimal() { decimal=$(($1 / 100)).$(($1 / 10 % 10))$(($1 % 10)); }

# limit_time: end the command after $timeout, however often it was restarted. What waits for that
# sees by the lock when this supervisor has ended, in whatever way.
limit_time() {
    exec 5>>.timer 6>>.timer && flock 6 || exit
    (
        exec 6>&- 9>&-
        decimal "$timeout"
        ! flock -w "$decimal" 5 || exit
        true >.expired
        kill -s USR2 $$
        guids='' dirs=$guid/$occ
        put_down "$grace"
    ) 2>/dev/null &
    exec 5>&-
}

# recurs: is it to be restarted? Then what the run has left is ended, the restart is noted, and
# $delay is the pause: doubled each time up to a minute, as at first after a run of ten seconds.
recurs() {
    case $restart:$outcome in
    always:FINISHED | always:FAILED | on-failure:FAILED) ;;
    *) return 1 ;;
    esac
    [ "$most" -eq 0 ] || [ "$restarts" -lt "$most" ] || return
    [ ! -e "$ended" ] && [ . -ef "$root/$guid/$occ" ] && [ -s .started ] || return
    began=$cs
    hundredths
    moment=$now
    if [ "$delay" -eq 0 ] || [ $((cs - began)) -ge 1000 ]; then
        delay=$pause
    else
        delay=$((delay * 2 < 6000 ? delay * 2 : 6000))
    fi
    (guids='' dirs=$guid/$occ lasting=1 && put_down "$grace") >/dev/null 2>&1 || return
    restarts=$((restarts + 1))
    {
        printf '%s\n' "$restarts $code $moment" >>.restarts
        read -r _ journal <"$root/journal" &&
            printf '%s\n' "again $journal $guid $occ $restarts $code $moment $boot_id ." \
                >>"$root/journal"
    } 2>/dev/null
    return 0
}

stopping() { [ -n "$stopped" ] || [ -f .stop ] || [ -f "$root/$guid/$occ/.stop" ]; }

# retain: hold what cannot be recorded until it can.
retain() {
    until [ -e "$ended" ] || record; do sleep 1; done
}

if [ "$1" = supervise ] && [ "$5$9${10}" = none ]; then
    "$@"
    exit
fi

# supervised DIR: does the supervisor of this occasion live? Of several that were started together it
# is the parent of the command, by its name; as long as that is not on record, the shell that has
# started them counts, and $presumed is set.
supervised() {
    presumed=''
    { read -r boot pid since _ shared <"$1/.started"; } 2>/dev/null && [ "$boot" = "$boot_id" ] ||
        return
    if [ -n "$shared" ]; then
        if { read -r _ _ tender <"$1/.group"; } 2>/dev/null && [ -n "$tender" ]; then
            { read -r title <"/proc/$tender/comm"; } 2>/dev/null && [ "$title" = "$shared" ] &&
                [ "/proc/$tender/cwd" -ef "$1" ]
            return
        fi
        presumed=1
    fi
    inspect "$pid" && [ "$born" = "$since" ]
}
