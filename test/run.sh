#!/bin/sh
# `npm test`: installs what is missing, checks types and imports, runs the suite, and ends with one line that counts.
set -u
cd "$(dirname "$0")/.."
# The CLI installs the npm dependencies and bundles; system packages follow.
sh control-plane/cli/cox.sh --version >/dev/null || exit 1
PATH=$PWD/node_modules/.bin:$PATH
export PATH
sh test/system-packages.sh || exit 1
npm run -s check || exit 1
report=$(mktemp)
first=$(mktemp)
# Part of the suite runs as an ordinary user, who may not be let through to this directory: then everything runs where it can be seen by all.
if [ "$(id -u)" = 0 ] && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$PWD/test/run.sh"; then
  seen=$(mktemp -d)
  chmod 755 "$seen"
  mount --bind "$PWD" "$seen" || exit 1
  trap 'cd / && umount -l "$seen" && rmdir "$seen"' EXIT
  cd "$seen" || exit 1
  PATH=$PWD/node_modules/.bin:$PATH
fi
run() { vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@"; }
run "$@"
code=$?
# A machine that lands changes may stall for seconds: there, a few files that failed run once more, alone, and are named. Each is a race to be found.
if [ $code != 0 ] && [ -n "${CI:-}" ]; then
  failed=$(node -p '
    const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8") || "{}")
    const files = (report.testResults ?? []).filter(f => f.status === "failed").map(f => require("path").relative(process.cwd(), f.name))
    new Set(files).size <= 3 ? [...new Set(files)].join(" ") : ""
  ' "$report")
  if [ -n "$failed" ]; then
    echo "FAILED AT FIRST, run again: $failed"
    cp "$report" "$first"
    # shellcheck disable=SC2086
    run $failed
    code=$?
  fi
fi
# What passed at first counts, and of the files that ran again what their second run says.
node -e '
  const fs = require("fs")
  const filesOf = path => JSON.parse(fs.readFileSync(path, "utf8") || "{}").testResults ?? []
  const [last, first] = process.argv.slice(1).map(filesOf)
  const again = new Set(last.map(f => f.name))
  const files = [...first.filter(f => !again.has(f.name)), ...last]
  const count = status => files.flatMap(f => f.assertionResults).filter(t => t.status === status).length
  const broken = files.filter(f => f.status === "failed" && f.assertionResults.length === 0).length
  console.log(`${count("passed")} passed, ${count("failed") + broken} failed`)
' "$report" "$first"
rm -f "$report" "$first"
exit $code
