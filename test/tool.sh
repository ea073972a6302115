#!/bin/sh
# `npm run bench` and `npm run conformance`: installs what is missing, then runs that folder's program with the options that follow. --help lists them.
set -u
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
folder=$1
shift
# The CLI installs the npm dependencies and bundles; system packages follow.
sh "$project/control-plane/cli/cox.sh" --version >/dev/null || exit 1
PATH=$project/node_modules/.bin:$PATH
export PATH
sh "$here/system-packages.sh" || exit 1
exec node --disable-warning=ExperimentalWarning "$here/$folder/main.ts" "$@"
