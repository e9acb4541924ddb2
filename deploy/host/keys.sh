#!/bin/sh
# Makes the keys of the hosts of compose.yaml in /keys, once, and an ssh_config for workers.
set -eu
keys=${1:-/keys}
owner=10001 # the user nepiq of the image nepiq
[ -e "$keys/host" ] || ssh-keygen -q -t ed25519 -N '' -C host -f "$keys/host"
[ -e "$keys/login" ] || ssh-keygen -q -t ed25519 -N '' -C nepiq -f "$keys/login"
echo "host-1,host-2 $(cut -d ' ' -f 1,2 "$keys/host.pub")" >"$keys/known_hosts"
cat >"$keys/ssh_config" <<END
Host host-1 host-2
  User lab
  IdentityFile $keys/login
  UserKnownHostsFile $keys/known_hosts
END
[ "$(id -u)" != 0 ] || chown "$owner" "$keys/login"
