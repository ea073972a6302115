#!/bin/sh
# `npm run soak -- [rounds] [files]`: every row of the failure table so many times in a row (20 unless told), then one line for each row.
set -u
cd "$(dirname "$0")/.."
sh control-plane/cli/cox.sh --version >/dev/null || exit 1
PATH=$PWD/node_modules/.bin:$PATH
SOAK_ROUNDS=20
case ${1:-} in [1-9]*) SOAK_ROUNDS=$1; shift ;; esac
export PATH SOAK_ROUNDS
sh test/system-packages.sh || exit 1
report=$(mktemp)
[ $# -gt 0 ] || set -- test/e2e/failures
vitest run --retry=0 --reporter=default --reporter=json --outputFile.json="$report" "$@"
code=$?
node -e '
  const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8") || "{}")
  const rows = new Map()
  for (const { title, status } of (report.testResults ?? []).flatMap(f => f.assertionResults)) {
    const name = title.replace(/ \[\d+ of \d+\]$/, "")
    const row = rows.get(name) ?? rows.set(name, { passed: 0, all: 0 }).get(name)
    row.all++
    if (status === "passed") row.passed++
  }
  for (const [name, { passed, all }] of rows) console.log(`${String(passed).padStart(3)} of ${all}  ${name}`)
' "$report"
rm -f "$report"
exit $code
