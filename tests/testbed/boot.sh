#!/bin/sh
# Process 1 of a host: makes its file systems, brings it up, then reaps orphans.
# Arguments: name, fstab, input of ip -batch, sshd. Standard input: a line when the network is
# plugged in, then nothing; when it closes, because whoever started the host died, the host ends.
set -eu
name=$1 fstab=$2 network=$3 sshd=$4

# /proc is still the machine's: it tells the number by which others find us.
read -r pid _ </proc/self/stat
echo "$name" >/proc/sys/kernel/hostname
# These files are out of sight once the host has its own /tmp.
exec 3<&0 4<"$network"
mount --all --fstab "$fstab"
# What is not the host's own can be read, never changed.
mount -o remount,bind,ro /
mkdir -p /run/sshd /run/lock
echo 0 >/proc/sys/net/ipv4/ip_forward
# An address is answered for only on the leg that has it.
echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
# Every user may ping, as where systemd sets this.
echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
echo "$pid"

read -r _ <&3
ip -batch - <&4
exec 4<&-
umask 022
"$sshd" -E /var/log/sshd.log </dev/null >/dev/null 2>&1 3<&- || {
    cat /var/log/sshd.log >&2
    exit 1
}

exec </dev/null >/dev/null 2>&1
while :; do
    cat <&3 &
    # wait collects whatever becomes a child of process 1. A cat that was killed is replaced.
    if wait $!; then exit 0; fi
done
