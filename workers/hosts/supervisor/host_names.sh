### Names of emulated hosts, in the file that all of them on the node have as /etc/hosts

# name_hosts: add lines to the file that emulated hosts of the node have as /etc/hosts.
name_hosts() {
    {
        [ -s "$root/hosts" ] || printf '%s\n' "127.0.0.1 localhost" "::1 localhost ip6-localhost"
        printf '%s\n' "$text"
    } >>"$root/hosts" && return
    said="cannot write in $root: $(obstacle)"
    for owner in $lines; do
        case $failed in *" ${owner%.*} "*) ;; *) spoil "$owner" "$said" ;; esac
    done
}

# unname_hosts: take the lines of $unnamed out of that file. It stays the same file, since it is
# mounted.
unname_hosts() {
    [ -e "$root/hosts" ] || return 0
    left=$(grep -vxF -e "${unnamed%"$nl"}" "$root/hosts")
    printf '%s\n' "$left" >"$root/hosts"
}
