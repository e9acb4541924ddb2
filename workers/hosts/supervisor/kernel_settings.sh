### Settings of the kernel (sysctl(8)), which several resources, runs and users may set at one time
#
# /run/nepiq/NETNS,KEY says who has set a value: a line with the former one, then a line HOLDER VALUE
# for each that has set it, the latest last. The host itself is written as - there, a / in a key as a
# comma. Who gives up a setting leaves the value of the latest other; the last one restores the
# former. The directory is locked meanwhile, and gone with the last file.

keys=/run/nepiq keys_locked=''

# key_file KEY: its file, in $key, and the file of those who hold it in $netns, in $holders.
key_file() {
    key=$1 holders=''
    case $key in */*) ;; *) key=$(printf %s "$key" | tr . /) ;; esac
    rest=$key
    while case $rest in */*) ;; *) false ;; esac do
        holders=$holders${rest%%/*}, rest=${rest#*/}
    done
    holders=$keys/${netns:--},$holders$rest key=/proc/sys/$key
}

# lock_keys: until the plan is carried out.
lock_keys() {
    while [ -z "$keys_locked" ]; do
        mkdir -m 755 "$keys" 2>/dev/null || [ -d "$keys" ] || return
        command exec 5<"$keys" || return
        flock 5
        # Who had it before may have removed it.
        [ ! /proc/self/fd/5 -ef "$keys" ] || keys_locked=1
    done 2>/dev/null
}

# read_holders GUID: the former value in $first, the lines of others in $others, our own in $mine, the
# value of the latest in $latest, and the holder in $last.
read_holders() {
    first='' others='' mine='' latest='' last=''
    {
        IFS= read -r first
        while IFS=' ' read -r holder value; do
            last=$holder
            if [ "$holder" = "$run.$node.$1" ]; then
                mine=$value
            else
                others="$others$holder $value$nl" latest=$value
            fi
        done
    } <"$holders"
}

# set_key N KEY VALUE: set it, after its value was recorded.
set_key() {
    key_file "$2"
    former=$(entered cat "$key" 2>&1) || {
        said="sysctl: there is no $2 on this host"
        return 1
    }
    eval "guid=\$guid_$1"
    lock_keys || {
        said="cannot make $keys"
        return 1
    }
    append "$records/$guid" "sysctl ${netns:--} $2=$former" || {
        said="cannot write in $records: $said"
        return 1
    }
    first=$former others=''
    [ ! -e "$holders" ] || read_holders "$guid"
    hold_key "$3" || return
    said=$(write_key "$3") || {
        said="sysctl: $2=$3: ${said##*: }"
        return 1
    }
    # The kernel writes it in its own way.
    [ "$said" = "$3" ] || hold_key "$said"
}

hold_key() {
    keep_holders "$others$run.$node.$guid $1" && return
    said="cannot write $holders: the file system is full or read-only"
    return 1
}

# keep_holders LINES: below the former value. Of the host a kill leaves the old file or the new one.
keep_holders() {
    if [ -n "$netns" ]; then
        printf '%s\n' "$first" "$1" >"$holders"
    else
        put "$holders" "$first$nl$1"
    fi
} 2>/dev/null

# give_up_key GUID KEY VALUE: leave it as others have set it, or somebody by hand, or restore the value.
give_up_key() {
    key_file "$2"
    lock_keys
    value=$3 mine=''
    if [ -e "$holders" ]; then
        read_holders "$1"
        [ -n "$mine" ] || return 0
        if [ -n "$others" ]; then
            keep_holders "${others%"$nl"}"
            [ "$last" = "$run.$node.$1" ] || return 0
            value=$latest
        else
            value=$first
            rm -f "$holders"
            rmdir "$keys" 2>/dev/null && keys_locked=''
        fi
    fi
    said=$(entered cat "$key" 2>/dev/null) || return 0
    [ -z "$mine" ] || [ "$said" = "$mine" ] || return 0
    [ "$said" = "$value" ] || said=$(write_key "$value")
}

# write_key VALUE: set it, and print it as the kernel has it.
write_key() {
    # shellcheck disable=SC2016 # for the inner shell
    entered sh -c 'printf "%s\n" "$2" >"$1" && exec cat "$1"' sh "$key" "$1" 2>&1
}

# forget_keys NETNS...: of namespaces that are gone.
forget_keys() {
    for space; do
        for file in "$keys/$space",*; do
            [ -e "$file" ] && lock_keys || continue
            rm -f "$file"
        done
    done
    [ -z "$keys_locked" ] || { rmdir "$keys" 2>/dev/null && keys_locked=''; }
}
