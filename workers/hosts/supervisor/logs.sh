### Outputs, followed as they grow

# follow [FILE AT]...: until stdin closes, print what each FILE (<guid>/<occ>/<name>) has after its
# first AT bytes, now and whenever it grows:
#   data FILE AT LENGTH    and then LENGTH bytes
#   beat                   every 5 s
# tail only rings: what to print is seen from the sizes, so that nothing comes twice or is lost.
follow() {
    inspect $$
    [ "$group" = $$ ] || exec setsid sh "$root/supervisor.sh" follow "$@"
    cd "$root" || exit
    files=''
    while [ $# -gt 1 ]; do
        files="$files $1"
        place_of "$1"
        eval "at_$place=$2"
        shift 2
    done
    {
        # The last byte rings for what came before tail looked.
        # shellcheck disable=SC2086 # names that hold no blanks
        tail -q -c 1 -s 0.2 -F $files 2>/dev/null &
        while sleep 5 && [ -e journal ]; do echo; done
    } | {
        pump
        while [ "$(dd bs=65536 count=1 2>/dev/null | wc -c)" -gt 0 ]; do
            pump
            echo beat
            sleep 0.05 # not one process for each line of a talkative command
        done
        leave
    } &
    while read -r _; do :; done
    leave
}

# place_of FILE: part of a variable's name, in $place.
place_of() {
    place=${1%/*}
    place=${place%/*}_${place#*/}_${1##*/}
}

# pump: print what has come, no more than 1 MB of a file at a time.
pump() {
    more=1
    while [ "$more" -eq 1 ]; do
        more=0
        # shellcheck disable=SC2086
        sizes=$(stat -L -c '%s %n' $files 2>/dev/null)
        while read -r size file; do
            [ -n "$file" ] || continue
            place_of "$file"
            eval "at=\$at_$place"
            # shellcheck disable=SC2154
            [ "$size" -gt "$at" ] || continue
            [ $((size - at)) -le 1000000 ] || size=$((at + 1000000)) more=1
            printf 'data %s %s %s\n' "$file" "$at" $((size - at))
            dd if="$file" bs=65536 iflag=fullblock,skip_bytes,count_bytes skip="$at" \
                count=$((size - at)) status=none
            eval "at_$place=$size"
        done <<END
$sizes
END
    done
}
