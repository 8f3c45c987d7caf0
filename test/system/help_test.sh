#!/bin/bash
# SPDX-License-Identifier: MIT
# Each command in scripts/ answers --help and -h, wherever on its line, with how it is called, and does nothing else.
# usage: help_test.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# answers SCRIPT WORD...: on standard output, with the first line of its head as the first one and nothing that is code.
answers() {
	local script=$1 status=0
	shift
	timeout 20 "$script" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	if [ "$status" -eq 0 ] && [ ! -s "$work/err" ] && [[ $(head -n 1 "$work/out") == "$script"* ]] &&
		[ "$(wc -l <"$work/out")" -ge 3 ] && ! grep -qE '^(#|set -)|SPDX' "$work/out"; then
		return
	fi
	echo "not ok: $script $* (exit status $status)"
	cat "$work/err"
	bad=1
}

tried=0
for script in scripts/*; do
	if [ ! -x "$script" ] || [[ $script == *.* ]]; then continue; fi
	answers "$script" --help
	answers "$script" -h
	answers "$script" --nodes 3 --help
	tried=$((tried + 1))
done
[ "$tried" -ge 9 ] || { echo "not ok: only $tried commands" && bad=1; }
timeout 20 scripts/chaos --help 2>/dev/null | grep '^faults: kill,' >/dev/null || { echo 'not ok: chaos names no faults' && bad=1; }
[ $bad = 0 ] || exit 1
echo "ok: $tried commands"
