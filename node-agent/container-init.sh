#!/bin/sh
# The entrypoint of a node's container: makes the container one of the cluster's nodes and gives it what `cox up` gives to its nodes, then becomes node-init.
# Arguments: the directory of the nodes' states, which all nodes share, then the node-agent's command line.
set -eu

# A cgroup namespace: on cgroup version 1 the engine makes none, and the shims look for the node's cgroups by the paths that they read in /proc.
[ -n "${COXSWAIN_CGROUP_NAMESPACE:-}" ] || COXSWAIN_CGROUP_NAMESPACE=1 exec unshare --cgroup sh "$0" "$@"
unset COXSWAIN_CGROUP_NAMESPACE
nodes=$1
shift

# The first slot that nobody holds is this node's name. This process holds the lock for as long as it lives, that is as long as the container does: one that is
# started again, or made anew, finds the slot free and goes on as the same node.
slot=1
while exec 9>"$nodes/node-$slot.lock" && ! flock --nonblock 9; do
  slot=$((slot + 1))
  [ -e "$nodes/creds/system:node:node-$slot.creds" ] || { echo "node-init: all slots for nodes are taken" >&2; exit 1; }
done
hostname "node-$slot"
mkdir -p "$nodes/node-$slot"

# The engine mounts these read-only. Both show what is the container's own: its network namespace, and the part of the cgroup trees that it lies in.
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Version 2 hands controllers down only from a cgroup that holds no processes: ours move into one beside those of the pods.
  mkdir -p /sys/fs/cgroup/node-init
  while read -r pid; do echo "$pid" >/sys/fs/cgroup/node-init/cgroup.procs 2>/dev/null || :; done </sys/fs/cgroup/cgroup.procs
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || :; done
else
  for tree in /sys/fs/cgroup/*/; do
    if mountpoint --quiet "$tree"; then mount -o remount,bind,rw "$tree"; fi
  done
fi

exec sh "$(dirname "$0")/init.sh" "$@"
