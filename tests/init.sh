#!/bin/sh
# Process 1 of a PID namespace: runs a command with our streams, and collects orphans meanwhile.
# Arguments: the command.
exec 3<&0 # what a shell runs in the background reads nothing
"$@" <&3 3<&- &
wait "$!"
