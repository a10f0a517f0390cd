#!/bin/sh
# Goal: what works of the official Rust client's own test suite goes on working.
# Method: runs the tests named in must_pass.txt (one full name a line) against
# the release build, and fails if one of them fails. The other tests of the
# suite are not run: as the broker learns more, their names are added.
#
# BROKER: the binary under test (default: target/release/midge)
# CONFORMANCE_CACHE: scratch folder (default: target/conformance)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=$root/../shared/conformance/async-nats/run
list=$here/must_pass.txt

if [ ! -x "$suite" ]; then
    echo "SKIPPED: the conformance suite is not here: $suite" >&2
    exit 0
fi
BROKER=${BROKER:-$root/target/release/midge}
CONFORMANCE_CACHE=${CONFORMANCE_CACHE:-$root/target/conformance}
RESULTS=$CONFORMANCE_CACHE/must_pass.tsv
export BROKER CONFORMANCE_CACHE RESULTS
mkdir -p "$CONFORMANCE_CACHE"
rm -f "$RESULTS"

# The suite takes the names as substrings, so it may run a few tests more than
# are listed; only the listed ones are judged.
output=$CONFORMANCE_CACHE/must_pass.log
# shellcheck disable=SC2046 # a name has no blanks
"$suite" $(cat "$list") >"$output" 2>&1 || true
if [ ! -f "$RESULTS" ]; then
    cat "$output"
    exit 2
fi

passed=0
failed=0
while read -r name; do
    outcome=$(awk -F '\t' -v name="$name" '$1 == name { print $2 }' "$RESULTS")
    if [ "$outcome" = pass ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "${outcome:-not run}: $name"
    fi
done <"$list"
if [ "$failed" -gt 0 ]; then
    echo "logs: $CONFORMANCE_CACHE/async-nats/logs"
fi
echo "$passed passed, $failed failed of $((passed + failed)) that must pass"
[ "$failed" -eq 0 ]
