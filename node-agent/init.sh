#!/bin/sh
# node-init: PID 1 of a node's PID, mount, network, UTS and IPC namespaces (or of its container). Its arguments are the node-agent's command line.
# It gives the node a /run of its own (so /run/netns is the node's), starts the node-agent, starts it again with back-off when it dies, and
# reaps orphans, as PID 1 must. TERM shuts the node down: the node-agent hears of it as PWR, ends its pods if it is to, and goes; then everything goes. KILL is pulling the plug: the kernel ends all that is in the node.
# Everything mounted here, and every network namespace named here, is gone with the node.
set -u

# Apart from the machine's mounts, but shared in the node: what is unmounted here goes from the namespaces of the shims as well.
mount --make-rprivate / 2>/dev/null && mount --make-rshared /
mount -t tmpfs -o mode=755,nosuid,nodev node-run /run || exit 1
mkdir -p /run/netns /run/lock
ip link set lo up

# Names are answered by a process of its own, with the node-agent's command line but for the program, so that they resolve while the node-agent is away.
keep_dns() {
  left=$#
  while [ "$left" -gt 0 ]; do
    case $1 in
      node-agent) word=cluster-dns ;;
      */node-agent.js) word=${1%node-agent.js}cluster-dns.js ;;
      *) word=$1 ;;
    esac
    shift
    set -- "$@" "$word"
    left=$((left - 1))
  done
  what=cluster-dns
  . "$here/keep-agent.sh"
}
here=$(dirname "$0")
if [ -n "${COXSWAIN_CLUSTER_DNS:-}" ]; then keep_dns "$@" & fi

# All of the node goes down with us, which the node-agent is told.
stop_signal=PWR
. "$here/keep-agent.sh"

# The shims and the containers' processes: all that is left in this PID namespace. Those that ignore TERM get a second.
kill -TERM -1 2>/dev/null
tries=0
while set -- /proc/[0-9]* && [ $# -gt 1 ] && [ $tries -lt 20 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
kill -KILL -1 2>/dev/null
exit 0
