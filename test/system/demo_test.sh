#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/demo --kill: a node dies for good in the middle of a newsletter; nothing is lost, not more came twice than were sent again in
# doubt, another node goes on, and the demo says so and ends well. It does not where any of that does not hold.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

# The cluster is the script's own, and gone by then.
fail() {
	echo "FAILED: $*"
	exit 1
}

mails=2000
out=$work/out

# told TEXT: the last word of the line of the output that begins so.
told() {
	local line
	line=$(grep -m 1 "^$1  " "$out") || fail "the demo does not say: $1"
	echo "${line##* }"
}

# A small window, for a node has as much as that in its Postfix, which waits for doubt_hold.
status=0
"$root/scripts/demo" --dir "$work/demo" --mails $mails --kill --set 'doubt_hold = 5s' --set 'window = 25' >"$out" 2>&1 || status=$?
[ "$status" -eq 0 ] || { cat "$out" && fail "the demo ends with exit status $status"; }
grep -E '^(lost|duplicates|the sink|mails by|a node killed|mails |seconds until)' "$out"

expect 'lost' 0 "$(told lost)"
expect 'sent' $((mails - mails / 100)) "$(told sent)"
expect 'bounced' $((mails / 100)) "$(told bounced)"
expect 'where the paper stands beside it' 1 "$(grep -cE '^a node killed for good in the middle +the paper +here$' "$out")"
expect 'mails lost' 0 "$(told 'mails lost')"
expect 'what the paper has' 1 "$(grep -cE '^mails that came twice +8 % +[0-9.]+ %$' "$out")"
doubts=$(told 'mails sent again in doubt')
expect_at_most 'duplicates' "$doubts" "$(told duplicates)"
expect_at_least 'mails sent again in doubt' 0 "$doubts"
expect_at_least 'seconds until another node went on' 1 "$(told 'seconds until another node went on')"
expect_at_most 'seconds until another node went on' 10 "$(told 'seconds until another node went on')"
expect 'what is mounted in its place' 0 "$(grep -cF optimus-demo /proc/self/mounts || true)"
