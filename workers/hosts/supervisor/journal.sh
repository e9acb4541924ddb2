### The journal, followed by one worker of the site

# watch JOURNAL OFFSET PERIOD: until stdin closes, print
#   boot ID, journal ID        first
#   at OFFSET NOW LINE         for each exit that the journal has after OFFSET; OFFSET ends its line
#   told NOW LINE              for one that the journal cannot take, or that was asked for
#   lost GUID OCC WHY          a launch whose supervisor is gone: killed, with the boot before, or
#                              with its directory
#   beat NOW                   every PERIOD seconds
#   over                       the run has been ended here: the last line
#   gone                       it had been before, or files that it needs are not there any more
# A line "held GUID/OCC..." on stdin asks for what the worker takes for running: how it ended is
# told if it has, and that it is lost if nobody supervises it.
watch() {
    inspect $$
    # Its group is what it ends at the end.
    [ "$group" = $$ ] || exec setsid sh "$root/supervisor.sh" watch "$@"
    cd "$root" && read -r _ journal <journal || exit
    printf 'boot %s\njournal %s\n' "$boot_id" "$journal"
    boot=''
    { sole boot && read -r boot <boot; } 2>/dev/null
    if [ "$boot" != "$boot_id" ]; then
        # What was written last may not have reached the disk: tell every exit again.
        rm -rf [0-9]*/[0-9]*/.told
        put boot "$boot_id"
    fi 2>/dev/null
    offset=0
    [ "$1" != "$journal" ] || [ "$2" -gt "$(wc -c <journal)" ] || offset=$2
    lost=' ' known=' ' absent=' '
    trap '' PIPE # when nobody reads any more, whoever notices ends all of them
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
            echo over
            break
            ;;
        *) printf 'at %s %s %s\n' "$offset" "$now" "$line" || break ;;
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
        echo "beat $now" || break
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
        ! supervised "$dir" || deserted "$dir" || continue
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

# deserted DIR: is nobody there who supervises it, though who started it lives, since the last audit?
deserted() {
    { read -r _ _ _ moment _ <"$1/.started"; } 2>/dev/null && [ -n "$presumed" ] && clock &&
        [ $((${now%.*} - ${moment%.*})) -ge 10 ] && roll_call && ! on_roll "$1" || return
    case $absent in *" $1 "*) return 0 ;; esac
    absent="$absent$1 "
    return 1
}

# question DIR...: tell how these have ended, and which of them nobody supervises.
question() {
    roll_call
    for dir; do
        # What a shell is about to begin has no name yet.
        on_roll "$dir" || retell "$dir" || { supervised "$dir" && ! deserted "$dir"; } ||
            echo "lost ${dir%/*} ${dir#*/} gone"
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
