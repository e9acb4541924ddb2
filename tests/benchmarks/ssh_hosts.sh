#!/bin/sh
# The SSH servers of a benchmark, in namespaces of their own: nothing of the machine's /etc, /home
# and /run is changed, and everything that was run on them ends with this shell, which is pid 1.
# Usage: ssh_hosts.sh FOLDER SSHD PORT ADDRESS...   ends at the end of its input. With APART not
# empty, each server has a process namespace of its own.
set -eu

folder=$1 sshd=$2 port=$3
shift 3
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 home /home
mkdir -m 755 /run/sshd
install -m 644 "$folder/authorized_keys" /run/sshd/
mount --bind "$folder/passwd" /etc/passwd
while IFS=: read -r _ _ uid _ _ home _; do
    case $home in
    /home/bench*) install -d -o "$uid" "$home" ;; # empty: no start-up file of a shell
    esac
done </etc/passwd
for address; do
    set -- "$sshd" -f "$folder/sshd_config" -E "$folder/$address.log" \
        -o "ListenAddress=$address:$port"
    if [ -n "${APART-}" ]; then
        unshare --pid --fork --mount-proc "$@" -D &
    else
        "$@"
    fi
done
cat # until the benchmark closes it, or has died
