#!/bin/sh
# What Docker's "init: true" puts in front of a command: it passes signals on and collects orphans.
"$@" &
child=$!
for signal in TERM INT HUP; do
    # shellcheck disable=SC2064  # the child is known now
    trap "kill -$signal $child" "$signal"
done
while :; do
    wait "$child"
    code=$?
    # wait returns too when a signal came.
    kill -0 "$child" 2>/dev/null || exit "$code"
done
