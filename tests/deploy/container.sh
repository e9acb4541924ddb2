#!/bin/sh
# Process 1 of a container: makes its root, waits for its network, becomes what the container runs.
# Arguments: root, fstab, ro or rw, hostname (empty: the machine's), input of ip -batch, log; then
# the command. Standard input: a line when the network is plugged in.
set -eu
root=$1 fstab=$2 mode=$3 name=$4 network=$5 log=$6
shift 6

# /proc is still the machine's: it tells the number by which others find us.
read -r pid _ </proc/self/stat
[ -z "$name" ] || echo "$name" >/proc/sys/kernel/hostname
exec 4<"$network" 5>>"$log"
mount --bind "$root" "$root"
mount --all --fstab "$fstab"
cd "$root"
mkdir .machine
pivot_root . .machine
cd /
umount --lazy /.machine
rmdir /.machine
[ "$mode" = rw ] || mount -o remount,bind,ro /
echo "$pid"

read -r _
ip -batch - <&4
exec "$@" </dev/null >&5 2>&5 4<&- 5>&-
