#!/bin/sh
# node-init of a node that has no namespaces of its own (without root, or on a Mac): its arguments are the node-agent's command line. It starts the
# node-agent, and starts it again with back-off when it dies. TERM stops the node-agent and leaves the pods; whoever ends the node ends its processes, which
# carry COXSWAIN_NODE in their environment.
set -u

agent=
stopping=
stop() {
  stopping=1
  [ -n "$agent" ] && kill -TERM "$agent" 2>/dev/null
}
trap stop TERM INT

# In tenths of a second.
backoff=1
while [ -z "$stopping" ]; do
  started=$(date +%s)
  "$@" &
  agent=$!
  # A signal interrupts wait; the agent is waited for until it is gone.
  while kill -0 "$agent" 2>/dev/null; do wait "$agent"; done
  agent=
  [ -n "$stopping" ] && break
  [ $(($(date +%s) - started)) -ge 10 ] && backoff=1
  echo "{\"component\":\"node-init\",\"msg\":\"the node-agent ended; starting it again in $((backoff * 100)) ms\"}"
  sleep "$((backoff / 10)).$((backoff % 10))" &
  wait $!
  backoff=$((backoff * 2))
  [ $backoff -gt 50 ] && backoff=50
done
