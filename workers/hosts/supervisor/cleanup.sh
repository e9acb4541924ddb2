### The end of a run on the node, and the removal of its files

# clean ROOT FILES PROCESSES: what runs keeps its directory.
clean() (
    root=$1 node=${1##*/} run=${1%/*}
    run=${run##*/} ended=$base/ended/${run##*/}-$node
    records=$places_of_records/$run-$node
    cd "$root" || exit
    everything
    if [ "$2$3" != 00 ] && rooted && ! is_root; then
        access
        rerun clean "$@"
        exit
    fi
    if [ "$3" = 1 ]; then
        stop_all 200
        dismiss
        left=$(unconfigure) || exit
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
    discard "$root" && rmdir "${root%/*}" 2>/dev/null
)

# dismantle RUN NODE TOKEN GRACE REMOVE: end everything of the run here and refuse what may come.
dismantle() {
    guard_if_any
    ! overtaken "$node" "$3" || fail 75 "$overtaken"
    raise "$node" "$3"
    exec 8>&-
    mark_ended && why='' || why=$said
    everything
    as=''
    ! rooted || as=as_root
    over || {
        stop_all "$4"
        dismiss
    }
    left=$(unconfigure) && left='' || left=${left:-no 69 cannot undo configuration}
    [ ! -e "$root/lease" ] || rm -f "$root/lease"
    # Watches end by this, also those whose worker is out of reach.
    [ ! -f "$root/journal" ] || { echo over >>"$root/journal"; } 2>/dev/null
    [ ! -d "$root/transfer" ] || abandoned '' ''
    [ ! -d "$base/.usr/part" ] || unfinished
    if [ "$5" -ne 0 ] && [ -d "$root" ] && [ -z "$left" ]; then
        cd "$base"
        $as rm -rf "$root" 2>/dev/null || discard "$root" || left="no 69 cannot remove all of $root"
        rmdir "$base/$run" 2>/dev/null
    fi
    # A full file system has room for it when something else is gone; without a fence nothing starts.
    [ -z "$why" ] || mark_ended || rm -rf "$root/fence" ||
        fail 74 "all of it has ended here, but that cannot be noted: $why"
    # Who removes the directory later need not look again.
    [ -n "$left$why" ] || [ "$5" -ne 0 ] || { echo over >"$ended"; } 2>/dev/null
    echo "${left:-ok}"
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
    unconfigure
    [ ! -d "$base/.usr/part" ] || unfinished
    [ ! -d "$root" ] || fail 69 "cannot remove all of $root"
    [ -z "$why" ] || mark_ended || fail 74 "$said"
    echo ok
}

# All functions are known now.
"$@"
