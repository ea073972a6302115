#!/bin/sh
# `npm run conformance`: installs what is missing, builds Kubernetes' own suite where it is not built yet, and runs it. Options: --help.
set -u
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$(dirname "$here")")
# The CLI installs the npm dependencies and bundles; system packages follow.
sh "$project/control-plane/cli/cox.sh" --version >/dev/null || exit 1
PATH=$project/node_modules/.bin:$PATH
export PATH
sh "$project/test/system-packages.sh" || exit 1
exec node --disable-warning=ExperimentalWarning "$here/main.ts" "$@"
