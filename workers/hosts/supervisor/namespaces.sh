### Network namespaces and what runs in them: their removal

# drop_spaces: end what runs in the namespaces of $spaces, and remove them.
drop_spaces() {
    there=''
    for space in $spaces; do [ ! -e "/run/netns/$space" ] || there="$there /run/netns/$space"; done
    # shellcheck disable=SC2086 # paths
    set -- $there
    # shellcheck disable=SC2086 # names
    [ $# -gt 0 ] || {
        forget_keys $spaces
        return 0
    }
    inodes=$(stat -L -c '^%i ' "$@")
    hundredths
    last=$((cs + 200)) word=TERM
    while inhabitants; do
        # shellcheck disable=SC2086 # pids
        [ -z "$word" ] || kill -s "$word" -- $pids 2>/dev/null
        word=''
        hundredths
        [ "$cs" -lt "$last" ] || word=KILL
        [ "$cs" -lt $((last + 500)) ] || break
        sleep 0.05
    done
    lines=''
    for space; do lines="${lines}netns del ${space##*/}$nl"; done
    ip -force -batch - >/dev/null 2>&1 <<END
$lines
END
    # shellcheck disable=SC2086 # names
    forget_keys $spaces
    for space; do
        [ -e "$space" ] || continue
        while IFS=' ' read -r guid line; do
            [ "$line" != "${space##*/}" ] ||
                remain_of "$guid" "the network namespace $line is still there"
        done <<END
$removals
END
    done
}

# vanish: wait until the kernel has removed what leads from the host into namespaces that are gone.
vanish() {
    find_finished
    hundredths
    last=$((cs + 500))
    while leads; do
        hundredths
        [ "$cs" -lt "$last" ] || break
        sleep 0.02
    done
}

# leads: does the host have an interface that is of one of $finished?
leads() {
    shown=$(ip -o link show)
    for guid in $finished; do
        case "$shown$nl" in *" alias nepiq:$run.$guid"[" $nl\\"]*) return 0 ;; esac
    done
    return 1
}

# inhabitants: the processes in namespaces with these $inodes, in $pids; false if there are none.
inhabitants() {
    [ -n "$inodes" ] || return
    pids=''
    for path in $(stat -L -c '%i %n' /proc/[0-9]*/ns/net 2>/dev/null | LC_ALL=C grep -e "$inodes"); do
        path=${path#/proc/}
        case $path in */ns/net) pids="$pids ${path%%/*}" ;; esac
    done
    [ -n "$pids" ]
}
