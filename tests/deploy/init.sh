#!/bin/sh
# What Docker's "init: true" puts in front of a command: it passes signals on and collects orphans.
"$@" &
child=$! caught=0 seen=0 code=''
for signal in TERM INT HUP; do
    # shellcheck disable=SC2064  # the child is known now
    trap "caught=\$((caught + 1)); kill -$signal $child" "$signal"
done
while :; do
    wait "$child"
    last=$code code=$?
    # A signal that has come ends wait too. The command may be over by now: its code comes from the
    # next one, unless it was this one's.
    [ "$code" -ne 127 ] || [ -z "$last" ] || exit "$last"
    [ "$caught" -gt "$seen" ] && [ "$code" -gt 128 ] || exit "$code"
    seen=$caught
done
