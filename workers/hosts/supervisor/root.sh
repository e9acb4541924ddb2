### Acting as root
#
# Only root can see and signal processes of root: <guid>/.root marks the resources that may have
# some. $secret is the login user's password, "" if none was sent; it reaches sudo by a pipe, never
# by an argument, the environment or a file. With -k, sudo neither uses nor leaves a cached password.

# rooted: may anything of $guids and $dirs (see below) run as root?
rooted() {
    for item in $guids $dirs; do [ ! -e "$root/${item%/*}/.root" ] || return 0; done
    return 1
}

# elevate COMMAND...: become it as root. If there is a secret, the input begins with it.
elevate() {
    ! is_root || exec "$@"
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

# access [TEST...]: go on only if we can act as root, and root passes test(1): by default that it may
# write in the directory of the node, if we may.
access() {
    read -r host </proc/sys/kernel/hostname
    is_root || command -v sudo >/dev/null ||
        fail 69 "$host lacks sudo: install the package sudo"
    # What ends processes needs no directory, nor one on a disk that is read-only now.
    [ $# -gt 0 ] || { [ -d "$root" ] && [ -w "$root" ] && set -- -w "$root" || set -- 1; }
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
    '')
        [ "$1" = -r ] && said=read || said='write to'
        fail 69 "root may not $said $root on $host: give the node a home on a disk of the host"
        ;;
    esac
    fail 69 "sudo fails on $host: ${said##*"$nl"}"
}
