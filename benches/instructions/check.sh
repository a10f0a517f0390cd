#!/usr/bin/env bash
# Counts the instructions of each workload of benches/instructions/main.rs with callgrind and
# compares with recorded.tsv. Needs: apt-get install valgrind.
#
#   benches/instructions/check.sh             fail if a workload takes more than 3 % above its record
#   benches/instructions/check.sh --record    write recorded.tsv
#   benches/instructions/check.sh parser      only workloads whose name starts so
#
# Counts belong to a compiler: recorded.tsv names the one it was made with, and another compiler is
# a reason to record anew, in a commit that says so. A count far below its record is worth recording.
# MIDGE_INSTRUCTIONS_BINARY names an already built bench binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/instructions
recorded=$here/recorded.tsv
tolerance_percent=3

record=false
only=""
for argument in "$@"; do
  case $argument in
    --record) record=true ;;
    *) only=$argument ;;
  esac
done

command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 2; }

binary=${MIDGE_INSTRUCTIONS_BINARY:-}
if [ -z "$binary" ]; then
  binary=$(cargo bench --bench instructions --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*instructions-[^"]*"' | tail -n 1 | cut -d '"' -f 4) || true
  [ -n "$binary" ] || { cargo bench --bench instructions --no-run; exit 2; }
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The mean per operation, with one decimal.
count() {
  valgrind --tool=callgrind --callgrind-out-file="$scratch/out" --collect-atstart=no \
    --toggle-collect=midge_counted "$binary" "$1" >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; return 1; }
  awk -v operations="$2" '/^(summary|totals):/ { total = $2 }
    END { if (total == 0) exit 1; printf "%.1f", total / operations }' "$scratch/out"
}

compiler=$(rustc --version)
if ! $record; then
  was=$(sed -n 's/^# compiler: //p' "$recorded")
  [ "$was" = "$compiler" ] || echo "note: recorded with $was, this is $compiler" >&2
fi

"$binary" list >"$scratch/list"
{
  echo "# Instructions per operation, written by check.sh --record."
  echo "# compiler: $compiler"
} >"$scratch/new"
failed=0
while IFS=$'\t' read -r name operations; do
  case $name in "$only"*) ;; *) continue ;; esac
  now=$(count "$name" "$operations") || { echo "$name could not be counted" >&2; exit 2; }
  printf '%s\t%s\n' "$name" "$now" >>"$scratch/new"
  was=$(awk -F '\t' -v name="$name" '$1 == name { print $2 }' "$recorded" 2>/dev/null || true)
  verdict=$(awk -v now="$now" -v was="${was:-0}" -v tolerance="$tolerance_percent" 'BEGIN {
    if (was == 0) print "not recorded"
    else if (now > was * (1 + tolerance / 100)) printf "REGRESSION %+.1f %%", (now / was - 1) * 100
    else printf "ok %+.1f %%", (now / was - 1) * 100 }')
  printf '%-30s %9s  recorded %9s  %s\n' "$name" "$now" "${was:--}" "$verdict"
  case $verdict in ok*) ;; *) failed=1 ;; esac
done <"$scratch/list"

if $record; then
  [ -z "$only" ] || { echo "record all workloads or none" >&2; exit 2; }
  mv "$scratch/new" "$recorded"
  exit 0
fi
exit "$failed"
