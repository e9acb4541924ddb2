### Files that arrive: whole in one command (write), or as a stream that can be resumed (receive)

# write GUID OCC TOKEN PATH MODE LENGTH: a file of LENGTH bytes gets its name when all have come.
# PATH may be relative to the run directory, which is made.
write() {
    pass "$1" "$3"
    settle "$1" "$2" "$4"
    part=$folder/.${path##*/}.$3.part
    rm -f "$folder/.${path##*/}".*.part
    said=$( (cat >"$part") 2>&1) && chmod "$5" "$part" || {
        rm -f "$part"
        fail 74 "$4: $(flat "${said##*: }")"
    }
    if [ "$(wc -c <"$part")" -ne "$6" ]; then
        rm -f "$part"
        fail 65 "$4 did not arrive whole"
    fi
    replaceable "$path" || {
        rm -f "$part"
        fail 64 "$4 is no regular file"
    }
    mv -f "$part" "$path" || exit
    echo ok
}

# replaceable PATH: may a file get this name? A FIFO, a socket or a device keeps it.
replaceable() { [ ! -e "$1" ] || [ -f "$1" ]; }

# settle GUID OCC PATH [tree]: make the directory of a file or tree; its absolute name in $path and
# $folder.
settle() {
    [ -d "$root/$1/$2" ] || mkdir -p "$root/$1/$2" || exit
    case $3 in /*) path=$3 ;; *) path=$root/$1/$2/$3 ;; esac
    if [ "${4-}" = tree ]; then
        [ -d "$path" ] || [ ! -e "$path" ] || fail 64 "$3 is no directory"
        command -v tar >/dev/null || fail 69 "this host lacks tar: install the package tar"
    else
        [ ! -d "$path" ] || fail 64 "$3 is a directory"
        replaceable "$path" || fail 64 "$3 is no regular file"
    fi
    folder=${path%/*}
    [ -d "$folder/" ] || said=$(mkdir -p "$folder" 2>&1) || fail 73 "$3: $(flat "${said##*: }")"
}

# flat TEXT: on one line, for an answer.
flat() { printf %s "$1" | tr '\n' ' '; }

# receive GUID OCC TOKEN PATH MODE LENGTH ID: a file of LENGTH bytes, in as many goes as it takes;
# ID names the transfer over all of them. Says "at N", since N bytes are here already; takes the
# rest; says "got"; takes a line with its SHA-256, and gives the file its name. With the MODE tree it
# is an archive of what the directory PATH is to hold. What is known of a transfer that goes on is in
# .nepiq/<run>/<node>/transfer.
receive() {
    if [ "${NEPIQ_TRANSFER-}" != "$7" ]; then
        export NEPIQ_TRANSFER="$7" # by which another go finds this one
        exec sh "$root/supervisor.sh" receive "$@"
    fi
    pass "$1" "$3"
    mkdir -p "$root/transfer" || exit
    exec 7>>"$root/transfer/$7"
    flock -n 7 || supplant "$7"
    settle "$1" "$2" "$4" "$5"
    abandoned "$path" "$7"
    part=$folder/.nepiq.$7.part
    printf %s "$path" >"$root/transfer/$7"
    said=$( (: >>"$part") 2>&1) || drop 73 "$4: $(flat "${said##*: }")"
    at=$(wc -c <"$part")
    [ "$at" -le "$6" ] || drop 65 "$4: more has come than was sent"
    echo "at $((at))"
    said=$(dd bs=65536 iflag=fullblock,count_bytes count="$(($6 - at))" status=none 2>&1 >>"$part") ||
        drop 74 "$4: $(flat "${said##*: }")"
    at=$(wc -c <"$part")
    # The next go takes it from here.
    [ "$at" -eq "$6" ] || fail 65 "$4 did not arrive whole: $((at)) of $6 bytes"
    echo got
    IFS= read -r sum || fail 65 "$4 did not arrive whole: without its checksum"
    while [ "$6" -ge 16000000 ] && sleep 10 >/dev/null 2>&1; do echo wait; done &
    waiting=$!
    have=$(digest "$part" "$6")
    [ "$5" = tree ] || kill "$waiting" 2>/dev/null
    [ -z "$have" ] || [ "$have" = "$sum" ] || drop 65 "$4 arrived changed"
    [ ! -e "$ended" ] || drop 75 "the run has ended here"
    if [ "$5" = tree ]; then
        unpack "$4"
        kill "$waiting" 2>/dev/null
    else
        replaceable "$path" || drop 64 "$4 is no regular file"
        chmod "$5" "$part" && said=$(mv -f "$part" "$path" 2>&1) ||
            drop 73 "$4: $(flat "${said##*: }")"
    fi
    rm -f "$root/transfer/$7"
    echo ok
}

# unpack NAME: what $part holds into the directory $path. It appears whole, or what is there already
# is added to. Links that are there are replaced, not written through.
unpack() {
    stage=${part%.part}.tree.part goal=$path
    if [ -d "$path" ]; then
        set -- "$1" --no-overwrite-dir
    else
        goal=$stage
        rm -rf "$stage"
        mkdir "$stage" || drop 73 "$1: cannot make its directory"
    fi
    name=$1
    shift
    said=$(LC_ALL=C tar -xpf "$part" -C "$goal" --no-same-owner "$@" 2>&1) ||
        drop 74 "$name: $(flat "$said")"
    [ "$goal" = "$path" ] || said=$(mv -fT "$stage" "$path" 2>&1) ||
        drop 73 "$name: $(flat "${said##*: }")"
    rm -f "$part"
}

# forget ID: nobody goes on with this transfer.
forget() {
    if [ -e "$root/transfer/$1" ]; then
        exec 7>>"$root/transfer/$1"
        flock -n 7 || supplant "$1"
        exec 7>&-
        other=$(cat "$root/transfer/$1" && echo .)
        other=${other%.}
        rm -rf "${other%/*}/.nepiq.$1.part" "${other%/*}/.nepiq.$1.tree.part" "$root/transfer/$1"
    fi
    echo ok
}

# drop CODE REASON: fail, and leave nothing of this transfer.
drop() {
    [ -z "${waiting-}" ] || kill "$waiting" 2>/dev/null
    rm -rf "$part" "${part%.part}.tree.part" "$root/transfer/${NEPIQ_TRANSFER}"
    fail "$@"
}

# supplant ID: an earlier go of this transfer has lost its sender, and may not know it yet.
supplant() {
    for item in $(LC_ALL=C grep -lszxF "NEPIQ_TRANSFER=$1" /proc/[0-9]*/environ); do
        item=${item#/proc/}
        [ "${item%/*}" = $$ ] || kill -s KILL "${item%/*}" 2>/dev/null
    done
    flock -w 10 7 || fail 69 "an earlier go of this transfer does not end"
}

# abandoned PATH ID: remove what other transfers left of the same file; of all files if it is empty.
abandoned() {
    for item in "$root"/transfer/*; do
        [ -e "$item" ] && [ "${item##*/}" != "$2" ] || continue
        other=$(cat "$item" && echo .)
        other=${other%.}
        [ -z "$1" ] || [ "$other" = "$1" ] || continue
        flock -n "$item" rm -rf "${other%/*}/.nepiq.${item##*/}.part" \
            "${other%/*}/.nepiq.${item##*/}.tree.part" "$item"
    done
}

# digest FILE LENGTH: its SHA-256, or nothing on a host without a tool for it. openssl uses the
# processor's own instructions, where sha256sum may take five times as long, but starts slowly.
digest() {
    if [ "$2" -ge 16000000 ] && command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1
    elif command -v sha256sum >/dev/null; then
        sha256sum <"$1" | cut -d ' ' -f 1
    fi
}
