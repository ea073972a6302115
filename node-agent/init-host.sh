#!/bin/sh
# node-init of a node that has no namespaces of its own (without root, or on a Mac): its arguments are the node-agent's command line. It starts the
# node-agent, and starts it again with back-off when it dies. TERM stops the node-agent and leaves the pods; whoever ends the node ends its processes, which
# carry COXSWAIN_NODE in their environment.
set -u

. "$(dirname "$0")/keep-agent.sh"
