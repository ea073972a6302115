#!/bin/sh
# The front door: `npm start`, `npx cox ...`. Makes sure the dependencies (among them the pinned Node) and the bundles are there and
# current, then runs the real CLI. Plain shell, because it runs before anything is installed.
set -eu
link=$0
while [ -L "$link" ]; do
  target=$(readlink "$link")
  case $target in /*) link=$target ;; *) link=${link%/*}/$target ;; esac
done
case $link in */*) ;; *) link=./$link ;; esac
cd "${link%/*}/../.." && project=$PWD && cd "$OLDPWD"

# The lock file that node_modules was made from lies in it.
if ! cmp -s "$project/package-lock.json" "$project/node_modules/.coxswain-lock"; then
  echo "installing npm dependencies..." >&2
  log=$(mktemp)
  if ! (cd "$project" && npm ci --no-audit --no-fund --loglevel=error) >"$log" 2>&1; then
    cat "$log" >&2
    echo "cox: npm ci failed; see above" >&2
    exit 1
  fi
  rm -f "$log"
  cp "$project/package-lock.json" "$project/node_modules/.coxswain-lock"
fi
# The pinned Node comes as a package; elsewhere the machine's own has to do.
PATH=$project/node_modules/.bin:$PATH
export PATH
stamp=$project/dist/.built
if [ ! -e "$stamp" ] || [ -n "$(find "$project/control-plane" "$project/node-agent" "$project/shared" "$project/package-lock.json" -newer "$stamp" -type f -print -quit)" ]; then
  node --disable-warning=ExperimentalWarning "$project/control-plane/cli/build.ts"
fi
# As components.ts starts all others.
export NODE_COMPILE_CACHE="$project/dist/.compile-cache" MALLOC_ARENA_MAX=1
# What envtest starts comes in by this door, too.
bundle=${COXSWAIN_BUNDLE:-cox}
unset COXSWAIN_BUNDLE
compilers=
case "$bundle $* " in *" --api-only "* | envtest-apiserver*)
  # What loading the bundles took goes back to the system, where an API server for a test is within this process: larger pieces, as the
  # compiler takes them for a moment, are mapped by themselves and leave no holes (8 MB).
  export MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=32768
  # V8's compilers wait until there is work (tiering.ts): their own pages and what they make of the start are 12 MB.
  compilers="--no-opt --no-maglev --no-sparkplug" ;;
esac
# shellcheck disable=SC2086
exec node --max-semi-space-size=1 --v8-pool-size=1 $compilers "$project/dist/$bundle.js" "$@"
