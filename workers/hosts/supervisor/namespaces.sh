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
    inodes=$(stat -L -c %i "$@" | tr '\n' '|')
    inodes=${inodes%|}
    hundredths
    last=$((cs + 200)) word=TERM
    while pids=$(inhabitants) && [ -n "$pids" ]; do
        # shellcheck disable=SC2086 # pids
        [ -z "$word" ] || kill -s "$word" -- $pids 2>/dev/null
        word=''
        hundredths
        [ "$cs" -lt "$last" ] || word=KILL
        [ "$cs" -lt $((last + 500)) ] || break
        sleep 0.05
    done
    for space; do echo "netns del ${space##*/}"; done | ip -force -batch - >/dev/null 2>&1
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
    literal "$run"
    find_finished
    [ -n "$finished" ] || return 0
    hundredths
    last=$((cs + 500))
    # shellcheck disable=SC2086 # numbers
    owned=$(echo $finished | tr ' ' '|')
    while ip -o link show | grep -qE "[ ]alias nepiq:$literal[.]($owned)( |\$)"; do
        hundredths
        [ "$cs" -lt "$last" ] || break
        sleep 0.02
    done
}

# inhabitants: the processes in namespaces with these $inodes.
inhabitants() {
    stat -L -c '%i %n' /proc/[0-9]*/ns/net 2>/dev/null | grep -E "^($inodes) " |
        cut -d / -f 3 | tr '\n' ' '
}
