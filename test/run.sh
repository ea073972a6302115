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
vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@"
code=$?
node -e '
  const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8") || "{}")
  const broken = (report.testResults ?? []).filter(f => f.status === "failed" && f.assertionResults.length === 0).length
  console.log(`${report.numPassedTests ?? 0} passed, ${(report.numFailedTests ?? 0) + broken} failed`)
' "$report"
rm -f "$report"
exit $code
