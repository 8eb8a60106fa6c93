#!/bin/bash
# Process 1 of the sandbox: makes its file systems private, runs a command, and collects orphans.
#   init.sh STATE KEEP COMMAND…     KEEP: 1 lives on after the command has ended
set -eu
state=$1 keep=$2
shift 2

# Mounts of pods must reach the kubelet and containerd, and never the machine.
mount --make-rshared /
mkdir -p "$state"/{kubelet,log,cni-results,sys,pid}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
mount --bind "$state/kubelet" /var/lib/kubelet
mount --bind "$state/cni-results" /var/lib/cni
mount --bind "$state/log" /var/log
mount --bind "$state/resolv.conf" /etc/resolv.conf

# The kubelet sets these for the whole machine. It finds plain files in their place.
for name in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
  cat "/proc/sys/$name" >"$state/sys/${name//\//-}"
  mount --bind "$state/sys/${name//\//-}" "/proc/sys/$name"
done

ip link set lo up
"$@" &
wait $! && code=0 || code=$?
echo "$code" >"$state/exit-code"
[ "$keep" = 1 ] || exit "$code"
# Bash collects orphans whenever it waits.
while :; do sleep 3600 & wait $! || true; done
