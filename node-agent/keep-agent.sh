# Sourced by node-init (init.sh, init-host.sh): runs a process of the node, whose command line the arguments are, and starts it again with back-off
# when it dies; `what` is its name, node-agent unless set. Goes on when TERM or INT has come and the process has ended.

agent=
stopping=
# The shell runs a trap only between commands or in wait, so the agent runs in the background.
stop() {
  stopping=1
  [ -n "$agent" ] && kill -"${stop_signal:-TERM}" "$agent" 2>/dev/null
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
  echo "{\"component\":\"node-init\",\"msg\":\"the ${what:-node-agent} ended; starting it again in $((backoff * 100)) ms\"}"
  sleep "$((backoff / 10)).$((backoff % 10))" &
  wait $!
  backoff=$((backoff * 2))
  [ $backoff -gt 50 ] && backoff=50
done
