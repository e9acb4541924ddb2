### The cache of contents that all runs share: .usr/content, with what arrives in .usr/part
#
# What has the name NAME in .usr/part belongs to the holder of .usr/lock/NAME. If nobody holds that,
# it was left by somebody who was killed, and is removed.

# keep GUID OCC TOKEN SHA256 LENGTH: a content for the cache. Says "have" if it is there, "busy" while
# another request brings it, or else "at N", and goes on as receive does.
keep() {
    pass "$1" "$3"
    usr=$base/.usr name=$4
    goal=$usr/content/$name part=$usr/part/$name
    [ ! -f "$goal" ] || {
        touch -c "$goal" 2>/dev/null # its age counts from its last use
        echo have
        return
    }
    said=$(mkdir -p "$usr/content" "$usr/lock" "$usr/part" 2>&1) ||
        fail 73 "$usr: $(flat "${said##*: }")"
    exec 7>>"$usr/lock/$name"
    flock -n 7 || {
        echo busy
        return
    }
    [ ! -f "$goal" ] || {
        echo have
        return
    }
    find "$usr/content" -type f -mtime +30 -exec rm -f {} +
    said=$( (: >>"$part") 2>&1) || fail 73 "$part: $(flat "${said##*: }")"
    at=$(wc -c <"$part")
    [ "$at" -le "$5" ] || {
        : >"$part"
        at=0
    }
    echo "at $((at))"
    said=$(dd bs=65536 iflag=fullblock,count_bytes count="$(($5 - at))" status=none 2>&1 >>"$part") || {
        rm -f "$part"
        fail 74 "$part: $(flat "${said##*: }")"
    }
    at=$(wc -c <"$part")
    [ "$at" -eq "$5" ] || fail 65 "a content did not arrive whole: $((at)) of $5 bytes"
    echo got
    IFS= read -r sum || fail 65 "a content did not arrive whole: without its checksum"
    while [ "$5" -ge 16000000 ] && sleep 10 >/dev/null 2>&1; do echo wait; done 7>&- &
    waiting=$!
    have=$(digest "$part" "$5")
    kill "$waiting" 2>/dev/null
    if [ -n "$have" ] && [ "$have" != "$name" ] || [ "$sum" != "$name" ]; then
        rm -f "$part"
        fail 65 "a content arrived changed"
    fi
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    said=$(mv -f "$part" "$goal" 2>&1) || fail 73 "$goal: $(flat "${said##*: }")"
    echo ok
}

# unfinished: remove what others left half done in the cache: parts, and builds that are not ready.
unfinished() {
    for item in "$base/.usr/part"/*; do
        [ ! -e "$item" ] || (flock -n 7 && discard "$item") 7>>"$base/.usr/lock/${item##*/}"
    done
    for item in "$base/.usr/build"/*; do
        [ ! -d "$item" ] || [ -e "$item/ready" ] || [ -e "$item/failed" ] ||
            (flock -n 7 && discard "$item") 7>>"$base/.usr/lock/${item##*/}"
    done
}

# discard PATH: remove it, also directories without the right to write.
discard() {
    rm -rf "$1" 2>/dev/null || { chmod -R u+rwx "$1" && rm -rf "$1"; } 2>/dev/null
}
